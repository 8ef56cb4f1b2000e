"""The numbers can be scraped without a token, and dashboard and alerts name only what there is."""

import json
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import anyio.to_thread
import pytest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from tests.conftest import PATIENCE_S

from leadhook.domain.job import Figures
from leadhook.domain.results import Usage
from leadhook.observability import metrics
from leadhook.observability.metrics import REGISTRY
from leadhook.web.connections import serving_metrics

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("metrics.md", "grafana/leadhook.json", "grafana/alerts.yml")


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_attempt_counts_once_in_everything_that_it_took() -> None:
    names = ("leadhook_eligible_to_saved_seconds_count", "leadhook_spent_dollars_total", "leadhook_leases_lost_total")
    before = [value(name) for name in names]
    saved = value("leadhook_attempts_total", outcome="saved", code="")
    usage = Usage(calls=2, input_tokens=100, cached_tokens=40, output_tokens=20)
    metrics.count_attempt(outcome="saved", code=None, first_call_ms=700, age_s=2.5, usage=usage, cost_usd=0.25)
    metrics.count_attempt(outcome="lease_lost", code=None, first_call_ms=None, age_s=9, usage=Usage(), cost_usd=None)

    assert [value(name) - old for name, old in zip(names, before, strict=True)] == [1, 0.25, 1]
    assert value("leadhook_attempts_total", outcome="saved", code="") == saved + 1
    assert value("leadhook_tokens_total", kind="cached") >= 40


def test_the_databases_numbers_come_with_their_age() -> None:
    jobs = {"ready": 7, "held": 3}
    metrics.hear_figures(
        Figures(age_ms=4000, jobs=jobs, oldest_ready_ms={"normal": 1500, "low": 0}, outbox=2, keys={"healthy": 1})
    )
    metrics.hear_figures(None)

    assert value("leadhook_queue_leads", state="ready") == 7
    assert value("leadhook_queue_oldest_ready_seconds", priority="normal") == 1.5
    assert value("leadhook_keys", state="healthy") == 1
    assert 4 <= value("leadhook_database_figures_age_seconds") < 60


def scraped(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE_S) as answer:
        text: str = answer.read().decode()
        return text


async def test_a_scrape_on_a_port_of_its_own() -> None:
    with capture_logs() as lines:
        async with serving_metrics("127.0.0.1", 0) as problem:
            (port,) = [line["port"] for line in lines]
            text = await anyio.to_thread.run_sync(scraped, port)
    families = {family.name for family in text_string_to_metric_families(text)}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0

    assert problem is None
    assert {"leadhook_webhooks", "leadhook_log_lines_dropped", "process_resident_memory_bytes"} <= families


async def test_a_taken_port_is_reported_and_the_service_goes_on() -> None:
    """On /ready, too."""
    with socket.create_server(("127.0.0.1", 0)) as taken, capture_logs() as lines:
        port = taken.getsockname()[1]
        async with serving_metrics("127.0.0.1", port) as problem:
            why = "Address already in use"
            assert problem == f"There are no metrics: METRICS_PORT {port} on 127.0.0.1 can't be opened: {why}."

    assert [line["event"] for line in lines] == ["metrics.failed"]


async def test_without_a_port_there_are_no_metrics() -> None:
    with capture_logs() as lines:
        async with serving_metrics("127.0.0.1", None) as problem:
            assert problem is None

    assert lines == []


def samples() -> Iterator[str]:
    for family in REGISTRY.collect():
        yield family.name
        for suffix in {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ()):
            yield family.name + suffix


@pytest.mark.parametrize("page", PAGES)
def test_every_metric_that_the_docs_name_exists(page: str) -> None:
    """A renamed metric would leave a dashboard empty and an alert silent for ever."""
    named = set(re.findall(r"\b(?:leadhook|process)_[a-z_]+\b", (DOCS / page).read_text()))

    assert len(named) > 5
    assert named <= set(samples())


def test_every_metric_of_leadhook_is_on_the_page_of_metrics() -> None:
    page = (DOCS / "metrics.md").read_text()
    ours = [family for family in REGISTRY.collect() if family.name.startswith("leadhook_")]

    assert len(ours) > 15
    assert [family.name for family in ours if f"`{family.name}" not in page] == []


def test_labels_that_the_docs_use_are_the_metrics_own() -> None:
    """`leadhook_keys{state=...}`: a wrong label matches nothing."""
    ours = [each for each in vars(metrics).values() if isinstance(each, MetricWrapperBase)]
    labels = {metric._name: set(metric._labelnames) for metric in ours}
    for page in PAGES[1:]:
        for name, matchers in re.findall(r"(leadhook_[a-z_]+)\{([^}]*)\}", (DOCS / page).read_text()):
            base = re.sub(r"_(?:total|bucket|sum|count)$", "", name)
            used = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
            assert used <= labels.get(base, {"sink"}), (page, name)


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    board = json.loads((DOCS / "grafana/leadhook.json").read_text())

    assert board["title"] == "leadhook"
    assert board["templating"]["list"][0]["type"] == "datasource"
    assert all(panel["targets"][0]["expr"] for panel in board["panels"] if panel["type"] != "row")
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
