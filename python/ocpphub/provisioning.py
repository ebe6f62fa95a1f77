"""The certificates that ``hub.toml`` brings: read from their files, and judged before a hub starts with them.

Owns what a file may hold beside the PEM and who may read a private key. Must never let a key into a text, nor keep one.

Implements: S-136, S-141, S-143, S-158; T28, T38.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ocpphub.core.certificates import Certificates, Provisioned
from ocpphub.core.rows import Rows
from ocpphub.errors import LocalError

if TYPE_CHECKING:
    from ocpphub.config import Security


def check(security: Security) -> None:
    """Raise the :class:`LocalError` that a core would raise for these files, and change nothing."""
    provisioned = read_provisioned(security)
    if provisioned == Provisioned() or find_spec("cryptography") is None:
        return
    from ocpphub.certificates import Certificates as Reader  # which takes time to load

    Certificates(lambda effect: None, Reader(), provisioned).restore(Rows((), ""), 0)


def read_provisioned(security: Security) -> Provisioned:
    """The certificates and the key in the files of ``hub.toml``, without what stands beside them there.

    Raises :class:`LocalError` with the path, never the content, for a file that cannot be read or holds nothing of the
    kind, and for a key that other users may read.
    """
    return Provisioned(
        _blocks(security.ca_file, "CERTIFICATE"),
        _blocks(security.client_certificate_file, "CERTIFICATE"),
        _blocks(security.client_key_file, "[A-Z ]*PRIVATE KEY", is_secret=True),
    )


def _blocks(path: Path | None, kind: str, *, is_secret: bool = False) -> str | None:
    """The PEM blocks of a kind in a file, ``None`` without a file."""
    if path is None:
        return None
    try:
        if is_secret and path.stat().st_mode & 0o077:
            raise LocalError("invalid_params", f"{path} is open to other users", hint=f"chmod 0600 {path}")
        text = path.read_text("ascii", "replace")
    except OSError as error:
        text = f"{path} cannot be read: {error.strerror}"
        raise LocalError("invalid_params", text, hint="a file that this user may read") from None
    found = [match[0] for match in re.finditer(rf"-----BEGIN ({kind})-----[^-]+-----END \1-----", text)]
    if not found:
        raise LocalError("invalid_params", f"{path} holds nothing of this kind", hint="PEM")
    return "\n".join(found) + "\n"
