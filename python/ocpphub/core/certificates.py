"""The certificates of one charge point: installed roots and its own, and the rows that keep them (white paper 2.6).

Owns which roots are trusted, which own certificate is shown, what ``hub.toml`` provisioned once, and which certificate
comes to its end. Must never let a private key out but to the link, and never judge a certificate without the port.

A private key, its chain and the mark of what the files held are rows: they change in the commit of the answer that
changes them, so that at every crash point there is one whole set (D9, T32).

Implements: S-136, S-146, S-180 to S-182, S-196 to S-200.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from orjson import dumps

from ocpphub.core.boot import utc_text
from ocpphub.core.effects import Discard, Effect, Store
from ocpphub.core.rows import Rows, log
from ocpphub.core.vocabulary import CertificateUseEnumType
from ocpphub.core.x509 import X509, Certificate, CertificateError
from ocpphub.errors import LocalError

TABLE: Final = "certificate"
MARK_TABLE: Final = "security"
MARK: Final = "provisioned"
CENTRAL: Final = str(CertificateUseEnumType.CENTRAL_SYSTEM_ROOT_CERTIFICATE)
MANUFACTURER: Final = str(CertificateUseEnumType.MANUFACTURER_ROOT_CERTIFICATE)
OWN: Final = "ChargePointCertificate"
TYPES: Final = (CENTRAL, MANUFACTURER, OWN)
MONTH_MS: Final = 30 * 86_400_000
"""How early an expiry is told, and how long an own certificate outlives the first day of the next (S-182)."""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What the files of ``hub.toml`` hold, as PEM texts without anything beside them."""

    roots: str | None = None
    chain: str | None = None
    private_key: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Root:
    """An installed root certificate."""

    type: str
    certificate: Certificate
    is_fallback: bool = False
    """Replaced by one that it signed, and kept until that has worked (S-197 to S-199)."""
    from_file: bool = False
    is_told: bool = False
    """Whether its expiry was told."""
    issuer: Certificate | None = None
    """The root that signed it, if it was ever installed: its hashes stay the same when that one goes (S-191)."""

    @property
    def key(self) -> str:
        """The key of its row."""
        return f"{self.type}:{self.certificate.fingerprint}"

    def row(self) -> bytes:
        """Its row."""
        issuer = None if self.issuer is None else self.issuer.pem
        text = {"type": self.type, "pem": self.certificate.pem, "issuer": issuer}
        return dumps({**text, "fallback": self.is_fallback, "file": self.from_file, "told": self.is_told})


@dataclass(slots=True)
class Own:
    """A certificate of this charge point with its private key."""

    chain: Sequence[Certificate]
    """The certificate itself first."""
    private_key: str = field(repr=False)
    from_file: bool = False
    has_worked: bool = False
    """Whether a link of profile 3 has opened with it."""
    is_told: bool = False

    @property
    def certificate(self) -> Certificate:
        """The certificate itself."""
        return self.chain[0]

    @property
    def pem(self) -> str:
        """The chain as PEM."""
        return "\n".join(each.pem.strip() for each in self.chain) + "\n"

    @property
    def key(self) -> str:
        """The key of its row."""
        return f"{OWN}:{self.certificate.fingerprint}"

    def row(self) -> bytes:
        """Its row."""
        text = {"type": OWN, "chain": self.pem, "private_key": self.private_key}
        return dumps({**text, "file": self.from_file, "worked": self.has_worked, "told": self.is_told})

    def is_valid(self, at_ms: int) -> bool:
        """Whether this moment lies within its validity."""
        return self.certificate.not_before_ms <= at_ms < self.certificate.not_after_ms


