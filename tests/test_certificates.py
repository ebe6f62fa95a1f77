"""X.509, with the program openssl as the judge that shares no code with what is tested."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, x25519
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID

from ocpphub import certificates
from ocpphub.certificates import MAX_CHAIN, Certificates, verify_digest
from ocpphub.core.x509 import X509, Certificate, CertificateError, HashAlgorithm
from tests.pki import CLIENT, CODE, DAY, NOW, NOW_MS, SERVER, Issued, issue, key_usage, pki, rsa_key

PORT: X509 = Certificates()
CHARACTERS_OF_A_CSR = 5500


def openssl(*arguments: str | Path, given: bytes | None = None, check: bool = True) -> bytes:
    """What openssl prints; with ``check`` a failure is one of the test."""
    done = subprocess.run(["openssl", *map(str, arguments)], input=given, capture_output=True, check=False, timeout=20)
    assert not check or done.returncode == 0, done.stderr.decode()
    return done.stdout if done.returncode == 0 else b""


def read(*issued: Issued) -> list[Certificate]:
    return [PORT.read(each.pem)[0] for each in issued]


RSA = ("-key", "/dev/stdin")
EC = ("-newkey", "ec", "-pkeyopt")


def by_openssl(*options: str) -> str:
    """A self-signed certificate of kinds that the library does not make; ``RSA`` is a key of 2048 bit."""
    key = issue(None, "x", key=rsa_key()).key_pem.encode()
    return openssl(
        *("req", "-x509", "-nodes", "-subj", "/CN=x", "-days", "1", "-keyout", "/dev/null", *options), given=key
    ).decode()


def test_certificates_are_read_in_their_order_whatever_the_line_ends() -> None:
    """S-143."""
    text = (pki().client.chain + "\n \n" + pki().root.pem).replace("\n", "\r\n")
    found = PORT.read(text)
    assert [each.fingerprint for each in found] == [
        each.fingerprint for each in (pki().client, pki().intermediate, pki().root)
    ]
    assert PORT.read("".join(each.pem for each in found)) == found


def test_certificate_says_what_openssl_says_of_it() -> None:
    """S-144, S-191."""
    issued = issue(pki().root, "SERIAL-7", organization="Ö & Co", serial=0x0A0B)
    (found,) = read(issued)
    options = ("-serial", "-fingerprint", "-sha256", "-startdate", "-enddate", "-dateopt", "iso_8601")
    lines = openssl("x509", "-noout", *options, given=issued.pem.encode()).decode().split("\n")
    told = dict(line.partition("=")[::2] for line in lines)
    assert (told["serial"], found.serial) == ("0A0B", "a0b")
    assert told["sha256 Fingerprint"].replace(":", "").lower() == found.fingerprint
    assert told["notBefore"] == f"{NOW - DAY:%Y-%m-%d %H:%M:%SZ}"
    assert (found.not_before_ms, found.not_after_ms) == (NOW_MS - 86_400_000, NOW_MS + 86_400_000)
    assert (found.common_name, found.organization) == ("SERIAL-7", "Ö & Co")
    assert (found.subject, found.issuer) == ("CN=SERIAL-7,O=Ö & Co", "CN=Operator root,O=Operator")
    assert "BEGIN" not in repr(found)


def test_authorities_and_self_signed_certificates_are_told_apart() -> None:
    """S-130: a name of its own as the issuer is not enough."""
    impostor = issue(pki().other, "Other root")
    found = read(pki().root, pki().intermediate, pki().client, issue(None, "self"), impostor)
    assert [(each.is_authority, each.is_self_signed) for each in found] == [
        (True, True),
        (True, False),
        (False, False),
        (False, True),
        (False, False),
    ]


def _der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(serialization.Encoding.DER)


BAD_TEXTS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "white space": lambda: " \r\n",
    "garbage": lambda: "certificate",
    "DER in hex": lambda: _der(pki().root).hex(),
    "base64 without its lines": lambda: base64.b64encode(_der(pki().root)).decode(),
    "a private key": lambda: pki().client.key_pem,
    "a key beside it": lambda: pki().client.pem + pki().client.key_pem,
    "text before it": lambda: "subject=CN=x\n" + pki().client.pem,
    "text between": lambda: pki().client.pem + "x" + pki().root.pem,
    "text behind": lambda: pki().client.pem + "\0",
    "no end": lambda: pki().client.pem.replace("END", "ENT"),
    "a request": lambda: PORT.new_request("a", "b").csr,
    "a cut one": lambda: pki().client.pem[:200] + "\n-----END CERTIFICATE-----\n",
    "no base64": lambda: pki().client.pem.replace("MII", "M=I", 1),
    "another encoding": lambda: pki().client.pem.replace("\n", "\u00a0\n", 3),
    "a flipped byte": lambda: _flipped(pki().client),
    "one bad of two": lambda: pki().client.pem + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
}


def _flipped(issued: Issued, place: int = 6) -> str:
    der = bytearray(_der(issued))
    der[place] ^= 0xFF
    return f"-----BEGIN CERTIFICATE-----\n{base64.b64encode(bytes(der)).decode()}\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_text_that_is_no_pem_of_certificates_is_refused(kind: str) -> None:
    """S-143, S-196: and the reason quotes nothing of it."""
    text = BAD_TEXTS[kind]()
    with pytest.raises(CertificateError) as caught:
        PORT.read(text)
    assert str(caught.value) in (
        "no certificate in PEM form",
        "something else stands beside the certificates",
        "a malformed certificate",
    )


def test_certificate_with_any_byte_turned_is_refused_or_leads_nowhere() -> None:
    """S-130, S-143: whatever broke, the reason is named and no other exception gets out."""
    (middle,), roots = read(pki().intermediate), read(pki().root)
    for place in range(len(_der(pki().client))):
        with pytest.raises(CertificateError):
            PORT.check_chain([*PORT.read(_flipped(pki().client, place)), middle], roots, NOW_MS)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-newkey", "rsa:1024"), "2048 bit"),
        ((*EC, "ec_paramgen_curve:prime192v1"), "224 bit"),
        ((*RSA, "-sha1"), "weak hash"),
        ((*RSA, "-md5"), "weak hash"),
        ((*EC, "ec_paramgen_curve:P-256", "-set_serial", "0"), "serial"),
        ((*EC, "ec_paramgen_curve:P-256", "-set_serial", "-5"), "serial"),
        ((*EC, "ec_paramgen_curve:P-256", "-set_serial", f"0x1{'0' * 40}"), "serial"),
    ],
    ids=["RSA-1024", "EC-192", "SHA-1", "MD5", "serial 0", "negative serial", "serial of 21 octets"],
)
def test_weak_certificate_is_refused(options: tuple[str, ...], why: str) -> None:
    """S-141, S-142, S-144."""
    with pytest.raises(CertificateError, match=why):
        PORT.read(by_openssl(*options))


def test_key_that_cannot_sign_is_refused() -> None:
    """S-141."""
    builder = x509.CertificateBuilder(
        pki().root.certificate.subject, pki().root.certificate.subject, x25519.X25519PrivateKey.generate().public_key()
    )
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + DAY)
    certificate = builder.sign(pki().root.key, hashes.SHA256())
    with pytest.raises(CertificateError, match="cannot sign"):
        PORT.read(Issued(certificate, None).pem)


@pytest.mark.parametrize(
    "options",
    [
        RSA,
        ("-newkey", "rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"),
        (*RSA, "-sigopt", "rsa_padding_mode:pss"),
        (*EC, "ec_paramgen_curve:secp224r1"),
        (*EC, "ec_paramgen_curve:brainpoolP256r1"),
        (*EC, "ec_paramgen_curve:P-521", "-sha512"),
        ("-newkey", "ed25519"),
    ],
    ids=["RSA-2048", "RSA-PSS key", "RSA-PSS signature", "EC-224", "brainpool", "EC-521", "Ed25519"],
)
def test_strong_certificate_of_every_kind_is_a_root(options: tuple[str, ...]) -> None:
    """S-141, S-142."""
    (found,) = PORT.read(by_openssl(*options))
    PORT.check_root(found, found.not_before_ms)
    assert found.is_self_signed


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("kind", ["issued", "self-signed", "name of many kinds"])
def test_hash_data_is_what_openssl_computes(tmp_path: Path, algorithm: HashAlgorithm, kind: str) -> None:
    """S-191, S-195: hashes of the issuer's DER name and of the bits of its key, as OCSP has them."""
    issuer = pki().root
    if kind == "name of many kinds":
        (tmp_path / "key").write_text(pki().other.key_pem)
        subject = "/C=DE/O=T\u00fcv/emailAddress=a@b.example/CN=One+UID=two"
        options = ("-new", "-x509", "-key", tmp_path / "key", "-subj", subject, "-multivalue-rdn", "-utf8")
        text = openssl("req", *options).decode()
        issuer = Issued(x509.load_pem_x509_certificate(text.encode()), pki().other.key)
    issued = issuer if kind == "self-signed" else issue(issuer, "leaf", serial=0x00C0FFEE)
    for name, each in (("issuer", issuer), ("issued", issued)):
        (tmp_path / name).write_text(each.pem)
    text = (
        openssl(
            *("ocsp", f"-{algorithm.lower()}", "-issuer", tmp_path / "issuer", "-cert", tmp_path / "issued"),
            *("-req_text", "-no_nonce"),
        )
        .decode()
        .replace("\\\n", "")
    )
    name_hash, key_hash, serial = re.findall(r"(?:Hash|Number): ([0-9A-F]+)", text)
    found = PORT.hash_data(read(issued)[0], None if issued is issuer else read(issuer)[0], algorithm)
    assert found.algorithm == algorithm
    assert (found.issuer_name_hash, found.issuer_key_hash) == (name_hash.lower(), key_hash.lower())
    assert found.serial == serial.lower().lstrip("0")


