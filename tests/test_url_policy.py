"""url_policy.py: the table of URLs that a CSMS may send, and what becomes of each (T33, S-244, CORE-GD-08)."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ocpphub.url_policy import MAX_CHARACTERS, PORTS, Refusal, Target, check, is_public, judge_addresses, schemes_of

HTTPS = ("https",)
ALL = tuple(PORTS)

# URL, and what it comes to: scheme, host, port, path of a target ...
USED = """
https://files.example/fw.bin                     https files.example 443 /fw.bin
HTTPS://Files.EXAMPLE/Fw.bin                     https files.example 443 /Fw.bin
https://files.example                            https files.example 443 /
https://files.example:8443/a/b/                  https files.example 8443 /a/b/
https://files.example:/x                         https files.example 443 /x
https://files.example./x                         https files.example 443 /x
https://files.example/x?sig=a%2Fb&t=1/2          https files.example 443 /x?sig=a%2Fb&t=1/2
https://files.example/x?list[]=1                 https files.example 443 /x?list%5B%5D=1
https://files.example?x=1                        https files.example 443 /?x=1
https://files.example/x#part                     https files.example 443 /x
https://files.example/a/../b                     https files.example 443 /a/../b
https://files.example/ä                          https files.example 443 /%C3%A4
https://bücher.example/x                         https xn--bcher-kva.example 443 /x
https://xn--bcher-kva.example/x                  https xn--bcher-kva.example 443 /x
https://例え.example/x                            https xn--r8jz45g.example 443 /x
https://ⓔxample.com/x                            https example.com 443 /x
https://my_host.example/x                        https my_host.example 443 /x
https://8.8.8.8/x                                https 8.8.8.8 443 /x
https://134744072/x                              https 8.8.8.8 443 /x
https://0x08080808/x                             https 8.8.8.8 443 /x
https://010.010.010.010/x                        https 8.8.8.8 443 /x
https://8.8.2056/x                               https 8.8.8.8 443 /x
https://8.8.8.8./x                               https 8.8.8.8 443 /x
https://８.８.８.８/x                              https 8.8.8.8 443 /x
https://[2606:4700::1111]/x                      https 2606:4700::1111 443 /x
https://[2606:4700:0:0:0:0:0:1111]:444/x         https 2606:4700::1111 444 /x
https://[::ffff:8.8.8.8]/x                       https ::ffff:808:808 443 /x
http://files.example/x                           http files.example 80 /x
ftp://files.example/dir/fw.bin                   ftp files.example 21 /dir/fw.bin
ftp://files.example//etc/fw.bin                  ftp files.example 21 //etc/fw.bin
ftp://files.example/fw.bin;type=i                ftp files.example 21 /fw.bin
ftp://files.example/a;b?c                        ftp files.example 21 /a%3Bb%3Fc
ftps://files.example/logs/                       ftps files.example 990 /logs/
ftps://files.example:21/logs/                    ftps files.example 21 /logs/
sftp://files.example/home/cp/fw.bin              sftp files.example 22 /home/cp/fw.bin
sftp://files.example/~/fw.bin                    sftp files.example 22 /~/fw.bin
"""

# ... or why it is refused.
REFUSED = """
https://127.0.0.1/x                              refused
https://127.1/x                                  refused
https://2130706433/x                             refused
https://017700000001/x                           refused
https://0x7f000001/x                             refused
https://0X7F.0.0.1/x                             refused
https://0177.0.0.1/x                             refused
https://127.0.0.1./x                             refused
https://１２７.0.0.1/x                            refused
https://127。0。0。1/x                            refused
https://ⓛ.example@127.0.0.1/x                    refused
https://0.0.0.0/x                                refused
https://0/x                                      refused
https://10.1.2.3/x                               refused
https://172.16.0.1/x                             refused
https://172.31.255.255/x                         refused
https://192.168.1.1/x                            refused
https://169.254.169.254/latest/meta-data/        refused
https://0xa9fea9fe/latest/                       refused
https://100.64.0.1/x                             refused
https://192.0.2.1/x                              refused
https://224.0.0.1/x                              refused
https://240.0.0.1/x                              refused
https://255.255.255.255/x                        refused
https://[::1]/x                                  refused
https://[0:0:0:0:0:0:0:1]/x                      refused
https://[::]/x                                   refused
https://[::127.0.0.1]/x                          refused
https://[::ffff:127.0.0.1]/x                     refused
https://[::ffff:7f00:1]/x                        refused
https://[::ffff:10.0.0.1]/x                      refused
https://[2002:7f00:1::]/x                        refused
https://[2002:c0a8:101::1]/x                     refused
https://[64:ff9b::10.0.0.1]/x                    refused
https://[64:ff9b::7f00:1]/x                      refused
https://[64:ff9b:1::8.8.8.8]/x                   refused
https://[2001:0:1::1]/x                          refused
https://[fe80::1]/x                              refused
https://[fec0::1]/x                              refused
https://[fd00::1]/x                              refused
https://[fc00::1]/x                              refused
https://[ff02::1]/x                              refused
https://[2001:db8::1]/x                          refused
https://user:pass@192.168.1.1/x                  refused
file:///etc/passwd                               not_supported
file://localhost/etc/passwd                      not_supported
gopher://files.example/_x                        not_supported
dict://files.example/d:x                         not_supported
ldap://files.example/                            not_supported
tftp://files.example/x                           not_supported
scp://files.example/x                            not_supported
telnet://files.example/                          not_supported
smb://files.example/x                            not_supported
ws://files.example/x                             not_supported
data:text/plain,x                                not_supported
javascript:x                                     not_supported
jar:https://files.example/x!/                    not_supported
httpss://files.example/x                         not_supported
mailto:x@files.example                           not_supported
-K/etc/passwd                                    bad_message
--output=/etc/passwd                             bad_message
-https://files.example/x                         bad_message
/etc/passwd                                      bad_message
../fw.bin                                        bad_message
files.example/fw.bin                             bad_message
//files.example/fw.bin                           bad_message
https:files.example/x                            bad_message
https:/files.example/x                           bad_message
https://                                         bad_message
https:///x                                       bad_message
https://?x                                       bad_message
https://:443/x                                   bad_message
https://user@/x                                  bad_message
https://files.example:0/x                        bad_message
https://files.example:65536/x                    bad_message
https://files.example:443443/x                   bad_message
https://files.example:８０/x                      bad_message
https://files.example:x/x                        bad_message
https://files.example:80:443/x                   bad_message
https://a@b@files.example/x                      bad_message
https://files.example\\@127.0.0.1/x               bad_message
https://files.example|127.0.0.1/x                bad_message
https://files.example%2F@127.0.0.1%00/x          bad_message
https://127.0.0.1%2f.files.example/x             bad_message
https://files.example/%00                        bad_message
https://files.example/%0d%0aX:1                  bad_message
https://files.example/%7F                        bad_message
https://files.example/%zz                        bad_message
https://files.example/{a,b}                      bad_message
https://files.example/`id`                       bad_message
https://files.example/<x>                        bad_message
https://faß.example/x                            bad_message
https://256.1.1.1/x                              bad_message
https://1.2.3.4.5/x                              bad_message
https://089.0.0.1/x                              bad_message
https://4294967296/x                             bad_message
https://a..example/x                             bad_message
https://.example/x                               bad_message
https://-a.example/x                             bad_message
https://files.*/x                                bad_message
https://$(id).example/x                          bad_message
https://;id/x                                    bad_message
https://[::1/x                                   bad_message
https://[::1]x/x                                 bad_message
https://::1/x                                    bad_message
https://[fe80::1%25eth0]/x                       bad_message
https://[v1.x]/x                                 bad_message
https://[1.2.3.4]/x                              bad_message
https://[1:2]/x                                  bad_message
ftp://files.example/dir;type=d                   bad_message
ftp://files.example/x?%0d%0aDELE                 bad_message
ftp://user%0d%0aDELE@files.example/x             bad_message
"""


def rows(table: str) -> list[list[str]]:
    return [line.split() for line in table.strip().splitlines()]


@pytest.mark.parametrize(("url", "scheme", "host", "port", "path"), rows(USED), ids=lambda value: str(value)[:40])
def test_url_that_may_be_used_is_understood_as_the_platform_would(
    url: str, scheme: str, host: str, port: str, path: str
) -> None:
    """S-244: every scheme when it is enabled; numbers and international names as what they stand for."""
    assert check(url, ALL) == Target(scheme, host, int(port), path)


@pytest.mark.parametrize(("url", "why"), rows(REFUSED), ids=lambda value: str(value)[:40])
def test_url_that_may_not_be_used_is_refused_for_its_reason(url: str, why: str) -> None:
    """S-244, CORE-GD-08: with every scheme enabled."""
    found = check(url, ALL)
    assert isinstance(found, Refusal)
    assert found.why == why


@pytest.mark.parametrize("url", [row[0] for row in rows(REFUSED) if row[1] == "refused"], ids=lambda url: str(url)[:40])
def test_private_address_may_be_used_where_that_is_allowed(url: str) -> None:
    """S-244: ``allow_private_addresses``."""
    found = check(url, ALL, allow_private=True)
    assert isinstance(found, Target)
    assert found.is_address


@pytest.mark.parametrize("scheme", ALL)
def test_scheme_needs_to_be_enabled(scheme: str) -> None:
    """S-244, CORE-GD-08: HTTPS alone unless configured otherwise."""
    found = check(f"{scheme}://files.example/x", HTTPS)
    assert isinstance(found, Target if scheme == "https" else Refusal)
    if isinstance(found, Refusal):
        assert (found.why, scheme in found.text) == ("not_supported", True)


@pytest.mark.parametrize(
    ("protocols", "sftp", "schemes"),
    [
        ("HTTPS", False, {"https"}),
        ("HTTPS", True, {"https", "sftp"}),
        ("FTP, FTPS,HTTP,HTTPS", False, {"ftp", "ftps", "http", "https"}),
        ("", True, {"sftp"}),
        ("SFTP,FILE", False, set()),
    ],
)
def test_schemes_are_those_of_the_key_and_sftp_by_a_switch_of_its_own(
    protocols: str, sftp: bool, schemes: set[str]
) -> None:
    """S-244, CORE-GD-08."""
    assert schemes_of(protocols, sftp=sftp) == schemes


@pytest.mark.parametrize(
    ("url", "user", "password"),
    [
        ("ftp://cp:secret@files.example/x", "cp", "secret"),
        ("ftp://cp@files.example/x", "cp", None),
        ("sftp://cp:@files.example/x", "cp", ""),
        ("http://c%40p:s%3Ae%2Fc:ret@files.example/x", "c@p", "s:e/c:ret"),
        ("https://@files.example/x", None, None),
    ],
)
def test_user_and_password_are_taken_out_and_never_shown(url: str, user: str | None, password: str | None) -> None:
    """T33, T30."""
    found = check(url, ALL)
    assert isinstance(found, Target)
    assert (found.user, found.password) == (user, password)
    assert "ret" not in repr(found)
    assert found.place == f"{found.scheme}://files.example:{found.port}"


def test_refusal_says_nothing_of_a_url_but_scheme_and_host() -> None:
    """T30, T33: passwords stand in URLs, and keys in their paths."""
    for url in ("https://u:canary@10.0.0.1/canary?canary", "https://u:canary@a/canary%00", "x" * 99 + ":canary"):
        found = check(url, ALL)
        assert isinstance(found, Refusal)
        assert "canary" not in found.text
        assert len(found.text) < 100


@pytest.mark.parametrize(
    "character", ["\x00", "\t", "\n", "\r", " ", "\x1f", "\x7f", "\x85", "\u2028", "\u200b", "\ud800"]
)
def test_no_control_or_invisible_character_anywhere(character: str) -> None:
    """T33: neither before, in, nor behind a URL."""
    url = "https://files.example/x?y#z"
    for at in (0, 3, 9, 15, 22, 25, 27, len(url)):
        found = check(url[:at] + character + url[at:], ALL)
        assert isinstance(found, Refusal)
        assert found.why == "bad_message"


def test_url_has_at_most_so_many_characters() -> None:
    """T33."""
    longest = "https://files.example/".ljust(MAX_CHARACTERS, "x")
    assert isinstance(check(longest, ALL), Target)
    assert check(longest + "x", ALL) == check("", ALL)
    assert isinstance(check("", ALL), Refusal)


def test_host_is_one_of_those_allowed_where_they_are_named() -> None:
    """T33: the host allow-list; it lets no private address in."""
    hosts = ("files.example", "2606:4700:0::1111", "10.0.0.1")
    for url in ("https://FILES.example./x", "https://[2606:4700::1111]/x"):
        assert isinstance(check(url, ALL, hosts=hosts), Target)
    for url in ("https://x.files.example/x", "https://files.example.evil/x", "https://10.0.0.1/x"):
        found = check(url, ALL, hosts=hosts)
        assert isinstance(found, Refusal)
        assert found.why == "refused"
    assert isinstance(check("https://10.0.0.1/x", ALL, hosts=hosts, allow_private=True), Target)


@pytest.mark.parametrize(
    ("addresses", "is_refused"),
    [
        (["93.184.216.34"], False),
        (["93.184.216.34", "2606:4700::1111"], False),
        (["93.184.216.34", "127.0.0.1"], True),
        (["::1", "93.184.216.34"], True),
        (["::ffff:169.254.169.254"], True),
        (["fe80::1%eth0"], True),
    ],
)
def test_name_is_judged_by_every_address_that_it_has(addresses: list[str], is_refused: bool) -> None:
    """T33: one private address among them refuses all, for the next answer may begin with it."""
    target = check("https://files.example/x", ALL)
    assert isinstance(target, Target)
    assert (judge_addresses(target, addresses) is not None) == is_refused
    assert judge_addresses(target, addresses, allow_private=True) is None


@pytest.mark.parametrize("addresses", [[], ["nonsense"]])
def test_name_without_an_address_is_refused_in_any_case(addresses: list[str]) -> None:
    """T33."""
    target = Target("https", "files.example", 443, "/")
    assert judge_addresses(target, addresses, allow_private=True) is not None


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2a00::1", "2002:808:808::", "64:ff9b::808:808"]
)
def test_address_of_the_internet_is_public(address: str) -> None:
    """T33: neighbours of the private ranges, and public addresses inside others."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    ("path", "whole"), [("/logs/", "/logs/x"), ("/logs", "/logs"), ("/?to=/", "/?to=/"), ("/", "/x")]
)
def test_file_name_goes_behind_a_directory_only(path: str, whole: str) -> None:
    """CORE-GD-01: a location that ends in a slash."""
    assert Target("https", "files.example", 443, path).with_file("x").path == whole
