"""Real file servers on loopback, as their distributions ship them: vsftpd, pyftpdlib, sshd with sftp-server, nginx.

Each runs in the foreground out of a configuration file in a directory of its own, and is stopped by its process id.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import pki

HOST = "files.example"
USER = "charge-point"
PASSWORD = "correct"
START_S = 10.0
_HASH = "$6$ocpphub$iJwgvnCHwcYl1d2aik3VYF5Cct2cmNgKa3MxApsdHKTBRaKFx7Y0S7BmHifwgShtWRjHc.pqj4zJSTrD0cMfY."
"""Of the password, as ``openssl passwd -6`` makes it."""
_SYSTEM_PYTHON = "/usr/bin/python3"
_SFTP_SERVER = "/usr/lib/openssh/sftp-server"


@dataclass
class FileServer:
    """A running server: what it serves is in ``files``, what is stored goes to ``files/put``."""

    process: subprocess.Popen[bytes]
    port: int
    files: Path
    tls_port: int = 0


def free_port(address: str = "127.0.0.1") -> int:
    """A port where nobody listens just now."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def needed(*programs: str) -> None:
    """Skip where one of them is not installed; in CI all are."""
    missing = [program for program in programs if shutil.which(program) is None and not Path(program).exists()]
    if missing:
        assert not os.environ.get("CI"), f"not installed: {missing}"
        pytest.skip(f"{missing[0]} is not installed")


def prepared(directory: Path) -> Path:
    """Files to fetch, and a place to put some."""
    files = directory / "files"
    (files / "put").mkdir(parents=True)
    (files / "firmware.bin").write_bytes(content())
    (files / "locked").mkdir()
    for path in (files, files / "put", files / "firmware.bin"):
        path.chmod(0o755)
    return files


def content(size: int = 300_000) -> bytes:
    """Bytes of which no two places are alike."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4))


@contextlib.contextmanager
def running(
    directory: Path,
    argv: Sequence[str],
    port: int,
    environment: dict[str, str] | None = None,
    address: str = "127.0.0.1",
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server, wait until it listens, and stop it in the end."""
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={"PATH": os.environ["PATH"], **(environment or {})},
        )
    try:
        deadline_s = time.monotonic() + START_S
        while True:
            assert process.poll() is None, output.read_text(errors="replace")
            assert time.monotonic() < deadline_s, output.read_text(errors="replace")
            with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
                break
            time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def certificate(directory: Path, host: str = HOST) -> tuple[Path, Path]:
    """The files of a chain for a host by the operator's root, with an RSA key, which every server takes."""
    issued = pki.issue(
        pki.pki().intermediate,
        host,
        names=(host,),
        extended=(pki.SERVER,),
        key=pki.rsa_key(),
        usage=("digital_signature",),
    )
    return issued.write(directory, host)


@contextlib.contextmanager
def vsftpd(directory: Path, *, implicit: bool = False, address: str = "127.0.0.1") -> Iterator[FileServer]:
    """FTPS with the rule that data connections resume the session of the control connection."""
    needed("vsftpd")
    files, port = prepared(directory), 990 if implicit else free_port()
    chain, key = certificate(directory)
    (directory / "empty").mkdir(mode=0o755)
    (directory / "passwords").write_text(PASSWORD + "\n")
    is_root = os.geteuid() == 0
    if is_root:
        shutil.chown(files / "put", "ftp")
    options = {
        "listen": "YES", "listen_address": address, "listen_port": port, "background": "NO",
        "isolate": "NO", "isolate_network": "NO", "seccomp_sandbox": "NO",
        "run_as_launching_user": "NO" if is_root else "YES", "secure_chroot_dir": directory / "empty",
        "anonymous_enable": "YES", "anon_root": files, "secure_email_list_enable": "YES",
        "email_password_file": directory / "passwords", "delay_failed_login": 0,
        "write_enable": "YES", "anon_upload_enable": "YES", "anon_world_readable_only": "NO",
        "ssl_enable": "YES", "implicit_ssl": "YES" if implicit else "NO", "allow_anon_ssl": "YES",
        "force_anon_logins_ssl": "YES", "force_anon_data_ssl": "YES", "require_ssl_reuse": "YES",
        "ssl_ciphers": "HIGH", "rsa_cert_file": chain, "rsa_private_key_file": key,
    }  # fmt: skip
    file = directory / "vsftpd.conf"
    file.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    with running(directory, ["vsftpd", str(file)], port, address=address) as process:
        yield FileServer(process, port, files)