def test_hash_data_of_a_root_whose_issuer_is_unknown_has_its_own_key() -> None:
    """S-191: the name is the issuer's all the same."""
    (root,), (upper,) = read(pki().intermediate), read(pki().root)
    alone, known = PORT.hash_data(root, None, "SHA256"), PORT.hash_data(root, upper, "SHA256")
    assert alone.issuer_name_hash == known.issuer_name_hash
    assert alone.issuer_key_hash == PORT.hash_data(read(pki().client)[0], root, "SHA256").issuer_key_hash


def test_request_is_one_that_openssl_verifies() -> None:
    """S-142, S-144, S-171, S-173."""
    made = PORT.new_request("SERIAL-1", "Opérateur / Nord")
    assert len(made.csr) <= CHARACTERS_OF_A_CSR
    text = openssl("req", "-noout", "-verify", "-text", "-nameopt", "RFC2253,utf8,-esc_msb", given=made.csr.encode())
    shown = text.decode()
    assert "Subject: CN=SERIAL-1,O=Opérateur / Nord" in shown
    assert "Signature Algorithm: ecdsa-with-SHA256" in shown
    assert "NIST CURVE: P-256" in shown
    public = openssl("req", "-noout", "-pubkey", given=made.csr.encode())
    assert openssl("pkey", "-pubout", given=made.private_key.encode()) == public


