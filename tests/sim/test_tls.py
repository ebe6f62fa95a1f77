"""The throw-away certificates of the demo verify, for 127.0.0.1 only and with their own authority only."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

tls = pytest.importorskip("ocpphub.sim.tls", reason="needs the extra `security`")


def handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> None:
    """A TLS handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(10):
        for index, side in enumerate(sides):
            if not done[index]:
                try:
                    side.do_handshake()
                    done[index] = True
                except ssl.SSLWantReadError:
                    pass
    assert done == [True, True]


def test_certificates_verify_against_their_own_authority(tmp_path: Path) -> None:
    """S-130: full path validation, TLS 1.2 or newer; S-158: the key file is for its owner."""
    authority, server = tls.issue(tmp_path)
    handshake(ssl.create_default_context(cafile=str(authority)), server, "127.0.0.1")
    assert server.minimum_version == ssl.TLSVersion.TLSv1_2
    assert (tmp_path / "server.key").stat().st_mode & 0o177 == 0


def test_certificates_are_refused_for_another_host_or_authority(tmp_path: Path) -> None:
    """S-130: another host name and another root both fail."""
    authority, server = tls.issue(tmp_path)
    (tmp_path / "other").mkdir()
    other, _ = tls.issue(tmp_path / "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ssl.create_default_context(cafile=str(authority)), server, "127.0.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(ssl.create_default_context(cafile=str(other)), server, "127.0.0.1")
