"""An archive: what goes in, under which names, and how large it may be."""

from __future__ import annotations

import io
import os
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from ocpphub import tarball
from ocpphub.abortable import Abort, Aborted
from ocpphub.tarball import MAX_FILES, Content, safe_name, write

LARGE = 10**9


def noise(count: int) -> bytes:
    """Lines that do not compress."""
    source = random.Random(1)  # noqa: S311
    return b"".join(b"%06d %s\n" % (number, source.randbytes(40).hex().encode()) for number in range(count))


def made(records: bytes, limit: int = LARGE, directory: Path | None = None, **texts: bytes) -> dict[str, bytes] | None:
    """The files of the archive, ``None`` when there was none."""
    file = io.BytesIO()
    content = Content("log", io.BytesIO(records), len(records), texts, None if directory is None else str(directory))
    if not write(content, file, limit, Abort()):
        return None
    assert file.tell() == len(file.getvalue()) <= limit
    with tarfile.open(fileobj=io.BytesIO(file.getvalue()), mode="r:gz") as tar:
        entries = tar.getmembers()
        assert all(entry.isreg() and entry.mode == 0o600 and entry.uid == 0 for entry in entries)
        return {entry.name: (tar.extractfile(entry) or io.BytesIO()).read() for entry in entries}


def test_archive_holds_records_and_texts() -> None:
    """CORE-GD-01: one file."""
    assert made(b"one\ntwo\n", about=b"text") == {"log": b"one\ntwo\n", "about": b"text"}


def test_oldest_records_are_left_out_when_there_is_no_room() -> None:
    """CORE-GD-05: whole lines, the newest ones."""
    records = noise(2_000)
    files = made(records, 20_000, about=b"text")
    assert files is not None
    assert records.endswith(files["log"])
    assert files["log"].startswith(b"00")
    assert 10_000 < len(files["log"]) < len(records)
    assert files["about"] == b"text"


def test_archive_without_room_for_any_record_is_none() -> None:
    """Archive larger than it may be: ``too_large``."""
    assert made(noise(100), 2_000, about=os.urandom(4_000)) is None
    assert made(noise(100), 50) is None


def test_files_of_a_directory_are_added(tmp_path: Path) -> None:
    """T35: those below too, under names that stay where they are unpacked, none twice."""
    (tmp_path / "a b").mkdir()
    for name in ("plain.txt", "a b/..x", "a_b__x", "-rf", "ü\n"):
        (tmp_path / name).write_text(name)
    files = made(b"r\n", directory=tmp_path)
    assert files is not None
    assert sorted(files) == ["files/4_a_b__x", "files/__", "files/_rf", "files/a_b__x", "files/plain.txt", "log"]
    assert files["files/4_a_b__x"] == b"a b/..x"


def test_links_pipes_and_second_names_are_left_out(tmp_path: Path) -> None:
    """T35: nothing from outside the directory."""
    secret = tmp_path / "secret"
    secret.write_text("CANARY")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("CANARY")
    directory = tmp_path / "directory"
    directory.mkdir()
    (directory / "link").symlink_to(secret)
    (directory / "folder").symlink_to(tmp_path / "outside")
    (directory / "hard").hardlink_to(secret)
    os.mkfifo(directory / "pipe")
    (directory / "file").write_text("mine")
    assert made(b"r\n", directory=directory) == {"log": b"r\n", "files/file": b"mine"}


def test_directory_that_is_gone_or_a_link_adds_nothing(tmp_path: Path) -> None:
    """T35."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("CANARY")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert made(b"r\n", directory=tmp_path / "gone") == {"log": b"r\n"}
    assert made(b"r\n", directory=tmp_path / "link") == {"log": b"r\n"}


def test_file_that_becomes_shorter_meanwhile_keeps_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CORE-GD-01: a log in use that is rotated while it is read ends in zeros; what follows is whole."""
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_text("0123456789")
    add = tarball._add

    def late(tar: tarfile.TarFile, name: str, *rest: Any) -> None:
        if name == "files/a.log":
            os.truncate(tmp_path / "a.log", 4)
        add(tar, name, *rest)

    monkeypatch.setattr(tarball, "_add", late)
    files = made(b"r\n", directory=tmp_path)
    assert files == {"log": b"r\n", "files/a.log": b"0123" + bytes(6), "files/b.log": b"0123456789"}


def test_number_of_files_is_bounded(tmp_path: Path) -> None:
    """T35: a quota."""
    for number in range(MAX_FILES + 5):
        (tmp_path / str(number)).touch()
    files = made(b"r\n", directory=tmp_path)
    assert files is not None
    assert len(files) == MAX_FILES + 1


def test_work_that_is_aborted_ends() -> None:
    abort = Abort()
    abort.set()
    with pytest.raises(Aborted):
        write(Content("log", io.BytesIO(b"x"), 1, {}, None), io.BytesIO(), LARGE, abort)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("HUB-1", "HUB-1"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("/absolute", "_absolute"),
        ("", "_"),
        ("-K", "_K"),
        ("nul\0\n", "nul__"),
        ("x" * 4_096, "x" * 100),
        ("2027-01-15T08:00:00.000Z", "2027-01-15T08_00_00.000Z"),
    ],
)
def test_safe_name(text: str, expected: str) -> None:
    """T35: whatever the CSMS or a controller calls it."""
    assert safe_name(text) == expected