def test_every_request_has_a_key_of_its_own_that_is_not_shown() -> None:
    """S-171, S-174, T31."""
    one, two = PORT.new_request("a", "b"), PORT.new_request("a", "b")
    assert one.private_key != two.private_key
    assert one.private_key not in repr(one)


@pytest.mark.parametrize(("common_name", "organization"), [("", "b"), ("a", ""), ("a" * 65, "b"), ("a", "b" * 65)])
def test_request_for_an_impossible_name_is_refused(common_name: str, organization: str) -> None:
    """S-144, S-173: RFC 5280 has 64 characters."""
    with pytest.raises(CertificateError, match="1 to 64"):
        PORT.new_request(common_name, organization)
    PORT.new_request("a" * 64, "b" * 64)


def test_private_key_belongs_to_its_certificate_only() -> None:
    """S-177: certificate for another key."""
    (client,) = read(pki().client)
    assert PORT.holds(client, pki().client.key_pem)
    assert not PORT.holds(client, pki().server.key_pem)
    assert not PORT.holds(client, issue(None, "x", key=rsa_key()).key_pem)


def test_private_key_that_cannot_be_read_is_refused_and_not_shown() -> None:
    """T30: garbage, one with a pass phrase."""
    locked = pki().client.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"canary")
    )
    for text in ("canary", locked.decode()):
        with pytest.raises(CertificateError) as caught:
            PORT.holds(read(pki().client)[0], text)
        assert str(caught.value) == "the private key cannot be read"


