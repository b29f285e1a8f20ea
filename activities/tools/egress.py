"""Where tools may connect to: names and addresses that are allowed, resolved once, and that address alone connected to.

Addresses are judged by what they lead to: an IPv4 address inside an IPv6 one (mapped, compatible, NAT64, 6to4, Teredo)
counts as itself. Ways of writing an address that only some programs understand are refused as they are.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import httpx2

from contracts.egress import Egress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

METADATA: Final = frozenset(
    ipaddress.ip_address(text)
    for text in ("169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254")
)
"""Where clouds hand out credentials (AWS, GCP, Azure, Alibaba, Oracle); some of these look like public addresses."""

_SECRETIVE = [
    ipaddress.ip_network(text) for text in ("64:ff9b:1::/48", "fec0::/10", "100.64.0.0/10", "192.0.0.0/24", "::/96")
]
"""Private ranges that Python's `is_global` calls public."""

_NUMERIC = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?", re.I)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")


class EgressRefused(Exception):
    """The address must not be connected to; says why and which setting would allow it."""


class Guard:
    """`own`: hosts that a `tools.yaml` names, which may be called as long as no list is set."""

    def __init__(self, egress: Egress, own: Sequence[str] = (), resolve: Resolve | None = None) -> None:
        self._egress = egress
        self._own = frozenset(host.lower() for host in own)
        self._resolve = resolve or _resolve

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses to connect to for a host as it stands in a URL.

        Raises:
            EgressRefused: the name is not allowed, or it leads somewhere that is not.
            OSError: it cannot be resolved.
        """
        name = host.lower().removeprefix("[").removesuffix("]").split("%")[0]
        if name.endswith("."):
            name = name.rstrip(".")
        literal = _literal(name)
        if literal is not None:
            self._check_name(name, port, literal)
            self._check_address(name, port, literal)
            return [literal]
        if not name or _NUMERIC.fullmatch(name):
            raise EgressRefused(f"{host!r} is an unusual way to write an address; write it as 203.0.113.7 is written")
        self._check_name(name, port, None)
        if self._egress.proxy is not None:
            return []
        found = [ipaddress.ip_address(text.split("%")[0]) for text in await self._resolve(name, port)]
        if not found:
            raise OSError(f"{name} has no address")
        for address in found:
            self._check_address(name, port, address)
        return found

    def _check_name(self, name: str, port: int, literal: Address | None) -> None:
        if self._egress.allow is None:
            if name in self._own:
                return
            raise EgressRefused(f"{name} is not the host that the tool was declared for")
        if not any(_covers(entry, name, port, literal) for entry in self._egress.allow):
            raise EgressRefused(f"{name}:{port} is not in the setting egress.allow; add it there if tools may call it")

    def _check_address(self, name: str, port: int, address: Address) -> None:
        for each in {address, _inside(address)}:
            if is_public(each) or self._listed(name, port, each):
                continue
            what = "a metadata service" if each in METADATA else "not a public address"
            raise EgressRefused(
                f"{name} leads to {each}, {what}; add the address to the setting egress.allow if tools may call it"
            )

    def _listed(self, name: str, port: int, address: Address) -> bool:
        """Whether the address itself is in the list; a range is no word on metadata services in it."""
        for entry in self._egress.allow or ():
            if entry.partition(":")[0] == "localhost" and name == "localhost" and address.is_loopback:
                return True
            network = _network(entry)
            if network is None or not _covers(entry, name, port, address):
                continue
            if address not in METADATA or network.num_addresses == 1:
                return True
        return False


def is_public(address: Address) -> bool:
    """Whether anybody on the internet could be asked at this address, and no metadata service."""
    if address in METADATA or address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not any(address.version == network.version and address in network for network in _SECRETIVE)


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, else itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    is_wrapped = address in _NAT64 or (address in _COMPATIBLE and int(address) > 1)
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if is_wrapped else address


def _literal(name: str) -> Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """The addresses that an entry of the list stands for: `10.0.0.0/8`, `127.0.0.1`, `127.0.0.1:8080`, `[::1]:80`."""
    bare = entry.removeprefix("[").partition("]")[0]
    for text in (bare, bare.rpartition(":")[0]):
        try:
            return ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
    return None


def _covers(entry: str, name: str, port: int, literal: Address | None) -> bool:
    """Whether an entry allows host and port: a name, `*.domain`, an address or a range; with or without port."""
    has_port = re.fullmatch(r"([^:]+|\[.*\]):\d+", entry) is not None
    host, _, wanted = entry.rpartition(":") if has_port else (entry, "", "")
    if wanted and int(wanted) != port:
        return False
    if literal is not None:
        network = _network(host)
        return network is not None and network.version == literal.version and literal in network
    host = host.lower().rstrip(".")
    return name.endswith(host[1:]) and name != host[2:] if host.startswith("*.") else name == host


async def _resolve(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))


class PinnedTransport(httpx2.AsyncBaseTransport):
    """Connects to the address that was checked, with the name in `Host` and in TLS as it was."""

    def __init__(self, guard: Guard, egress: Egress) -> None:
        self._guard = guard
        self._pins = egress.proxy is None
        self._inner = httpx2.AsyncHTTPTransport(trust_env=False, proxy=egress.proxy)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise EgressRefused(f"{url.scheme} is not called; write http or https")
        port = url.port or (443 if url.scheme == "https" else 80)
        name = url.raw_host.decode("ascii")
        addresses = await self._guard.addresses(name, port)
        if not self._pins:
            return await self._inner.handle_async_request(request)
        host = url.netloc.decode("ascii")
        request.headers["Host"] = host
        extensions = {**request.extensions, "sni_hostname": name.rstrip(".")}
        refused: httpx2.ConnectError | None = None
        for address in addresses:
            pinned = httpx2.Request(
                request.method,
                url.copy_with(host=str(address)),
                headers=request.headers,
                stream=request.stream,
                extensions=extensions,
            )
            try:
                return await self._inner.handle_async_request(pinned)
            except httpx2.ConnectError as error:
                refused = error  # nothing was sent, so the name's next address may be tried
        raise refused or httpx2.ConnectError(f"{url.host} has no address")

    async def aclose(self) -> None:
        await self._inner.aclose()
