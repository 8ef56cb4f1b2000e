"""The misbehaving model for the stacks of these tests."""

from collections.abc import Iterator

import pytest
from tests.support.model import Model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    """One for all tests of a file."""
    model = Model(tmp_path_factory.mktemp("model"))
    yield model
    model.stop()