class Certificates:
    """All certificates of one charge point. Without a port there are only those of the files, unread."""

    def __init__(self, emit: Callable[[Effect], None], x509: X509 | None, provisioned: Provisioned | None) -> None:
        self._emit, self.x509 = emit, x509
        self._provisioned = provisioned or Provisioned()
        self._roots: dict[str, Root] = {}
        self._own: list[Own] = []
        self._late: list[Effect] = []
        """What :meth:`restore` has found out and :meth:`start` writes."""
        self.revision = 0
        """Rises with every change that others can see, of the profile too."""

    # life

    def restore(self, rows: Rows, at_ms: int) -> None:
        """Take up the rows of an earlier process, and the files if they hold something else than when last read.

        Raises :class:`LocalError` for a file that holds no certificate, or a key of another one.
        """
        if self.x509 is None:
            return
        for key, row in rows.objects(TABLE, type=str):
            try:
                self._restore_row(self.x509, row)
            except (CertificateError, KeyError, TypeError):
                log.error("a damaged row of %s is left aside: %s", TABLE, key)
        self._provision(self.x509, rows.object(MARK_TABLE, MARK) or {})
        self.arrange(at_ms)

    def _restore_row(self, x509: X509, row: dict[str, Any]) -> None:
        if row["type"] in (CENTRAL, MANUFACTURER):
            (certificate,) = x509.read(row["pem"])
            root = Root(row["type"], certificate, bool(row["fallback"]), bool(row["file"]), bool(row["told"]))
            root.issuer = x509.read(row["issuer"])[0] if row["issuer"] else None
            self._roots[root.key] = root
        elif row["type"] == OWN:
            chain = x509.read(row["chain"])
            flags = (bool(row["file"]), bool(row["worked"]), bool(row["told"]))
            self._own.append(Own(chain, str(row["private_key"]), *flags))

    def _provision(self, x509: X509, mark: dict[str, Any]) -> None:
        """Rows of the files change only when the files do: what the CSMS has deleted since stays deleted."""
        roots = _read(x509, self._provisioned.roots, "ca_file")
        chain = _read(x509, self._provisioned.chain, "client_certificate_file")
        new = {"roots": sorted(each.fingerprint for each in roots), "chain": [each.fingerprint for each in chain]}
        if new["roots"] != mark.get("roots", []):
            for root in [each for each in self._roots.values() if each.from_file]:
                del self._roots[root.key]
                self._late.append(Discard(TABLE, root.key))
            added = [Root(CENTRAL, each, from_file=True) for each in roots]
            added = [root for root in added if root.key not in self._roots]
            self._roots |= {root.key: root for root in added}
            changed = {root.key: root for root in [*added, *self._find_issuers(x509)]}
            self._late += [Store(TABLE, root.key, root.row()) for root in changed.values()]
        if new["chain"] != mark.get("chain", []):
            self._provision_own(x509, chain)
        if new != {"roots": mark.get("roots", []), "chain": mark.get("chain", [])}:
            self._late.append(Store(MARK_TABLE, MARK, dumps(new)))

    def _provision_own(self, x509: X509, chain: Sequence[Certificate]) -> None:
        for own in [each for each in self._own if each.from_file]:
            self._own.remove(own)
            self._late.append(Discard(TABLE, own.key))
        if not chain:
            return
        key = self._provisioned.private_key or ""
        try:
            fits = x509.holds(chain[0], key)
        except CertificateError as error:
            raise LocalError("invalid_params", f"client_key_file: {error}") from None
        if not fits:
            raise LocalError("invalid_params", "client_key_file holds the key of another certificate")
        own = Own(chain, key, from_file=True)
        self._own = [each for each in self._own if each.key != own.key] + [own]
        self._late.append(Store(TABLE, own.key, own.row()))

    def start(self) -> bool:
        """Whether the files hold something else than before. Effects: ``Store`` and ``Discard`` of it."""
        late, self._late = self._late, []
        for effect in late:
            self._emit(effect)
        return bool(late)

    # roots

    def roots(self, kind: str) -> list[Certificate]:
        """The installed roots of a type, those kept as a fallback among them."""
        return [each.certificate for each in self._roots.values() if each.type == kind]

    def manufacturer_roots(self) -> list[Certificate]:
        """Who may sign certificates that firmware is signed with (S-146)."""
        return self.roots(MANUFACTURER)

    def installed(self) -> list[Root]:
        """All installed roots, of both types."""
        return [*self._roots.values()]

    def trusted(self, *, fallback: bool = False) -> tuple[list[str], list[str]]:
        """Whom to trust over TLS, as fingerprints and as PEM: the present roots, or those kept as a fallback."""
        if self.x509 is None:
            return [], [] if self._provisioned.roots is None else [self._provisioned.roots]
        central = [each for each in self._roots.values() if each.type == CENTRAL]
        chosen = [each for each in central if each.is_fallback == fallback] or central
        return [each.certificate.fingerprint for each in chosen], [each.certificate.pem for each in chosen]

    def has_root(self, at_ms: int) -> bool:
        """Whether a CSMS could be trusted at this moment (S-163)."""
        if self.x509 is None:
            return self._provisioned.roots is not None
        return any(_is_root(self.x509, each, at_ms) for each in self.roots(CENTRAL))

    def put_root(self, kind: str, certificate: Certificate, replaced: Collection[Root] = ()) -> None:
        """Install a root; those that it replaces stay as a fallback, unless they never worked. Effects: ``Store``."""
        kept = [each for each in self._roots.values() if each.type == kind and each.is_fallback]
        for old in replaced:
            if kept:
                self._remove(old)
            else:
                old.is_fallback = True
                self._store(old)
        root = Root(kind, certificate)
        self._roots[root.key] = root
        found = [] if self.x509 is None else self._find_issuers(self.x509)
        for each in {root.key: root, **{other.key: other for other in found}}.values():
            self._store(each)

    def _find_issuers(self, x509: X509) -> list[Root]:
        """Note who signed roots that did not sign themselves; those of which it is known now."""
        found = []
        for root in self._roots.values():
            if root.issuer is None and not root.certificate.is_self_signed:
                others = [each.certificate for each in self._roots.values()]
                others = [each for each in others if each.subject == root.certificate.issuer]
                root.issuer = next((each for each in others if x509.is_signed_by(root.certificate, each)), None)
                found += [root] if root.issuer is not None else []
        return found

    def adopt(self, root: Root) -> None:
        """The CSMS has installed what a file brought: it stays when the file goes. Effects: ``Store``."""
        if root.from_file:
            root.from_file = False
            self._store(root)

    def remove_root(self, root: Root) -> None:
        """Delete a root. A fallback is the only one again when nobody else is left. Effects: ``Discard``, ``Store``."""
        self._remove(root)
        left = [each for each in self._roots.values() if each.type == root.type]
        if left and all(each.is_fallback for each in left):
            for each in left:
                each.is_fallback = False
                self._store(each)

    def drop_fallbacks(self) -> bool:
        """The present root has worked (S-198); whether there was another. Effects: ``Discard``."""
        found = [each for each in self._roots.values() if each.is_fallback]
        for root in found:
            self._remove(root)
        return bool(found)

    @property
    def has_fallback(self) -> bool:
        """Whether a root is kept until the one that replaced it has worked."""
        return any(each.is_fallback for each in self._roots.values())

    def _remove(self, root: Root) -> None:
        self.revision += 1
        del self._roots[root.key]
        self._emit(Discard(TABLE, root.key))

    def _store(self, record: Root | Own) -> None:
        self.revision += 1
        self._emit(Store(TABLE, record.key, record.row()))

    # own

    @property
    def own(self) -> Sequence[Own]:
        """Own certificates: the one to be shown first, then those it has replaced (S-181, S-182)."""
        return self._own

    def material(self, *, previous: bool = False) -> tuple[str | None, str | None, str | None]:
        """What a link of profile 3 shows: fingerprint, chain and private key.

        With ``previous`` those of another one, which a link has opened with already if there is such a one (S-182).
        """
        if self.x509 is None:
            return None, self._provisioned.chain, self._provisioned.private_key
        if not self._own:
            return None, None, None
        own = self._previous if previous else self._own[0]
        return own.certificate.fingerprint, own.pem, own.private_key

    @property
    def _previous(self) -> Own:
        others = self._own[1:]
        return next((each for each in others if each.has_worked), others[0] if others else self._own[0])

    def has_own(self, at_ms: int) -> bool:
        """Whether this charge point could prove itself at this moment (S-164)."""
        if self.x509 is None:
            return self._provisioned.chain is not None and self._provisioned.private_key is not None
        return any(each.is_valid(at_ms) for each in self._own)

    def put_own(self, own: Own, at_ms: int) -> bool:
        """Keep another own certificate; whether it is the one to be shown now. Effects: ``Store``, ``Discard``.

        Beside it stay the one that is shown, the one before that (S-182) and one that begins later: a CSMS may send
        any number of them.
        """
        self._own = [each for each in self._own if each.key != own.key] + [own]
        self._store(own)
        self.arrange(at_ms)
        later = [each for each in (own, *self._own) if each.certificate.not_before_ms > at_ms]
        kept = {each.key for each in (own, self._own[0], self._previous, *later[:1])}
        for each in [each for each in self._own if each.key not in kept]:
            self._give_up(each)
        return self._own[0] is own

    def _give_up(self, own: Own) -> None:
        self._own.remove(own)
        self.revision += 1
        self._emit(Discard(TABLE, own.key))

    def worked(self, fingerprint: str) -> None:
        """A link of profile 3 has opened with this one. Effects: ``Store`` the first time."""
        for own in self._own:
            if own.certificate.fingerprint == fingerprint and not own.has_worked:
                own.has_worked = True
                self._store(own)

    def arrange(self, at_ms: int) -> bool:
        """Choose the own certificate to be shown: the valid one with the latest begin; whether it is another now."""
        before = self._own[0] if self._own else None
        self._own.sort(key=lambda each: (each.is_valid(at_ms), each.certificate.not_before_ms), reverse=True)
        return bool(self._own) and self._own[0] is not before

    def prune(self, at_ms: int) -> None:
        """Give up own certificates that the present one has replaced for a month (S-182). Effects: ``Discard``."""
        if not self._own or not (self._own[0].has_worked and self._own[0].is_valid(at_ms)):
            return
        shown = self._own[0].certificate.not_before_ms
        for own in self._own[1:]:
            is_over = own.certificate.not_after_ms <= at_ms or shown + MONTH_MS <= at_ms
            if own.certificate.not_before_ms <= shown and is_over:
                self._give_up(own)

    # what others see

    def _current(self) -> Iterator[tuple[str, Root | Own]]:
        """What an expiry matters of: every root, and the own certificate that is shown."""
        yield from ((each.type, each) for each in self._roots.values())
        yield from ((OWN, each) for each in self._own[:1])

    def expiring(self, at_ms: int) -> list[tuple[str, Certificate]]:
        """Type and certificate of those that end within a month, each told once for ever. Effects: ``Store``."""
        found = []
        for kind, record in self._current():
            if not record.is_told and record.certificate.not_after_ms - MONTH_MS <= at_ms:
                record.is_told = True
                self._store(record)
                found.append((kind, record.certificate))
        return found

    def moments(self, at_ms: int) -> Iterator[int]:
        """When something of the certificates changes by itself, in milliseconds since 1970."""
        for _, record in self._current():
            if not record.is_told:
                yield record.certificate.not_after_ms - MONTH_MS
        for own in self._own:
            yield own.certificate.not_before_ms
            yield own.certificate.not_after_ms
        if len(self._own) > 1:
            yield self._own[0].certificate.not_before_ms + MONTH_MS

    def expiry_s(self, at_ms: int) -> dict[str, float]:
        """Seconds until the first one of a type ends, negative when it has; types without any are left out."""
        found: dict[str, float] = {}
        for kind, record in self._current():
            left_s = (record.certificate.not_after_ms - at_ms) / 1000
            found[kind] = min(left_s, found.get(kind, left_s))
        return found

    def described(self, in_use: Collection[str]) -> list[dict[str, Any]]:
        """The member ``certificates`` of ``charge_point.get``; ``in_use`` are fingerprints of the present link."""
        listed = [(each.type, each.certificate) for each in self._roots.values()]
        listed += [(OWN, each.certificate) for each in self._own]
        return [
            {
                "type": kind,
                "subject": each.subject,
                "issuer": each.issuer,
                "serial": each.serial,
                "fingerprint": each.fingerprint,
                "not_before": utc_text(each.not_before_ms),
                "not_after": utc_text(each.not_after_ms),
                "in_use": kind != MANUFACTURER and each.fingerprint in in_use,
            }
            for kind, each in listed
        ]


def _read(x509: X509, text: str | None, name: str) -> list[Certificate]:
    if text is None:
        return []
    try:
        return x509.read(text)
    except CertificateError as error:
        raise LocalError("invalid_params", f"{name}: {error}") from None


def _is_root(x509: X509, certificate: Certificate, at_ms: int) -> bool:
    try:
        x509.check_root(certificate, at_ms)
    except CertificateError:
        return False
    return True
