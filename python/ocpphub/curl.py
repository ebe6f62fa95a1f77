"""One transfer by libcurl, in whatever thread calls :func:`run`: a file to or from a host whose addresses are judged.

Owns every option of libcurl and what its results mean. Must never resolve a name, follow a redirect, use a proxy or a
file of the user (netrc, ssh keys), speak another protocol than the one asked for, or connect to another address than
the given ones; and no text may hold more of the URL than scheme, host and port.

Implements: reliability.md T33; S-244; CORE-GD-08.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any, Final

import pycurl

from ocpphub.known_hosts import KnownHosts
from ocpphub.url_policy import PORTS, Target

CONNECT_TIMEOUT_S: Final = 30
LOW_SPEED_BYTES: Final = 100
LOW_SPEED_S: Final = 60
"""With fewer bytes a second for this long a transfer has failed."""
MAX_S: Final = 86_400
"""A peer that is hardly faster than that does not hold a place for ever."""
MAX_ANSWER: Final = 65_536
"""Bytes that the server may say to an upload."""
PROGRESS_S: Final = 1.0
LOOK_BYTES: Final = 4 * 2**20
"""How much is written before the room on the disk is looked at again."""
PROTOCOLS: Final = frozenset(pycurl.version_info()[8]) & PORTS.keys()
"""The schemes that this libcurl can."""
_FLAGS: Final = {
    "https": pycurl.PROTO_HTTPS,
    "http": pycurl.PROTO_HTTP,
    "ftp": pycurl.PROTO_FTP,
    "ftps": pycurl.PROTO_FTPS,
    "sftp": pycurl.PROTO_SFTP,
}
_DENIED_BY: Final = frozenset((401, 403, 407, 530, 532, 550, 553))
"""What HTTP and FTP servers answer to whom they do not let."""
_WHY: Final = {
    pycurl.E_UNSUPPORTED_PROTOCOL: "not_supported",
    pycurl.E_URL_MALFORMAT: "bad_message",
    pycurl.E_REMOTE_ACCESS_DENIED: "permission_denied",
    pycurl.E_LOGIN_DENIED: "permission_denied",
    pycurl.E_FILESIZE_EXCEEDED: "too_large",
}
_TEXTS: Final = {
    pycurl.E_REMOTE_ACCESS_DENIED: "access is denied",
    pycurl.E_LOGIN_DENIED: "the login is refused",
    pycurl.E_COULDNT_CONNECT: "no connection",
    pycurl.E_OPERATION_TIMEDOUT: "too slow, or no answer",
    pycurl.E_PARTIAL_FILE: "the connection ended before the file did",
    pycurl.E_GOT_NOTHING: "the connection ended without an answer",
    pycurl.E_RECV_ERROR: "the connection broke",
    pycurl.E_SEND_ERROR: "the connection broke",
    pycurl.E_PEER_FAILED_VERIFICATION: "the server is not the one it should be: certificate or host key refused",
    pycurl.E_SSL_CONNECT_ERROR: "no TLS connection",
    pycurl.E_USE_SSL_FAILED: "the server does not speak TLS",
    pycurl.E_SSH: "no SSH connection",
    pycurl.E_REMOTE_FILE_NOT_FOUND: "no such file or directory, or not for this user",
    pycurl.E_FILESIZE_EXCEEDED: "the file is too large",
    pycurl.E_REMOTE_DISK_FULL: "the disk of the server is full",
}


@dataclass(slots=True)
class Job:
    """What is to be transferred. :meth:`stop` may be called from any thread."""

    target: Target
    addresses: tuple[str, ...]
    """Where the host may be; nothing else is connected to."""
    descriptor: int
    """Of the file, open for writing (download) or reading (upload); the caller closes it."""
    upload: bool
    size: int
    """Bytes of an upload; the most bytes of a download."""
    roots: str = field(default="", repr=False)
    """Certificates in PEM that servers may be verified against, besides those of the system."""
    known_hosts: KnownHosts | None = None
    max_bytes_per_s: int | None = None
    progress: Callable[[int, int | None], None] = lambda done, total: None
    """Called in the thread of the transfer with bytes so far and in all, at most once a second."""
    has_room: Callable[[int], bool] = lambda more: True
    """Called in the thread of the transfer: whether the disk has room for more bytes of a download."""
    stopped: bool = False
    _fresh: socket.socket | None = None
    _sockets: set[int] = field(default_factory=set)
    """The open ones, by descriptor; nobody else may hold a copy, for the peer waits for the last one to close."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _told: tuple[float, int] = float("-inf"), 0
    _done: int = 0
    _looked: int = 0
    """With how many bytes the room is looked at next."""
    _total: int = 0
    _answer: int = 0
    _too_large: bool = False
    _trouble: str = ""

    def stop(self) -> None:
        """End the transfer at once: it fails."""
        self.stopped = True
        with self._lock:
            for descriptor in self._sockets:
                # Wakes libcurl, which would look for the flag once a second only.
                with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
                    copy.shutdown(socket.SHUT_RDWR)

    # What libcurl calls

    def open_socket(self, purpose: int, address: Any) -> Any:
        """A socket for an address that was judged: also for the data of FTP, whose address the server tells."""
        family, kind, protocol, place = address
        if family not in (socket.AF_INET, socket.AF_INET6) or self.stopped:
            return pycurl.SOCKET_BAD
        if ip_address(place[0]) not in map(ip_address, self.addresses):
            return pycurl.SOCKET_BAD
        self._fresh = socket.socket(family, kind, protocol)
        return self._fresh

    def opened(self, descriptor: int, purpose: int) -> int:
        """Remember the copy that libcurl has made of a socket, and close the original."""
        if self._fresh is not None:
            self._fresh.close()
        os.set_inheritable(descriptor, False)
        with self._lock:
            self._sockets.add(descriptor)
        return int(pycurl.SOCKOPT_OK)

    def close_socket(self, descriptor: int) -> int:
        """Close a socket of libcurl."""
        with self._lock:
            self._sockets.discard(descriptor)
            os.close(descriptor)
        return 0

    def write(self, data: bytes) -> int:
        """Take a piece of a download; 0 ends it."""
        if self._done + len(data) > self.size:
            self._too_large = True
            return 0
        if self._done >= self._looked:
            self._looked = self._done + LOOK_BYTES
            if not self._finds_room(len(data)):
                return 0
        self._done += len(data)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self.descriptor, view) :]
        except OSError as error:
            self._trouble = f"the file cannot be written: {error.strerror}"
            return 0
        return len(data)

    def hear(self, data: bytes) -> int:
        """Take a piece of what a server says to an upload; 0 ends it."""
        self._answer += len(data)
        return len(data) if self._answer <= MAX_ANSWER else 0

    def read(self, size: int) -> bytes | int:
        """The next piece of an upload."""
        try:
            data = os.read(self.descriptor, min(size, self.size - self._done))
        except OSError as error:
            self._trouble = f"the file cannot be read: {error.strerror}"
            return int(pycurl.READFUNC_ABORT)
        self._done += len(data)
        return data

    def seek(self, offset: int, origin: int) -> int:
        """Begin an upload anew."""
        self._done = os.lseek(self.descriptor, offset, origin)
        return int(pycurl.SEEKFUNC_OK)

    def follow(self, download: int, downloaded: int, upload: int, uploaded: int) -> int:
        """Tell how far it is; anything but 0 ends it."""
        done, total = (uploaded, self.size) if self.upload else (downloaded, download or None)
        if download > self._total and not self.upload:
            self._total = download
            if not self._finds_room(download - downloaded):
                return 1
        now_s = monotonic()
        if done > self._told[1] and now_s - self._told[0] >= PROGRESS_S:
            self._told = now_s, done
            self.progress(done, total)
        return int(self.stopped)

    def _finds_room(self, more: int) -> bool:
        if self.has_room(more):
            return True
        self._trouble = "there is no room for the file on the disk"
        return False

    def judge_key(self, known: Any, found: Any, match: int) -> int:
        """Whether a server that speaks SSH is the one it was."""
        key = found[0] if isinstance(found[0], bytes) else base64.b64decode(found[0])
        hosts, target = self.known_hosts, self.target
        is_known = hosts is not None and hosts.accepts(target.host, target.port, key)
        return int(pycurl.KHSTAT_FINE if is_known else pycurl.KHSTAT_REJECT)