def test_signature_counts_with_the_name_and_the_key_of_the_issuer() -> None:
    """S-197."""
    other_name = issue(None, "Operator", authority=True, key=pki().root.key)
    other_key = issue(None, "Operator root", authority=True)
    intermediate, root, *wrong = read(pki().intermediate, pki().root, other_name, other_key, pki().other)
    assert PORT.is_signed_by(intermediate, root)
    assert PORT.is_signed_by(root, root)
    assert not any(PORT.is_signed_by(intermediate, each) for each in wrong)


class Case:
    """A chain to be judged: the leaf, what comes with it, the roots, the moment and whether it is good."""

    def __init__(
        self,
        leaf: Issued,
        others: Sequence[Issued] = (),
        roots: Sequence[Issued] = (),
        at_s: int = NOW_MS // 1000,
        why: str = "",
    ) -> None:
        self.leaf, self.others, self.roots = leaf, others, roots or (pki().root,)
        self.at_s, self.why = at_s, why


def leaf(issuer: Issued, **changes: object) -> Issued:
    """A charge point's certificate."""
    return issue(issuer, "SERIAL-1", **{"extended": (CLIENT,), "usage": ("digital_signature",), **changes})  # type: ignore[arg-type]


def authority(issuer: Issued | None, name: str, **changes: object) -> Issued:
    return issue(issuer, name, authority=True, **changes)  # type: ignore[arg-type]


UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"), b"\x05\x00")
ELSEWHERE = x509.NameConstraints([x509.DNSName("elsewhere.example")], None)


