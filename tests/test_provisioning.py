"""The certificates that ``hub.toml`` brings: what their files may hold, and which are refused before a start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ocpphub import provisioning
from ocpphub.config import Security
from ocpphub.errors import LocalError
from tests.pki import pki

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----\n"
PRIVATE = "-----BEGIN EC PRIVATE KEY-----\nc2VjcmV0\n-----END EC PRIVATE KEY-----\n"


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_provisioned_files_are_read_without_what_stands_beside_the_pem(tmp_path: Path) -> None:
    """S-158, T38: many a file says in words what it holds."""
    roots = written(tmp_path / "ca.pem", f"# the CSMS\n{CERTIFICATE}# and another\n{CERTIFICATE}", 0o644)
    chain = written(tmp_path / "own.pem", CERTIFICATE + PRIVATE)
    key = written(tmp_path / "own.key", f"Bag Attributes\n{PRIVATE}")
    found = provisioning.read_provisioned(Security(3, None, roots, chain, key, False))
    assert found.roots is not None
    assert (found.roots.split(), found.chain, found.private_key) == ((CERTIFICATE * 2).split(), CERTIFICATE, PRIVATE)
    assert "c2VjcmV0" not in repr(found)


def test_provisioned_without_files_is_nothing() -> None:
    found = provisioning.read_provisioned(Security(0, None, None, None, None, True))
    assert (found.roots, found.chain, found.private_key) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (PRIVATE, 0o640, "is open to other users"),
        (CERTIFICATE, 0o600, "holds nothing of this kind"),
        ("", 0o600, "holds nothing of this kind"),
        (None, 0o600, "cannot be read"),
    ],
)
def test_key_file_that_cannot_be_used_is_refused_by_its_path(
    tmp_path: Path, text: str | None, mode: int, why: str
) -> None:
    """T28, S-158."""
    key = tmp_path / "own.key"
    if text is not None:
        written(key, text, mode)
    with pytest.raises(LocalError, match=why) as caught:
        provisioning.read_provisioned(Security(3, None, None, None, key, False))
    assert str(key) in caught.value.message
    assert "c2VjcmV0" not in str(caught.value)


def test_files_that_fit_each_other_are_good(tmp_path: Path) -> None:
    """S-136, S-164."""
    chain, key = pki().client.write(tmp_path)
    roots = written(tmp_path / "ca.pem", pki().root.pem, 0o644)
    provisioning.check(Security(3, None, roots, chain, key, False))


def test_files_that_a_start_would_refuse_are_refused(tmp_path: Path) -> None:
    """S-141, T38: text between the lines of PEM that is no certificate, and a key of somebody else."""
    bad = written(tmp_path / "ca.pem", CERTIFICATE, 0o644)
    with pytest.raises(LocalError, match="ca_file: "):
        provisioning.check(Security(2, None, bad, None, None, False))
    chain, _ = pki().client.write(tmp_path)
    _, other = pki().server.write(tmp_path, "other")
    with pytest.raises(LocalError, match="client_key_file holds the key of another certificate"):
        provisioning.check(Security(3, None, None, chain, other, False))


def test_certificates_are_not_read_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S-191: TLS alone judges them then."""
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setattr(provisioning, "find_spec", lambda name: None)
    provisioning.check(Security(2, None, written(tmp_path / "ca.pem", CERTIFICATE), None, None, False))
