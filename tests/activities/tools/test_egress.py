"""Which addresses tools may connect to, however they are written."""

from collections.abc import Sequence
from ipaddress import ip_address

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as some

from activities.tools.egress import EgressRefused, Guard, PinnedTransport, is_public
from contracts.egress import Egress
from tests.service import open_service

INSIDE = [
    "127.0.0.1",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "017700000001",
    "0",
    "0.0.0.0",  # noqa: S104 - an address that must be refused
    "127.0.0.1.",
    "localhost",
    "localhost.",
    "LOCALHOST",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::7f00:1]",
    "[64:ff9b:1::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fec0::1]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[ff02::1]",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::]",
    "100.100.100.200",
    "100.64.0.1",
    "168.63.129.16",
    "192.0.0.192",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "１２７.0.0.1",
    "①②⑦.⓪.⓪.①",
    "user@127.0.0.1",
    "example.com@169.254.169.254",
    "example.com:80@[::1]",
    "example.com%40@127.0.0.1",
    "metadata.example",
]


async def lookup(host: str, port: int) -> Sequence[str]:
    """A resolver of a world in which names lead where an attacker wants them to."""
    return {"example.com": ["93.184.215.14"], "metadata.example": ["93.184.215.14", "169.254.169.254"]}.get(
        host, ["127.0.0.1"]
    )


@pytest.mark.parametrize("host", INSIDE)
async def test_no_notation_leads_inside(host: str) -> None:
    """Also where a list allows every name there is."""
    names = ("localhost.", "*.example", "*.com", "1.1.1.1/0", "metadata.example")
    for egress in (Egress(), Egress(allow=(*names[1:3], "metadata.example"))):
        guard = Guard(egress, [host], lookup)
        transport = PinnedTransport(guard, egress)
        with pytest.raises((EgressRefused, httpx2.InvalidURL)):
            await transport.handle_async_request(httpx2.Request("GET", f"http://{host}/"))
        await transport.aclose()


@pytest.mark.parametrize(
    ("allow", "host", "port", "fine"),
    [
        (("example.com",), "example.com", 443, True),
        (("example.com",), "EXAMPLE.com.", 443, True),
        (("example.com:443",), "example.com", 80, False),
        (("*.example.com",), "api.example.com", 443, False),  # this world's resolver leads it to 127.0.0.1
        (("*.com",), "example.com", 443, True),
        (("*.example.com",), "example.com", 443, False),
        (("*.example.com",), "evilexample.com", 443, False),
        (("ample.com",), "example.com", 443, False),
        (("127.0.0.1",), "127.0.0.1", 8080, True),
        (("127.0.0.1:8080",), "127.0.0.1", 8080, True),
        (("127.0.0.1:8080",), "127.0.0.1", 8081, False),
        (("10.0.0.0/8",), "10.2.3.4", 80, True),
        (("10.0.0.0/8",), "11.2.3.4", 80, False),
        (("[::1]",), "::1", 80, True),
        (("[::1]:80",), "::1", 80, True),
        (("localhost",), "localhost", 80, True),
        (("localhost:80",), "localhost", 81, False),
        (("intranet.local",), "intranet.local", 80, False),
        (("intranet.local", "127.0.0.0/8"), "intranet.local", 80, True),
        (("169.254.0.0/16",), "169.254.169.254", 80, False),
        (("169.254.169.254",), "169.254.169.254", 80, True),
        (("intranet.local", "127.0.0.1:8080"), "intranet.local", 80, False),
        (("intranet.local", "127.0.0.1:8080"), "intranet.local", 8080, True),
        (("fd00::a:443",), "fd00::a:443", 80, True),
        (("fd00::a:443",), "fd00::a", 443, False),
        ((), "example.com", 443, False),
    ],
)
async def test_the_list_says_which_names_ports_and_addresses(
    allow: tuple[str, ...], host: str, port: int, fine: bool
) -> None:
    guard = Guard(Egress(allow=allow), ["example.com"], lookup)
    if fine:
        assert await guard.addresses(host, port)
    else:
        with pytest.raises(EgressRefused):
            await guard.addresses(host, port)


async def test_a_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to() -> None:
    asked: list[str] = []

    async def changing(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    with open_service() as service:
        egress = Egress(allow=("shop.example", "127.0.0.1"))
        transport = PinnedTransport(Guard(egress, (), changing), egress)
        async with httpx2.AsyncClient(transport=transport) as client:
            answer = await client.get(f"http://shop.example:{service.port}/x")
    assert answer.json() == {"path": "/x"}
    assert asked == ["shop.example"]
    assert service.requests[0].headers["host"] == f"shop.example:{service.port}"


@given(some.ip_addresses(v=4))
def test_an_address_inside_another_counts_as_itself(address: object) -> None:
    number = int(ip_address(str(address)))
    for prefix in (0xFFFF << 32, 0x64FF9B << 96, 0x2002 << 112):
        shift = 80 if prefix == 0x2002 << 112 else 0
        wrapped = ip_address(prefix | number << shift)
        egress = Egress(allow=(str(wrapped),))
        guard = Guard(egress)
        if is_public(ip_address(number)):
            continue
        with pytest.raises(EgressRefused):
            guard._check_address("x", 80, wrapped)
