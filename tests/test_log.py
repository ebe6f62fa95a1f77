"""What a log line holds, and what it must never hold."""

from __future__ import annotations

import io
import json
import logging
import time
import warnings
from collections.abc import Iterator

import pytest

from ocpphub import log


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    root, own = logging.getLogger(), logging.getLogger("ocpphub")
    handlers, levels = list(root.handlers), (root.level, own.level)
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])
    log._hidden.clear()


def lines(log_format: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    log.setup(level, log_format, stream)
    return stream


def test_record_carries_the_charge_point_of_its_context() -> None:
    """J-108: the identity is in no message, so each record names it."""
    stream = lines("text")
    with log.charge_point("HUB-1"):
        logging.getLogger("ocpphub.core").info("booted")
    log.for_charge_point("ocpphub.csms", "HUB-2").info("connected")
    logging.getLogger("ocpphub.daemon").info("started")
    first, second, third = stream.getvalue().splitlines()
    assert first.endswith("INFO ocpphub.core [HUB-1] booted")
    assert second.endswith("INFO ocpphub.csms [HUB-2] connected")
    assert third.endswith("INFO ocpphub.daemon [-] started")


def test_record_made_inside_a_context_carries_its_charge_point() -> None:
    out = lines("text")
    log.context("HUB-7").run(logging.getLogger("ocpphub.core").warning, "hello")
    logging.getLogger("ocpphub.core").warning("again")
    first, second = out.getvalue().splitlines()
    assert "[HUB-7]" in first
    assert "[HUB-7]" not in second


def test_json_record_is_one_object_per_line_with_the_traceback_inside() -> None:
    """T30: the traceback is masked like the message."""
    stream = lines("json")
    try:
        raise ValueError('{"idTag": "SECRETTAG"}')
    except ValueError:
        logging.getLogger("ocpphub.core").exception("failed")
    (line,) = stream.getvalue().splitlines()
    fields = json.loads(line)
    assert fields["level"] == "error"
    assert fields["logger"] == "ocpphub.core"
    assert "ValueError" in fields["exception"]
    assert "SECRETTAG" not in line


def test_level_hides_what_is_less_important_and_setup_twice_logs_once() -> None:
    """T30: frames appear at DEBUG only."""
    lines("text")
    stream = lines("text", "warning")
    logging.getLogger("ocpphub.csms").info("connected")
    logging.getLogger("ocpphub.csms").warning("odd frame")
    assert len(stream.getvalue().splitlines()) == 1


def test_libraries_and_warnings_are_masked_too() -> None:
    """T30: whoever logs in this process, no secret leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        stream = lines("text", "error")
        logging.getLogger("websockets").warning("to ws://user:CANARY00@host/")
        logging.getLogger("websockets").info("not heard")
        warnings.warn("-----BEGIN PRIVATE KEY-----CANARY00", RuntimeWarning, stacklevel=1)
    text = stream.getvalue()
    assert "websockets" in text
    assert "py.warnings" in text
    assert "CANARY00" not in text
    assert "not heard" not in text


def test_received_text_cannot_break_out_of_its_line() -> None:
    """J-149: received control characters are escaped, so a peer cannot forge a record."""
    stream = lines("text")
    logging.getLogger("ocpphub.csms").info("closed: %s", "bye\n2026 ERROR forged\x1b[2J\u2028")
    assert len(stream.getvalue().splitlines()) == 1
    assert "\\n2026" in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":"CANARY00"}]',
        '[2,"1","ChangeConfiguration",{"value": "CANARY00", "key": "authorizationkey"}]',
        '[2,"1","ChangeConfiguration",{"key":"Authorization\\u004bey","value":"CANARY00"}]',
        '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":["CANARY00',
        '[2,"1","ChangeConfiguration",{"key":"AuthorizationKey","value":CANARY00}]',
        '{"id\\u0054ag":"CANARY00"}',
        "Authorization: Basic CANARY00",
        "{'Authorization': 'Basic CANARY00'}",
        "wss://user:CANARY00@csms.example/ocpp",
        "-----BEGIN PRIVATE KEY-----\nCANARY00\n-----END PRIVATE KEY-----",
        "-----BEGIN CERTIFICATE-----\\nCANARY00 cut off",
        '{"idTag":"CANARY00"}',
        '{"parentIdTag" : "CANARY00"}',
        '{"id_tag": "CANARY00\\"quoted"}',
        '[2,"1","CertificateSigned",{"certificateChain":"CANARY00"}]',
        '{"authorization_key": "CANARY00"}',
    ],
)
def test_secret_in_any_shape_is_masked(text: str) -> None:
    """T30, J-149: keys, certificates, passwords and id tags never reach the log."""
    assert "CANARY00" not in log.mask(text)


SHAPES = {
    "one word": ("[", "x"),
    "address after address": ("", "a://b"),
    "user without an end": ("http://", "u:"),
    "header of blanks": ("authorization", " "),
    "header value of blanks": ("authorization: basic", " "),
    "header after header": ("", "authorization "),
    "certificate label": ("-----BEGIN ", "A "),
    "certificate after certificate": ("", "-----BEGIN A-----"),
    "end after end": ("-----BEGIN A-----", "-----END A "),
    "dashes": ("", "-"),
    "string without an end": ('"idTag":"', "x"),
    "member after member": ('"authorizationKey"', '"value":"\\'),
    "backslashes": ('"value":"authorizationkey', "\\\n"),
    "name and blanks": ('"authorizationkey","value"', " "),
    "value of blanks": ('"authorizationkey","value":', " "),
    "name after name": ("", '"idTag"'),
    "escapes": ('"', "\\u0041"),
    "half escapes": ('"\\u00', "\\u00"),
}


@pytest.mark.parametrize(("head", "unit"), SHAPES.values(), ids=SHAPES)
def test_text_of_any_shape_is_masked_in_linear_time(head: str, unit: str) -> None:
    """J-279: no text of a peer may stop the process; measured as time per character, short against long."""
    log.hide("0011223344556677")
    short, long = (seconds(head + unit * (size // len(unit))) / size for size in (1 << 14, 1 << 18))
    assert long <= 3 * short + 1e-9


def seconds(text: str) -> float:
    """The least processor time of some repetitions, which what else runs on this machine disturbs least."""
    times = []
    for _ in range(5 if len(text) > 1 << 16 else 20):
        start = time.process_time()
        log.mask(text)
        times.append(time.process_time() - start)
    return min(times)


def test_frame_is_shown_as_it_is_up_to_a_limit() -> None:
    """J-279: what one frame adds to the log is bounded."""
    assert log.frame(b"[\xff]") == "[\ufffd]"
    assert log.frame(b"x" * log.MAX_FRAME) == "x" * log.MAX_FRAME
    shown = log.frame(b"x" * (1 << 20))
    assert shown == "(1048576 bytes) " + "x" * log.MAX_FRAME


@pytest.mark.parametrize("at", range(-70, 10, 4))
@pytest.mark.parametrize(
    ("secret", "behind"),
    [
        ('"idTag":"CANARY00CANARY01"', ""),
        ('"csr": "CANARY00CANARY01"', ""),
        ('"value":"CANARY00CANARY01"', '"key":"AuthorizationKey"'),
        ('"value":"CANARY00CANARY01"', '"key":"\\u0041uthorizationKey"'),
        ("CANARY00CANARY01", ""),
        ("Authorization: Basic CANARY00CANARY01", ""),
    ],
)
def test_frame_cut_off_shows_no_part_of_a_secret(secret: str, behind: str, at: int) -> None:
    """T30, J-149: wherever the limit falls."""
    log.hide("CANARY00CANARY01")
    frame = "[" + "-" * (log.MAX_FRAME + at) + secret + " " * 5000 + behind
    shown = log.mask(log.frame(frame.encode()))
    assert shown.startswith(f"({len(frame)} bytes) ")
    assert "CANARY" not in shown


def test_ordinary_frame_is_left_as_it_is() -> None:
    """J-149: masking is no reason to lose what a frame says."""
    frame = '[2,"7","ChangeConfiguration",{"key":"HeartbeatInterval","value":"\\u0022300\\u00e9"}]'
    assert log.mask(frame) == frame


def test_tag_is_recognisable_without_being_readable() -> None:
    """CORE-GEN-08: tags compare case-insensitively, their masks too."""
    assert log.mask_tag("Abc") == log.mask_tag("aBC") != log.mask_tag("abd")
    assert log.mask('{"idTag":"Abc"}') == f'{{"idTag":"{log.mask_tag("abc")}"}}'


def test_registered_secret_is_masked_wherever_it_appears() -> None:
    """S-157: a key that is known is hidden in any sentence."""
    log.hide("0011223344556677")
    log.hide("short")
    log.hide("00aabbccddeeff00")
    assert log.mask("key 0011223344556677, 00AABBCCDDEEFF00, short") == "key ***, ***, short"
