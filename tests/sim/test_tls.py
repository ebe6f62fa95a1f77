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


def test_authority_signs_the_request_of_a_charge_point_and_asks_for_it(tmp_path: Path) -> None:
    """S-135: a server of profile 3 lets in who has a certificate of its own authority, and nobody else."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority = tls.Authority.new("operator")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "SN-1")])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    chain, private = tmp_path / "chain.pem", tmp_path / "private.pem"
    chain.write_text(authority.sign(request.public_bytes(serialization.Encoding.PEM).decode()))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = authority.server_context(tmp_path, wants_client=True)
    client = ssl.create_default_context(cadata=authority.pem)
    with pytest.raises(ssl.SSLError):
        handshake(client, server, "127.0.0.1")
    client.load_cert_chain(chain, private)
    handshake(client, server, "127.0.0.1")


def test_signer_signs_the_whole_file() -> None:
    """S-234."""
    import base64

    from cryptography import x509
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    signer = tls.Authority.new("maker").signer("firmware")
    public = x509.load_pem_x509_certificate(signer.certificate.encode()).public_key()
    signature = base64.b64decode(signer.signature(b"firmware"))
    public.verify(signature, b"firmware", ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, union-attr, arg-type]
    with pytest.raises(InvalidSignature):
        public.verify(signature, b"Firmware", ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg, union-attr, arg-type]
