"""Where a transfer may go: a URL of the CSMS is taken apart, judged, and put together anew without what could mislead.

Owns which URLs and addresses are refused. Pure: it resolves nothing and opens nothing. Whoever transfers must use the
:class:`Target` alone, never the text that it was made of, and connect to no other address than one that
:func:`judge_addresses` has let pass: two readers of one text must not see two hosts in it.

Implements: reliability.md T33; S-244; CORE-GD-08.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, Literal
from urllib.parse import quote, unquote, unquote_to_bytes

MAX_CHARACTERS: Final = 1_024
PORTS: Final = {"https": 443, "http": 80, "ftp": 21, "ftps": 990, "sftp": 22}
"""Every scheme that can be enabled, with its port."""
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]+)([^?#]*)(?:\?([^#]*))?(?:#.*)?")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_AUTHORITY: Final = re.compile(r"(?:([^@]*)@)?(?:\[([0-9A-Fa-f:.]+)\]|([^@:\[\]]+))(?::([0-9]{0,5}))?")
_NAME: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.(?!-)[a-z0-9_-]{1,63})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_FTP_TYPE: Final = re.compile(r";type=([adi])$", re.I)
_NOT_IN_URLS: Final = frozenset('"<>\\^`{|}')
_AMBIGUOUS: Final = frozenset("ßẞς")
"""Letters that the two standards of international names map to different hosts."""
_PATH: Final = "/%:@!$&'()*+,;=~"
_QUERY: Final = _PATH + "?"
_V4_INSIDE: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))
"""NAT64 and the former IPv4-compatible addresses: the last 32 bits are an IPv4 address."""
_LOCAL: Final = (IPv6Network("fec0::/10"), IPv6Network("64:ff9b:1::/48"))
"""Site-local addresses and the NAT64 prefix of a network's own, which ``is_global`` does not know."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a URL is not used, in a word of ``work.py``. ``text`` holds nothing of the URL but scheme and host."""

    why: Literal["bad_message", "not_supported", "refused", "failed"]
    text: str


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be used once its addresses are judged."""

    scheme: str
    host: str
    """A name in ASCII and lower case, or an address in its usual form, without brackets."""
    port: int
    path: str = field(repr=False)
    """Path and query as they stand in a URL; it begins with ``/``."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def place(self) -> str:
        """``https://files.example:443``: what texts may say of the URL."""
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def is_address(self) -> bool:
        """Whether the host is an address rather than a name."""
        return _address(self.host) is not None

    def with_file(self, name: str) -> Target:
        """The file of this name, as it stands in a URL, where the path ends in ``/`` and hence is a directory's."""
        return replace(self, path=self.path + name) if self.path.endswith("/") and "?" not in self.path else self


def schemes_of(protocols: str, *, sftp: bool) -> frozenset[str]:
    """The schemes that ``SupportedFileTransferProtocols`` enables, and SFTP, which has no name in it."""
    named = {name.strip().lower() for name in protocols.split(",")} & PORTS.keys()
    return frozenset(named - {"sftp"} | ({"sftp"} if sftp else set()))


def check(
    location: str, schemes: Collection[str], *, hosts: Collection[str] | None = None, allow_private: bool = False
) -> Target | Refusal:
    """Judge a URL. ``hosts``, in lower case, are the only ones allowed; ``allow_private`` lets private addresses pass.

    A host that is a name is judged again, by :func:`judge_addresses`, when it is resolved.
    """
    if fault := _fault(location):
        return Refusal("bad_message", fault)
    scheme = _SCHEME.match(location)
    if scheme is None:
        return Refusal("bad_message", "the URL has no scheme")
    if (name := scheme[1].lower()) not in schemes or name not in PORTS:
        return Refusal("not_supported", f"transfers by {name[:20]} are not enabled")
    parts = _URL.fullmatch(location)
    authority = None if parts is None else _AUTHORITY.fullmatch(parts[2])
    if parts is None or authority is None:
        return Refusal("bad_message", "the URL has no host, or more than a host and a port after //")
    port = int(authority[4] or PORTS[name])
    host = _literal_v6(authority[2]) if authority[2] else _host(authority[3])
    path = _path(name, parts[3] or "/", parts[4])
    if host is None or path is None or not 0 < port <= 65_535:
        what = "host" if host is None else "path" if path is None else "port"
        return Refusal("bad_message", f"the URL has a {what} that is none")
    user, has_password, password = (authority[1] or "").partition(":")
    target = Target(name, host, port, path, unquote(user) or None, unquote(password) if has_password else None)
    return _judged(target, hosts, allow_private)


