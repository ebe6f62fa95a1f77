"""Firmware: what was signed is what is installed, or nothing is."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ocpphub.certificates import verify_digest
from ocpphub.firmware_check import FirmwareCheck
from ocpphub.hooks import Hook

pytestmark = pytest.mark.asyncio
CONTENT = bytes(range(256)) * 5_000
EC_KEY, OTHER_EC_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(65537, 2048)
RSA_PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


def certificate(key: Any) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Manufacturer")])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    built = built.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return built.sign(EC_KEY, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def ecdsa(data: bytes, key: ec.EllipticCurvePrivateKey = EC_KEY, algorithm: Any = hashes.SHA256) -> str:
    return b64encode(key.sign(data, ec.ECDSA(algorithm()))).decode()


CERTIFICATE, RSA_CERTIFICATE = certificate(EC_KEY), certificate(RSA_KEY)


class Bench:
    """A downloaded file, its signature, and a program that installs it."""

    def __init__(self, directory: Path, *, unsigned: bool = False, script: str = "") -> None:
        self.directory = directory
        self.path = directory / "firmware"
        self.path.write_bytes(CONTENT)
        self.installed = directory / "installed"
        self.request = directory / "request"
        # `cat` is a child of the program: it inherits the descriptor.
        copy = f'cat >{self.request}; cat $(sed \'s/.*"path":"\\([^"]*\\)".*/\\1/\' {self.request}) >{self.installed}'
        hook = Hook(["/bin/sh", "-c", script or copy], directory, 30.0)
        self.check = FirmwareCheck(verify_digest, hook, unsigned=unsigned)

    async def verify(self, **changes: str) -> dict[str, Any]:
        params = {"path": str(self.path), "certificate": CERTIFICATE, "signature": ecdsa(CONTENT), **changes}
        return await self.check.verify("CP1", params)

    async def install(self, path: Path | None = None, identity: str = "CP1", **more: str) -> dict[str, Any]:
        return await self.check.install(identity, {"path": str(path or self.path), **more})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.mark.parametrize(
    ("pem", "signature"),
    [
        (CERTIFICATE, ecdsa(CONTENT)),
        (RSA_CERTIFICATE, b64encode(RSA_KEY.sign(CONTENT, RSA_PSS, hashes.SHA256())).decode()),
    ],
    ids=["ECDSA", "RSA-PSS"],
)
async def test_signed_firmware_is_what_the_program_gets(bench: Bench, pem: str, signature: str) -> None:
    """S-234, T36: over a descriptor, with the hash of what was checked."""
    assert await bench.verify(certificate=pem, signature=signature) == {"ok": True}
    assert await bench.install(version="2.0") == {"ok": True, "reboot": False}
    assert bench.installed.read_bytes() == CONTENT
    request = bench.request.read_text()
    assert '"charge_point":"CP1"' in request
    assert '"version":"2.0"' in request
    assert str(bench.path) not in request


def changed(at: int) -> Callable[[Bench], None]:
    def change(bench: Bench) -> None:
        bench.path.write_bytes(CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at:][1:])

    return change


def linked(bench: Bench) -> None:
    bench.path.rename(bench.directory / "real")
    bench.path.symlink_to(bench.directory / "real")


def piped(bench: Bench) -> None:
    bench.path.unlink()
    os.mkfifo(bench.path)


def foldered(bench: Bench) -> None:
    bench.path.unlink()
    bench.path.mkdir()


@pytest.mark.parametrize(
    ("tamper", "changes"),
    [
        pytest.param(changed(0), {}, id="the first bit"),
        pytest.param(changed(len(CONTENT) // 2), {}, id="a bit in the middle"),
        pytest.param(changed(len(CONTENT) - 1), {}, id="the last bit"),
        pytest.param(lambda bench: bench.path.write_bytes(CONTENT[:-1]), {}, id="cut"),
        pytest.param(lambda bench: bench.path.write_bytes(CONTENT + b"\0"), {}, id="longer"),
        pytest.param(lambda bench: bench.path.write_bytes(b""), {}, id="empty"),
        pytest.param(lambda bench: bench.path.unlink(), {}, id="gone"),
        pytest.param(linked, {}, id="a symbolic link"),
        pytest.param(piped, {}, id="a pipe"),
        pytest.param(foldered, {}, id="a directory"),
        pytest.param(None, {"signature": ecdsa(b"other firmware")}, id="of another file"),
        pytest.param(None, {"signature": ecdsa(CONTENT, OTHER_EC_KEY)}, id="of another key"),
        pytest.param(None, {"certificate": certificate(OTHER_EC_KEY)}, id="another certificate"),
        pytest.param(None, {"signature": ecdsa(CONTENT, algorithm=hashes.SHA1)}, id="SHA-1"),
        pytest.param(None, {"signature": ecdsa(CONTENT, algorithm=hashes.SHA512)}, id="SHA-512"),
        pytest.param(None, {"signature": ""}, id="no signature"),
        pytest.param(None, {"signature": "not base64!"}, id="no base64"),
        pytest.param(None, {"signature": ecdsa(CONTENT)[:-8]}, id="a short signature"),
        pytest.param(None, {"certificate": "no PEM"}, id="no certificate"),
        pytest.param(
            None,
            {
                "certificate": RSA_CERTIFICATE,
                "signature": b64encode(RSA_KEY.sign(CONTENT, padding.PKCS1v15(), hashes.SHA256())).decode(),
            },
            id="PKCS 1 v1.5",
        ),
        pytest.param(
            None,
            {
                "certificate": RSA_CERTIFICATE,
                "signature": b64encode(RSA_KEY.sign(CONTENT, RSA_PSS, hashes.SHA256())[::-1]).decode(),
            },
            id="RSA reversed",
        ),
    ],
)
async def test_tampered_firmware_is_refused_and_never_installed(
    bench: Bench, tamper: Callable[[Bench], None] | None, changes: dict[str, str]
) -> None:
    """T36, S-234, S-235: more than fifteen ways."""
    if tamper is not None:
        tamper(bench)
    answer = await bench.verify(**changes)
    assert (answer["ok"], answer["why"]) == (False, "invalid_signature")
    assert (await bench.install())["why"] == "refused"
    assert not bench.request.exists()


def swapped(bench: Bench) -> None:
    other = bench.directory / "other"
    other.write_bytes(b"evil" * 1_000)
    other.rename(bench.path)


@pytest.mark.parametrize("tamper", [changed(7), swapped, linked], ids=["changed in place", "swapped", "a link to it"])
async def test_file_that_changes_between_check_and_use_is_refused(
    bench: Bench, tamper: Callable[[Bench], None]
) -> None:
    """T36."""
    assert (await bench.verify())["ok"]
    tamper(bench)
    answer = await bench.install()
    assert (answer["ok"], answer["why"]) in ((False, "refused"), (False, "failed"))
    assert not bench.request.exists()


async def test_file_that_is_swapped_while_it_is_installed_is_still_the_checked_one(tmp_path: Path) -> None:
    """T36: the program reads the descriptor, whatever stands under the name."""
    path = "$(grep -o '/proc/self/fd/[0-9]*' request)"
    bench = Bench(tmp_path, script=f"cat >request; mv other firmware; cat {path} >installed")
    (tmp_path / "other").write_bytes(b"evil")
    assert (await bench.verify())["ok"]
    assert (await bench.install())["ok"]
    assert bench.path.read_bytes() == b"evil"
    assert bench.installed.read_bytes() == CONTENT


async def test_check_counts_once_for_one_file_and_one_charge_point(bench: Bench) -> None:
    """T36: neither another file, nor another charge point, nor a second time; a check that fails takes it back."""
    other = bench.directory / "other"
    other.write_bytes(CONTENT)
    assert (await bench.verify())["ok"]
    assert (await bench.install(identity="CP2"))["why"] == "refused"
    assert (await bench.install(other))["why"] == "refused"
    assert (await bench.verify())["ok"]
    assert (await bench.install())["ok"]
    assert (await bench.install())["why"] == "refused"
    assert (await bench.verify())["ok"]
    assert not (await bench.verify(signature=""))["ok"]
    assert (await bench.install())["why"] == "refused"


async def test_unsigned_firmware_is_installed_only_where_that_is_allowed(tmp_path: Path) -> None:
    """T36: ``[firmware] unsigned = true``."""
    assert (await Bench(tmp_path).install())["why"] == "refused"
    bench = Bench(tmp_path, unsigned=True)
    assert (await bench.install())["ok"]
    assert bench.installed.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('echo \'{"version": "2.1", "reboot": true}\'', {"ok": True, "version": "2.1", "reboot": True}),
        ('echo \'{"version": 5, "reboot": "yes"}\'', {"ok": True, "reboot": False}),
        (f'echo \'{{"version": "{"x" * 51}"}}\'', {"ok": True, "reboot": False}),
        ('echo \'{"accepted": false}\'', {"ok": False, "why": "refused", "text": "the hook does not install it"}),
        ("exit 1", {"ok": False, "why": "failed", "text": "the hook ended with 1"}),
    ],
)  # fmt: skip
async def test_answer_of_the_program(tmp_path: Path, script: str, expected: dict[str, Any]) -> None:
    """F42, T34: what it says is believed in its shape only."""
    assert await Bench(tmp_path, unsigned=True, script=script).install() == expected


async def test_doers_are_those_that_there_are_the_means_for(tmp_path: Path) -> None:
    """A missing extra or hook leaves its method out."""
    assert FirmwareCheck(None, None, unsigned=False).doers() == {}
    assert set(Bench(tmp_path).check.doers()) == {"firmware.verify", "firmware.install"}