def run(job: Job) -> dict[str, Any]:
    """Transfer, and say how it went: ``ok`` and ``bytes``, or ``why`` and ``text`` (``work.py``). Blocks."""
    curl = pycurl.Curl()
    try:
        _secure(curl, job)
        _transfer(curl, job)
        curl.perform()
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    except pycurl.error as error:
        return _failure(job, error.args[0], curl.getinfo(pycurl.RESPONSE_CODE))
    finally:
        curl.close()
    if job.target.scheme in ("http", "https") and not (200 <= status < 300 if job.upload else status == 200):
        what = "a redirect, which is not followed" if 300 <= status < 400 else f"{status}"
        return _failed(job, "failed", f"the answer is {what}")
    return {"ok": True, "bytes": job._done}


def _secure(curl: pycurl.Curl, job: Job) -> None:
    """Whom to talk to, by which protocol, and as whom."""
    target = job.target
    # Explicit FTPS is FTP that changes to TLS before the login; only the port tells the two apart.
    explicit = target.scheme == "ftps" and target.port != PORTS["ftps"]
    scheme = "ftp" if explicit else target.scheme
    host = f"[{target.host}]" if ":" in target.host else target.host
    curl.setopt(pycurl.URL, f"{scheme}://{host}:{target.port}{target.path}")
    curl.setopt(pycurl.PROTOCOLS, _FLAGS[scheme])
    curl.setopt(pycurl.REDIR_PROTOCOLS, 0)
    curl.setopt(pycurl.FOLLOWLOCATION, 0)
    curl.setopt(pycurl.PROXY, "")
    curl.setopt(pycurl.NOPROXY, "*")
    curl.setopt(pycurl.NETRC, pycurl.NETRC_IGNORED)
    if not target.is_address:
        curl.setopt(pycurl.RESOLVE, [f"{target.host}:{target.port}:{','.join(job.addresses)}"])
    curl.setopt(pycurl.OPENSOCKETFUNCTION, job.open_socket)
    curl.setopt(pycurl.SOCKOPTFUNCTION, job.opened)
    curl.setopt(pycurl.CLOSESOCKETFUNCTION, job.close_socket)
    curl.setopt(pycurl.USE_SSL, pycurl.USESSL_ALL if explicit else pycurl.USESSL_NONE)
    curl.setopt(pycurl.SSL_VERIFYPEER, 1)
    curl.setopt(pycurl.SSL_VERIFYHOST, 2)
    curl.setopt(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_2)
    curl.setopt(pycurl.CAINFO_BLOB, _system_roots() + job.roots.encode())
    if target.user is not None:
        # libcurl takes bytes; a text would have to be ASCII.
        curl.setopt(pycurl.USERNAME, target.user.encode())
        curl.setopt(pycurl.PASSWORD, (target.password or "").encode())
    curl.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_BASIC)
    if target.scheme == "sftp" and job.known_hosts is not None:
        curl.setopt(pycurl.SSH_AUTH_TYPES, pycurl.SSH_AUTH_PASSWORD | pycurl.SSH_AUTH_KEYBOARD)
        # libcurl reads the file for the type of key to ask for; the judgement is ours.
        curl.setopt(pycurl.SSH_KNOWNHOSTS, str(job.known_hosts.path))
        curl.setopt(pycurl.SSH_KEYFUNCTION, job.judge_key)