def judge_addresses(target: Target, addresses: Iterable[str], allow_private: bool = False) -> Refusal | None:
    """Judge what the host of a target resolves to: one private address among them refuses all."""
    found = [_address(address) for address in addresses]
    if not found or None in found:
        return Refusal("refused", f"{target.place}: the host has no address")
    if allow_private or all(each is not None and is_public(each) for each in found):
        return None
    return Refusal("refused", f"{target.place}: the host is at a private address")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the Internet: not loopback, link-local, private, shared, multicast or reserved.

    What an IPv6 address carries of IPv4 (mapped, compatible, 6to4, NAT64) is judged as that.
    """
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is None and any(address in network for network in _V4_INSIDE):
            inside = IPv4Address(int(address) & 0xFFFF_FFFF)
        if inside is not None:
            return is_public(inside)
        if any(address in network for network in _LOCAL):
            return False
    return address.is_global and not address.is_multicast


def _fault(location: str) -> str | None:
    """What makes a text no URL at all."""
    if not location or len(location) > MAX_CHARACTERS:
        return f"the URL is empty or longer than {MAX_CHARACTERS} characters"
    if location[0] == "-":
        return "the URL begins with a dash"
    # Also invisible and unassigned ones: nobody sees where such a URL leads.
    if any(unicodedata.category(each)[0] in "CZ" or each in _NOT_IN_URLS for each in location):
        return "the URL has a character that no URL may have"
    escaped = unquote_to_bytes(location.partition("?")[0])
    if _BAD_ESCAPE.search(location) or any(byte < 0x20 or byte == 0x7F for byte in escaped):
        return "the URL has an escape that stands for no character, or for a control character"
    return None


def _judged(target: Target, hosts: Collection[str] | None, allow_private: bool) -> Target | Refusal:
    if hosts is not None and target.host not in {_usual(host) for host in hosts}:
        return Refusal("refused", f"{target.place}: the host is not among those allowed")
    refusal = judge_addresses(target, [target.host], allow_private) if target.is_address else None
    return refusal or target


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _usual(host: str) -> str:
    return str(_address(host) or host)


def _literal_v6(text: str) -> str | None:
    address = _address(text)
    return str(address) if isinstance(address, IPv6Address) else None


def _host(text: str) -> str | None:
    """A host as the platform would understand it: ``0x7f.1`` is 127.0.0.1, an international name is ``xn--``."""
    if _AMBIGUOUS & set(text):
        return None
    try:
        name = text.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        return None
    if len(name) > 253 or not _NAME.fullmatch(name):
        return None
    if not _NUMBER.fullmatch(name.rpartition(".")[2]):
        return name
    try:
        return str(IPv4Address(socket.inet_aton(name)))
    except OSError:
        return None


def _path(scheme: str, path: str, query: str | None) -> str | None:
    """Path and query of a URL with everything escaped that has a meaning of its own elsewhere."""
    if scheme in ("https", "http"):
        return quote(path, safe=_PATH) + ("" if query is None else "?" + quote(query, safe=_QUERY))
    whole = path if query is None else f"{path}?{query}"
    if query is not None and any(byte < 0x20 or byte == 0x7F for byte in unquote_to_bytes(query)):
        return None
    kind = _FTP_TYPE.search(whole) if scheme in ("ftp", "ftps") else None
    if kind is not None:
        if kind[1].lower() == "d":
            return None
        whole = whole[: kind.start()]
    return quote(whole, safe=_PATH.replace(";", ""))
