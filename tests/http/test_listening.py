"""What HOST means: who reaches the service at which address."""

import socket
from contextlib import closing

import httpx
import pytest
from tests.conftest import PATIENCE_S

from leadhook.app import listen

from .conftest import serving

IPV4, IPV6 = "127.0.0.1", "::1"


def has_ipv6() -> bool:
    try:
        with socket.create_server((IPV6, 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def of_ipv6(host: str) -> object:
    return pytest.param(host, marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 (::1)"))


async def reached(host: str) -> set[str]:
    """The loopback addresses at which a service with this HOST answers."""
    answered = set()
    with closing(listen(host, 0)) as listener:
        port = listener.getsockname()[1]
        async with serving(listener=listener), httpx.AsyncClient(trust_env=False, timeout=PATIENCE_S) as client:
            for address, url in ((IPV4, f"http://{IPV4}:{port}"), (IPV6, f"http://[{IPV6}]:{port}")):
                try:
                    answer = await client.get(f"{url}/health")
                except httpx.ConnectError:
                    continue
                assert answer.status_code == 200
                answered.add(address)
    return answered


@pytest.mark.parametrize("host", [of_ipv6("::"), of_ipv6("0:0:0:0:0:0:0:0")])
async def test_all_addresses_of_ipv6_are_those_of_ipv4_too(host: str) -> None:
    """As on the port for metrics; a platform's health check may come by either."""
    assert await reached(host) == {IPV4, IPV6}


@pytest.mark.parametrize("host", ["0.0.0.0", IPV4, "localhost"])  # noqa: S104 - what is tested
async def test_an_address_of_ipv4_is_reached_by_ipv4_alone(host: str) -> None:
    assert await reached(host) == {IPV4}


@pytest.mark.parametrize("host", [of_ipv6(IPV6)])
async def test_one_address_of_ipv6_is_reached_by_ipv6_alone(host: str) -> None:
    assert await reached(host) == {IPV6}