def _transfer(curl: pycurl.Curl, job: Job) -> None:
    """What to transfer, how fast, and when to give up."""
    curl.setopt(pycurl.NOSIGNAL, 1)
    curl.setopt(pycurl.CONNECTTIMEOUT, CONNECT_TIMEOUT_S)
    curl.setopt(pycurl.LOW_SPEED_LIMIT, LOW_SPEED_BYTES)
    curl.setopt(pycurl.LOW_SPEED_TIME, LOW_SPEED_S)
    curl.setopt(pycurl.TIMEOUT, MAX_S)
    curl.setopt(pycurl.FORBID_REUSE, 1)
    curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
    curl.setopt(pycurl.USERAGENT, "ocpphub")
    curl.setopt(pycurl.FAILONERROR, 1)
    curl.setopt(pycurl.NOPROGRESS, 0)
    curl.setopt(pycurl.XFERINFOFUNCTION, job.follow)
    speed = job.max_bytes_per_s or 0
    if job.upload:
        curl.setopt(pycurl.UPLOAD, 1)
        curl.setopt(pycurl.INFILESIZE_LARGE, job.size)
        curl.setopt(pycurl.READFUNCTION, job.read)
        curl.setopt(pycurl.SEEKFUNCTION, job.seek)
        curl.setopt(pycurl.WRITEFUNCTION, job.hear)
        curl.setopt(pycurl.MAX_SEND_SPEED_LARGE, speed)
    else:
        curl.setopt(pycurl.MAXFILESIZE_LARGE, job.size)
        curl.setopt(pycurl.WRITEFUNCTION, job.write)
        curl.setopt(pycurl.MAX_RECV_SPEED_LARGE, speed)


def _failure(job: Job, code: int, status: int) -> dict[str, Any]:
    if job._too_large:
        code = pycurl.E_FILESIZE_EXCEEDED
    by_status = "permission_denied" if status in _DENIED_BY else "too_large" if status == 413 else "failed"
    why = _WHY.get(code, by_status)
    text = job._trouble or _TEXTS.get(code, f"the answer is {status}" if status >= 400 else f"error {code} of libcurl")
    return _failed(job, why, text)


def _failed(job: Job, why: str, text: str) -> dict[str, Any]:
    return {"ok": False, "why": why, "text": f"{job.target.place}: {'ended' if job.stopped else text}"}


def _system_roots() -> bytes:
    """The certificates that the system trusts; the libcurl of a wheel does not know where they are."""
    places = ssl.get_default_verify_paths()
    for place in (places.cafile, "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt"):
        with contextlib.suppress(OSError):
            if place is not None:
                return Path(place).read_bytes() + b"\n"
    return b""
