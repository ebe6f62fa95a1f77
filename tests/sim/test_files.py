"""The demo's file server gives out what it has and takes what it gets, over TLS only."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

tls = pytest.importorskip("ocpphub.sim.tls", reason="needs the extra `security`")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Any, http.client.HTTPSConnection]]:
    from ocpphub.sim.files import FileServer

    authority, context = tls.issue(tmp_path)
    server = FileServer(context)
    host, port = server.url.split("/")[2].split(":")
    client = http.client.HTTPSConnection(host, int(port), context=ssl.create_default_context(cafile=str(authority)))
    yield server, client
    client.close()
    server.close()


def test_file_server_keeps_what_is_put_and_gives_it_back(served: tuple[Any, http.client.HTTPSConnection]) -> None:
    server, client = served
    client.request("PUT", "/logs/a.tar.gz", b"content")
    assert client.getresponse().status == 201
    client.close()
    assert server.files == {"logs/a.tar.gz": b"content"}
    client.request("GET", "/logs/a.tar.gz")
    assert client.getresponse().read() == b"content"


def test_file_server_has_no_other_file(served: tuple[Any, http.client.HTTPSConnection]) -> None:
    _, client = served
    client.request("GET", "/other")
    assert client.getresponse().status == 404