def cases() -> Iterator[tuple[str, Case]]:
    root, middle, client, other = pki().root, pki().intermediate, pki().client, pki().other
    later, before = NOW + 2 * DAY, NOW - 2 * DAY
    yield "good", Case(client, [middle])
    yield "by a root itself", Case(leaf(root))
    yield "with the root", Case(client, [middle, root])
    yield "in any order", Case(client, [root, other, middle])
    yield "of several roots", Case(client, [middle], [other, root])
    yield "RSA", Case(leaf(middle, key=rsa_key()), [middle])
    yield "no usage said", Case(issue(middle, "SERIAL-1"), [middle])
    yield "any purpose", Case(leaf(middle, extended=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, CLIENT)), [middle])
    yield "root that is not self-signed", Case(client, [], [middle])
    yield "before its last second", Case(leaf(middle, end=NOW), [middle], at_s=NOW_MS // 1000 - 1)
    yield "at its last second", Case(leaf(middle, end=NOW), [middle], why="certificate has expired")
    yield "missing intermediate", Case(client, why="no installed root")
    yield "another operator", Case(client, [middle], [other], why="no installed root")
    yield "self-signed", Case(issue(None, "SERIAL-1"), why="no installed root")
    yield "manufacturer", Case(leaf(pki().manufacturer), [middle], why="no installed root")
    yield "expired", Case(client, [middle], at_s=int((NOW + DAY).timestamp()) + 1, why="certificate has expired")
    yield "not yet valid", Case(client, [middle], at_s=int((NOW - DAY).timestamp()) - 1, why="is not valid yet")
    old = authority(root, "Old", start=before, end=NOW - DAY / 2)
    yield "expired intermediate", Case(leaf(old), [old], why="an intermediate certificate has expired")
    young = authority(None, "Young", start=NOW + DAY / 2, end=later)
    yield "root of tomorrow", Case(leaf(young), [], [young], why="the root is not valid yet")
    plain = issue(root, "Plain")
    yield "intermediate that is no authority", Case(leaf(plain), [plain], why="is no authority")
    yield "root that is no authority", Case(leaf(client), [], [client], why="is no authority")
    below = authority(middle, "Below")
    yield "longer than allowed", Case(leaf(below), [below, middle], why="allows no chain of this length")
    again = authority(middle, "Operator intermediate", key=ec.generate_private_key(ec.SECP256R1()))
    yield "self-issued ones do not count", Case(leaf(again), [again, middle])
    mute = authority(root, "Mute", usage=("digital_signature",))
    yield "intermediate that may not sign", Case(leaf(mute), [mute], why="may not sign certificates")
    yield "leaf for keys only", Case(leaf(middle, usage=("key_encipherment",)), [middle], why="may not prove a client")
    yield "leaf for servers only", Case(leaf(middle, extended=(SERVER,)), [middle], why="may not prove a client")
    odd = authority(root, "Odd", extensions=[(UNKNOWN, True)])
    yield "unknown critical extension", Case(leaf(odd), [odd], why="critical extension")
    yield "the same in the leaf", Case(leaf(middle, extensions=[(UNKNOWN, True)]), [middle], why="critical extension")
    mild = authority(root, "Mild", extensions=[(UNKNOWN, False)])
    yield "unknown extension that is not critical", Case(leaf(mild), [mild])
    narrow = authority(root, "Narrow", extensions=[(ELSEWHERE, True)])
    yield "name that is not allowed", Case(leaf(narrow, names=("here.example",)), [narrow], why="critical extension")
    twin = authority(other, "Operator intermediate")
    yield "namesake of the intermediate", Case(client, [twin], [root, other], why="no installed root")
    yield "and the right one behind it", Case(client, [twin, middle])
    loops = authority(authority(None, "Loop b"), "Loop a")
    yield "chain without end", Case(leaf(loops), [authority(loops, "Loop b"), loops], why="no installed root")


CASES = dict(cases())


@pytest.mark.parametrize("name", CASES)
def test_chain_is_judged_as_openssl_judges_it(tmp_path: Path, name: str) -> None:
    """S-130, S-145, S-177, S-179, S-200."""
    case = CASES[name]
    for part, issued in (("leaf", [case.leaf]), ("others", case.others or [case.leaf]), ("roots", case.roots)):
        (tmp_path / part).write_text("".join(each.pem for each in issued))
    trusting = ("-partial_chain", "-trusted", tmp_path / "roots", "-untrusted", tmp_path / "others")
    says = openssl(
        *("verify", "-purpose", "sslclient", "-attime", str(case.at_s), *trusting, tmp_path / "leaf"), check=False
    )
    assert bool(says) is (not case.why)
    try:
        PORT.check_chain(read(case.leaf, *case.others), read(*case.roots), case.at_s * 1000)
        why = ""
    except CertificateError as error:
        why = str(error)
    assert bool(why) is bool(case.why)
    assert case.why in why


def test_chain_that_is_too_long_or_empty_is_refused() -> None:
    """S-177."""
    line = [pki().root]
    for number in range(MAX_CHAIN):
        line.append(authority(line[-1], f"{number}"))
    chain = read(leaf(line[-1]), *reversed(line[1:]))
    with pytest.raises(CertificateError, match="more than 10"):
        PORT.check_chain(chain, read(pki().root), NOW_MS)
    PORT.check_chain([*read(leaf(line[-2])), *chain[2:]], read(pki().root), NOW_MS)
    with pytest.raises(CertificateError, match="empty"):
        PORT.check_chain([], read(pki().root), NOW_MS)


def test_chain_of_namesakes_costs_no_more_than_its_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """T20: certificates that all sign each other do not multiply the paths that are looked at."""
    key = pki().client.key
    namesakes = [authority(None, "Same", key=key) for _ in range(MAX_CHAIN - 1)]
    chain, roots = read(leaf(namesakes[0]), *namesakes), read(pki().root)
    seen = []
    original = certificates._is_signed_by

    def count(*pair: x509.Certificate) -> bool:
        seen.append(pair)
        return original(*pair)

    monkeypatch.setattr(certificates, "_is_signed_by", count)
    with pytest.raises(CertificateError):
        PORT.check_chain(chain, roots, NOW_MS)
    assert 0 < len(seen) <= MAX_CHAIN * MAX_CHAIN


@pytest.mark.parametrize(
    ("make", "at_days", "why"),
    [
        (lambda: pki().root, 0, ""),
        (lambda: pki().intermediate, 0, ""),
        (lambda: issue(None, "x", authority=True, extensions=[(ELSEWHERE, True)]), 0, ""),
        (lambda: pki().client, 0, "no authority"),
        (lambda: issue(None, "x"), 0, "no authority"),
        (lambda: issue(None, "x", authority=True, usage=("digital_signature",)), 0, "may not sign"),
        (lambda: pki().root, 2, "has expired"),
        (lambda: pki().root, -2, "not valid yet"),
    ],
)
def test_root_must_be_an_authority_of_its_time(make: object, at_days: int, why: str) -> None:
    """S-145, S-163, S-196, S-200."""
    assert callable(make)
    (root,) = read(make())
    if not why:
        PORT.check_root(root, NOW_MS)
        return
    with pytest.raises(CertificateError, match=why):
        PORT.check_root(root, NOW_MS + at_days * 86_400_000)


def signer(issuer: Issued, **changes: object) -> Issued:
    """A certificate that firmware is signed with."""
    given = {"extended": (CODE,), "usage": ("digital_signature",), "organization": "Manufacturer", **changes}
    return issue(issuer, "Firmware", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, ""),
        ({"key": rsa_key()}, ""),
        ({"extended": (), "usage": None}, ""),
        ({"start": NOW - 3 * DAY, "end": NOW - 2 * DAY}, "has expired"),
        ({"start": NOW + DAY / 2}, "not valid yet"),
        ({"usage": ("key_cert_sign",)}, "may not sign firmware"),
        ({"extended": (SERVER, CLIENT)}, "may not sign firmware"),
        ({"authority": True}, "an authority"),
        ({"key": ed25519.Ed25519PrivateKey.generate()}, "RSA or EC"),
        ({"extensions": [(UNKNOWN, True)]}, "critical extension"),
    ],
)
def test_firmware_signer_must_be_fit_for_it(changes: dict[str, object], why: str) -> None:
    """S-145, S-231, S-234."""
    (found,), roots = read(signer(pki().manufacturer, **changes)), read(pki().manufacturer)
    if not why:
        PORT.check_firmware_signer(found, roots, NOW_MS)
        return
    with pytest.raises(CertificateError, match=why):
        PORT.check_firmware_signer(found, roots, NOW_MS)


