"""The host keys of SFTP servers: the first one seen is kept, another one is refused from then on.

Owns the file ``known_hosts`` of the state directory, in the format of OpenSSH; it is replaced as a whole. An
administrator may put keys there, or take away that of a server which has a new one. Use it in any thread.

A line names one host or several, with commas between. Lines with hashed names, patterns or markers (``|1|``, ``*``,
``?``, ``!``, ``@revoked``) are not understood; while there is one, every server is refused and the line is logged.

Implements: reliability.md T33; S-244.
"""

from __future__ import annotations

import base64
import logging
import os
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

log = logging.getLogger("ocpphub.daemon")

PORT: Final = 22


class KnownHosts:
    """The keys in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def accepts(self, host: str, port: int, key: bytes) -> bool:
        """Whether a server shows the key, in the form of the wire, that it is known by; an unknown one is known then.

        A file that cannot be read or written makes every server unknown for good: it is refused.
        """
        kind = key[4 : 4 + int.from_bytes(key[:4], "big")]
        name = (host if port == PORT else f"[{host}]:{port}").encode()
        with self._lock:
            try:
                return self._has(name, b" ".join((kind, base64.b64encode(key))))
            except ValueError as error:
                log.warning("%s:%s; no SFTP server is trusted", self.path, error)
                return False
            except OSError as error:
                log.warning("%s: %s; no SFTP server is trusted", self.path, error.strerror)
                return False

    def _has(self, name: bytes, key: bytes) -> bool:
        text = self.path.read_bytes() if self.path.exists() else b""
        known = [each for names, each in _keys(text) if name in names]
        if known and key not in known:
            log.warning("the SFTP server %s shows another host key than before: refused", name.decode())
        if not known:
            log.info("the SFTP server %s is known by its host key from now on", name.decode())
            self._write(text + (b"" if not text or text.endswith(b"\n") else b"\n") + name + b" " + key + b"\n")
        return not known or key in known

    def _write(self, text: bytes) -> None:
        beside = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with open(descriptor, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


def _keys(text: bytes) -> Iterator[tuple[list[bytes], bytes]]:
    """Names and key of each line. Raises ``ValueError`` with the number of the first line that is not understood."""
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith(b"#"):
            continue
        if any(each in b"@|*?!" for each in words[0]):
            raise ValueError(f"{number}: a marker, a hashed name or a pattern is not understood")
        yield words[0].lower().split(b","), b" ".join(words[1:3])