@contextlib.contextmanager
def pyftpdlib(directory: Path) -> Iterator[FileServer]:
    """FTP with a user and a password."""
    needed(_SYSTEM_PYTHON)
    if subprocess.run([_SYSTEM_PYTHON, "-c", "import pyftpdlib"], capture_output=True, check=False).returncode:
        needed("pyftpdlib")
    files, port = prepared(directory), free_port()
    options = ["-i", "127.0.0.1", "-p", str(port), "-w", "-d", str(files), "-u", USER, "-P", PASSWORD]
    with running(directory, [_SYSTEM_PYTHON, "-W", "ignore", "-m", "pyftpdlib", *options], port) as process:
        yield FileServer(process, port, files)


@contextlib.contextmanager
def sshd(directory: Path, port: int | None = None) -> Iterator[FileServer]:
    """OpenSSH with its sftp-server and a user who exists for it alone."""
    needed("sshd", "ssh-keygen", _SFTP_SERVER)
    wrapper = next(Path("/usr/lib").glob("*/libnss_wrapper.so"), None) or Path("libnss_wrapper.so")
    needed(str(wrapper))
    files, port = (
        prepared(directory) if not (directory / "files").exists() else directory / "files",
        port or free_port(),
    )
    key = directory / f"host-key-{time.monotonic_ns()}"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    me = f"{os.geteuid()}:{os.getegid()}"
    (directory / "passwd").write_text(
        f"{USER}:x:{me}::{files}:/bin/sh\nsshd:x:65534:65534::/run/sshd:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
    )
    (directory / "shadow").write_text(f"{USER}:{_HASH}:19000:0:99999:7:::\n")
    (directory / "group").write_text(f"own:x:{os.getegid()}:\nnogroup:x:65534:\n")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(0o755, exist_ok=True)
    file = directory / "sshd_config"
    file.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {key}\nPidFile none\nUsePAM no\nStrictModes no\n"
        f"PasswordAuthentication yes\nPermitRootLogin yes\nPrintMotd no\nSubsystem sftp {_SFTP_SERVER}\n"
    )
    environment = {
        "LD_PRELOAD": str(wrapper),
        **{f"NSS_WRAPPER_{name.upper()}": str(directory / name) for name in ("passwd", "shadow", "group")},
    }
    program = shutil.which("sshd") or "sshd"
    with running(directory, [program, "-D", "-e", "-f", str(file)], port, environment) as process:
        yield FileServer(process, port, files)


@contextlib.contextmanager
def nginx(directory: Path) -> Iterator[FileServer]:
    """HTTP and HTTPS: files with ranges, PUT, a password, every bad answer, and a slow corner."""
    needed("nginx")
    files, port, tls_port = prepared(directory), free_port(), free_port()
    chain, key = certificate(directory)
    (directory / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
    temporary = "".join(
        f"{name}_temp_path {directory / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    answers = "".join(f"location /answer/{code} {{ return {code}; }}\n" for code in (401, 403, 404, 413, 500, 503))
    answers += "".join(
        f"location /moved/{code} {{ return {code} http://127.0.0.1:{port}/firmware.bin; }}\n"
        for code in (301, 302, 307)
    )
    locations = f"""
        root {files};
        client_max_body_size 1m;
        location /put/ {{ dav_methods PUT; }}
        location /private/ {{ alias {files}/; auth_basic x; auth_basic_user_file {directory}/users; }}
        location /slow/ {{ alias {files}/; limit_rate 20k; }}
        {answers}
    """
    file = directory / "nginx.conf"
    file.write_text(
        f"""
daemon off;
master_process off;
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
    access_log {directory}/access.log;
    {temporary}
    server {{ listen 127.0.0.1:{port}; {locations} }}
    server {{ listen 127.0.0.1:{tls_port} ssl; ssl_certificate {chain}; ssl_certificate_key {key}; {locations} }}
}}
"""
    )
    with running(directory, ["nginx", "-c", str(file), "-e", "stderr", "-p", str(directory)], port) as process:
        yield FileServer(process, port, files, tls_port)