def test_firmware_signer_comes_from_a_root_itself() -> None:
    """S-146, S-147: not from another hierarchy, and with nothing between."""
    middle = issue(pki().manufacturer, "Middle", authority=True)
    for issuer, roots in (
        (pki().root, [pki().manufacturer]),
        (middle, [pki().manufacturer]),
        (pki().manufacturer, []),
    ):
        with pytest.raises(CertificateError, match="no installed root"):
            PORT.check_firmware_signer(read(signer(issuer))[0], read(*roots), NOW_MS)


PSS = ("-sigopt", "rsa_padding_mode:pss", "-sigopt")
SIGNING = {
    "PSS, salt as long as the digest": (True, True, ("-sha256", *PSS, "rsa_pss_saltlen:-1")),
    "PSS, salt as long as it can be": (True, True, ("-sha256", *PSS, "rsa_pss_saltlen:-2")),
    "PSS, no salt": (True, True, ("-sha256", *PSS, "rsa_pss_saltlen:0")),
    "ECDSA": (True, False, ("-sha256",)),
    "PKCS 1.5": (False, True, ("-sha256",)),
    "PSS with SHA-1 inside": (False, True, ("-sha256", *PSS, "rsa_pss_saltlen:-1", "-sigopt", "rsa_mgf1_md:sha1")),
    "PSS with SHA-384": (False, True, ("-sha384", *PSS, "rsa_pss_saltlen:-1")),
    "PSS with SHA-1": (False, True, ("-sha1", *PSS, "rsa_pss_saltlen:-1")),
    "ECDSA with SHA-384": (False, False, ("-sha384",)),
}


