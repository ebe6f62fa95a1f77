"""known_hosts.py: the first host key of a server is kept, another one refused."""

from __future__ import annotations

import base64
import stat
import threading
from pathlib import Path

import pytest

from ocpphub.known_hosts import KnownHosts


def key(kind: str, secret: bytes) -> bytes:
    """A host key as SSH sends it: the kind with its length, and the rest."""
    return len(kind).to_bytes(4, "big") + kind.encode() + secret


FIRST, OTHER, RSA = key("ssh-ed25519", b"1"), key("ssh-ed25519", b"2"), key("ssh-rsa", b"3")


@pytest.fixture
def hosts(tmp_path: Path) -> KnownHosts:
    return KnownHosts(tmp_path / "known_hosts")


def test_first_key_is_kept_and_every_other_refused(hosts: KnownHosts, caplog: pytest.LogCaptureFixture) -> None:
    """T33: of another kind too, so that nobody gets in by offering one that was not seen yet."""
    caplog.set_level("INFO")
    assert [hosts.accepts("h", 22, each) for each in (FIRST, FIRST, OTHER, RSA, FIRST)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert hosts.path.read_bytes() == b"h ssh-ed25519 " + base64.b64encode(FIRST) + b"\n"
    levels = [record.levelname for record in caplog.records]
    assert levels == ["INFO", "WARNING", "WARNING"]


def test_keys_outlive_the_process_and_belong_to_host_and_port(hosts: KnownHosts) -> None:
    """T33: the file is that of OpenSSH, which writes ports other than 22 in brackets."""
    assert hosts.accepts("h", 22, FIRST)
    assert hosts.accepts("h", 2222, OTHER)
    assert hosts.accepts("2001:db8::1", 22, OTHER)
    again = KnownHosts(hosts.path)
    assert not again.accepts("h", 22, OTHER)
    assert not again.accepts("h", 2222, FIRST)
    assert [line.split()[0] for line in hosts.path.read_text().splitlines()] == ["h", "[h]:2222", "2001:db8::1"]
    assert stat.S_IMODE(hosts.path.stat().st_mode) == 0o600
    assert list(hosts.path.parent.iterdir()) == [hosts.path]


def test_lines_of_an_administrator_count_and_stay(hosts: KnownHosts) -> None:
    """T33: two keys of one host while it changes from one to the other; comments; a last line that does not end."""
    text = b"# ours\nh ssh-ed25519 %b old\nh ssh-rsa %b" % (base64.b64encode(FIRST), base64.b64encode(RSA))
    hosts.path.write_bytes(text)
    assert [hosts.accepts("h", 22, each) for each in (FIRST, RSA, OTHER)] == [True, True, False]
    assert hosts.path.read_bytes() == text
    assert hosts.accepts("i", 22, OTHER)
    assert hosts.path.read_bytes() == text + b"\ni ssh-ed25519 " + base64.b64encode(OTHER) + b"\n"


def test_line_may_name_several_hosts(hosts: KnownHosts) -> None:
    """T33: as ssh itself writes it for a host and its address; their case does not count."""
    text = b"\nFiles.example,10.0.0.1,[files.example]:2222 ssh-ed25519 %b\n" % base64.b64encode(FIRST)
    hosts.path.write_bytes(text)
    for name, port in (("files.example", 22), ("10.0.0.1", 22), ("files.example", 2222)):
        assert [hosts.accepts(name, port, each) for each in (FIRST, OTHER)] == [True, False]
    assert hosts.path.read_bytes() == text


@pytest.mark.parametrize(
    "words", ["|1|c2FsdA==|aGFzaA==", "@revoked h", "@cert-authority h", "*.example", "h,!i", "h?"]
)
def test_line_that_is_not_understood_is_refused_aloud(
    hosts: KnownHosts, caplog: pytest.LogCaptureFixture, words: str
) -> None:
    """T33: it may stand for the very server, whose key must not count as new."""
    text = f"# ours\n{words} ssh-ed25519 {base64.b64encode(OTHER).decode()}\n"
    hosts.path.write_text(text)
    assert not hosts.accepts("h", 22, FIRST)
    assert f"{hosts.path}:2: " in caplog.text
    assert hosts.path.read_text() == text


def test_file_that_cannot_be_used_trusts_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """T33: rather no transfer than one without a check."""
    (tmp_path / "known_hosts").mkdir()
    assert not KnownHosts(tmp_path / "known_hosts").accepts("h", 22, FIRST)
    assert not KnownHosts(tmp_path / "no directory" / "known_hosts").accepts("h", 22, FIRST)
    assert caplog.text.count("no SFTP server is trusted") == 2


def test_servers_that_are_met_at_once_are_all_kept(hosts: KnownHosts) -> None:
    """T33: transfers have threads of their own."""
    threads = [threading.Thread(target=hosts.accepts, args=(f"h{number}", 22, FIRST)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(line.split()[0] for line in hosts.path.read_text().splitlines()) == [f"h{i}" for i in range(8)]