class Firmware:
    """A file of 100 kB, its certificate, and what openssl signs of it."""

    def __init__(self, directory: Path, key: PrivateKeyTypes) -> None:
        self.issued = signer(pki().manufacturer, key=key)
        self.file, self.key = directory / "firmware.bin", directory / "signer.key"
        self.file.write_bytes(os.urandom(100_000))
        self.key.write_text(self.issued.key_pem)

    def sign(self, *options: str) -> str:
        return base64.b64encode(openssl("dgst", *options, "-sign", self.key, self.file)).decode()

    def verify(self, signature: str, certificate: str | None = None) -> bool:
        return verify_digest(sha256(self.file.read_bytes()).digest(), certificate or self.issued.pem, signature)


@pytest.mark.parametrize("name", SIGNING)
def test_signature_by_openssl_is_accepted_with_the_schemes_of_the_paper_only(tmp_path: Path, name: str) -> None:
    """S-234, S-235: RSA-PSS or ECDSA, SHA-256 throughout."""
    expected, is_rsa, options = SIGNING[name]
    firmware = Firmware(tmp_path, rsa_key() if is_rsa else ec.generate_private_key(ec.SECP256R1()))
    assert firmware.verify(firmware.sign(*options)) is expected


def test_signature_may_be_broken_into_lines_and_fits_one_content_only(tmp_path: Path) -> None:
    """S-234, S-235: base64 as openssl writes it."""
    firmware = Firmware(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    signature = firmware.sign("-sha256")
    assert firmware.verify(f"{signature[:40]}\r\n{signature[40:]}\n")
    firmware.file.write_bytes(firmware.file.read_bytes()[:-1])
    assert not firmware.verify(signature)


def test_signature_that_is_none_is_a_wrong_one(tmp_path: Path) -> None:
    """S-234, S-235: malformed text, other keys, certificates that are none; never an exception."""
    firmware = Firmware(tmp_path, rsa_key())
    good = firmware.sign(*SIGNING["PSS, salt as long as the digest"][2])
    for bad in ("", "=", "é", good[:-4], good[:-8] + "AAAA" + good[-4:], f"{good}!", "A" * 800):
        assert not firmware.verify(bad)
    for certificate in ("", "x", "é", firmware.issued.key_pem, pki().root.pem, _edwards()):
        assert not firmware.verify(good, certificate or " ")
    assert firmware.verify(good)


def _edwards() -> str:
    return issue(pki().manufacturer, "Firmware", key=ed25519.Ed25519PrivateKey.generate()).pem


def test_key_usage_of_the_tests_says_what_it_names() -> None:
    """The judge's own tools: what a test calls a mute authority is one."""
    usage = key_usage("digital_signature")
    assert (usage.digital_signature, usage.key_cert_sign) == (True, False)
