"""URL, credentials, back-off and names of failures, as tables."""

from __future__ import annotations

import os
import socket
import ssl
from hashlib import sha256
from pathlib import Path

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidMessage, InvalidStatus, NegotiationError
from websockets.http11 import Response

from ocpphub import endpoint
from ocpphub.endpoint import BackOff
from ocpphub.errors import LocalError
from ocpphub.tls import refused_certificate

KEY_HEX = "0001020304050607FFFFFFFFFFFFFFFFFFFFFFFF"


@pytest.mark.parametrize(
    ("csms_url", "identity", "expected"),
    [
        ("ws://h/ocpp", "CP1", "ws://h/ocpp/CP1"),
        ("ws://h/ocpp/", "CP1", "ws://h/ocpp/CP1"),
        ("ws://h/ocpp//", "CP1", "ws://h/ocpp/CP1"),
        ("ws://h", "CP1", "ws://h/CP1"),
        ("ws://h/", "CP1", "ws://h/CP1"),
        ("WSS://h:8443/a/b", "CP1", "wss://h:8443/a/b/CP1"),
        ("ws://[::1]:80/ocpp", "CP1", "ws://[::1]:80/ocpp/CP1"),
        ("wss://h/ocpp?t=1&u=a/b", "CP1", "wss://h/ocpp/CP1?t=1&u=a/b"),
        ("ws://h", "RDAM 123", "ws://h/RDAM%20123"),
        ("ws://h", "RDAM|123", "ws://h/RDAM%7C123"),
        ("ws://h", "a/b?c#d%e", "ws://h/a%2Fb%3Fc%23d%25e"),
        ("ws://h", "é", "ws://h/%C3%A9"),
        ("ws://h", 'a"<>\\^`{}b', "ws://h/a%22%3C%3E%5C%5E%60%7B%7Db"),
        ("ws://h", "DE*ABC*E1", "ws://h/DE*ABC*E1"),
        ("ws://h", "!$&'()*+,;=:@-._~", "ws://h/!$&'()*+,;=:@-._~"),
        ("ws://h", "...", "ws://h/..."),
    ],
)
def test_url_joins_endpoint_and_identity_with_least_encoding(csms_url: str, identity: str, expected: str) -> None:
    """J-102, J-103, J-104, J-105, J-106, X-04, X-05, D-14."""
    assert endpoint.connection_url(csms_url, identity) == expected


@pytest.mark.parametrize(
    ("csms_url", "identity"),
    [
        ("ws://h/ocpp#f", "CP1"),
        ("ws://h/ocpp#", "CP1"),
        ("http://h/ocpp", "CP1"),
        ("ws:///ocpp", "CP1"),
        ("ws://user:secret@h/ocpp", "CP1"),
        ("ws://h", ""),
        ("ws://h", "."),
        ("ws://h", ".."),
        ("ws://h", "a\nb"),
        ("ws://h", "a\x7fb"),
    ],
)
def test_url_of_an_impossible_endpoint_or_identity_is_refused(csms_url: str, identity: str) -> None:
    """J-106, J-107."""
    with pytest.raises(LocalError) as caught:
        endpoint.connection_url(csms_url, identity)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LOCALHOST.", True),
        ("10.0.0.1", False),
        ("csms.example", False),
        ("localhost.example", False),
    ],
)
def test_host_is_loopback_only_when_it_is_certain(host: str, expected: bool) -> None:
    """N01."""
    assert endpoint.is_loopback(host) is expected


def test_basic_carries_the_raw_bytes_of_the_key() -> None:
    """J-142, J-143, J-146, D-15, X-07: the example of OCPP-J 6.2.2."""
    header = endpoint.basic_authorization("AL1000", endpoint.authorization_key(KEY_HEX))
    assert header == "Basic QUwxMDAwOgABAgMEBQYH////////////////"


def test_basic_names_the_identity_before_percent_encoding() -> None:
    """J-142."""
    assert endpoint.basic_authorization("é 1", b"k") == "Basic w6kgMTpr"


def test_basic_for_an_identity_with_a_colon_is_refused() -> None:
    """J-145."""
    with pytest.raises(LocalError, match="HTTP Basic"):
        endpoint.basic_authorization("a:b", b"k")


@pytest.mark.parametrize("size", [16, 18, 20])
def test_key_of_a_legal_length_is_its_bytes(size: int) -> None:
    """J-144, S-152."""
    assert endpoint.authorization_key(f" {'aB' * size}\n") == b"\xab" * size


@pytest.mark.parametrize("text", ["ab" * 15, "ab" * 21, "ab" * 16 + "c", "zz" * 16, "", "ab " * 16])
def test_key_that_is_no_hex_of_a_legal_length_is_refused_without_being_shown(text: str) -> None:
    """J-144, J-149, S-152, S-153."""
    with pytest.raises(LocalError) as caught:
        endpoint.authorization_key(text)
    assert not text or text not in str(caught.value)


def test_key_file_of_its_owner_is_read(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(KEY_HEX + "\n")
    path.chmod(0o600)
    assert endpoint.read_authorization_key(path) == bytes.fromhex(KEY_HEX)


@pytest.mark.parametrize(("mode", "content"), [(0o640, KEY_HEX.encode()), (0o600, b"\xff\xfe"), (0o600, None)])
def test_key_file_that_is_open_or_unreadable_is_refused(tmp_path: Path, mode: int, content: bytes | None) -> None:
    """S-158, T28, J-149."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(LocalError, match="key") as caught:
        endpoint.read_authorization_key(path)
    assert KEY_HEX not in str(caught.value)


def waits(policy: BackOff, count: int) -> list[float]:
    return [policy.next_s() for _ in range(count)]


def test_back_off_doubles_from_five_seconds_and_stays_at_the_top() -> None:
    """J-341, D-12, X-53."""
    assert waits(BackOff(lambda: 0.0), 9) == [5, 10, 20, 40, 80, 160, 290, 290, 290]


def test_back_off_adds_a_fresh_random_part_even_at_the_top() -> None:
    """J-341: a thousand charge points must not return in one second."""
    numbers = iter([0.5, 0.1, 0.9, 0.0, 0.0, 0.0, 0.25, 0.75])
    assert waits(BackOff(lambda: next(numbers)), 8) == [10, 11, 29, 40, 80, 160, 292.5, 297.5]


def test_back_off_is_never_below_its_minimum_nor_above_its_maximum() -> None:
    """J-341."""
    for policy in (BackOff(lambda: 0.0), BackOff(lambda: 0.999999)):
        assert all(5 <= wait_s <= 300 for wait_s in waits(policy, 50))


@pytest.mark.parametrize(
    ("retry_after_s", "expected"), [(None, 5.0), (0.0, 5.0), (3.0, 5.0), (120.0, 120.0), (86_400.0, 300.0)]
)
def test_back_off_honours_retry_after_up_to_its_maximum(retry_after_s: float | None, expected: float) -> None:
    """J-127, J-341, T17."""
    assert BackOff(lambda: 0.0).next_s(retry_after_s) == expected


@pytest.mark.parametrize(
    ("uptime_s", "accepted", "next_s"),
    [
        (0.1, False, 20.0),
        (59.9, False, 20.0),
        (60.0, False, 5.0),
        (10.0, True, 5.0),
        (9.9, True, 20.0),
    ],
)
def test_back_off_begins_anew_only_after_a_stable_link(uptime_s: float, accepted: bool, next_s: float) -> None:
    """J-342, N01: accept-and-close is no success, accepted or not."""
    policy = BackOff(lambda: 0.0)
    waits(policy, 2)
    policy.closed(uptime_s, accepted=accepted)
    assert policy.next_s() == next_s


def test_back_off_counts_connections_that_ended_early() -> None:
    """N01."""
    policy = BackOff(lambda: 0.0)
    counted = []
    for uptime_s in (1.0, 2.0, 30.0, 1.0):
        policy.closed(uptime_s, accepted=False)
        counted.append(policy.short)
    assert counted == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("9" * 400, 999_999_999.0),
        ("-5", None),
        ("soon", None),
        ("²", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 60.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
    ],
)
def test_retry_after_is_read_as_seconds_or_date(value: str | None, expected: float | None) -> None:
    """J-127."""
    assert endpoint.retry_after_s(value, 60.0) == expected


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}]")
    error.reason = reason
    return error


def status(code: int, **headers: str) -> InvalidStatus:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return InvalidStatus(Response(code, "secret phrase", Headers(named), b"secret body"))


CLIENT_REFUSED = ("client_certificate", "FailedToAuthenticateAtCentralSystem")


@pytest.mark.parametrize(
    ("error", "profile", "cause", "event"),
    [
        (status(401), 2, "unauthorized", "FailedToAuthenticateAtCentralSystem"),
        (status(403), 2, "unauthorized", "FailedToAuthenticateAtCentralSystem"),
        (status(404), 2, "status", None),
        (status(503), 2, "status", None),
        (status(302, Location="ws://elsewhere"), 2, "redirect", None),
        (endpoint.SubprotocolError(), 0, "subprotocol", None),
        (endpoint.ProfileError(), 2, "profile", None),
        (LocalError("invalid_params", "ca.pem cannot be used"), 2, "settings", None),
        (NegotiationError("unsupported subprotocol: secret"), 0, "subprotocol", None),
        (ssl.SSLCertVerificationError("refused"), 2, "certificate", "InvalidCentralSystemCertificate"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), 2, "tls_version", "InvalidTLSVersion"),
        (tls_error("UNSUPPORTED_PROTOCOL"), 2, "tls_version", "InvalidTLSVersion"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), 2, "tls_cipher", "InvalidTLSCipherSuite"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), 3, *CLIENT_REFUSED),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), 3, *CLIENT_REFUSED),
        (tls_error("WRONG_VERSION_NUMBER"), 2, "tls", None),
        (socket.gaierror(-2, "secret name"), 0, "name_resolution", None),
        (TimeoutError(), 0, "timeout", None),
        (ConnectionRefusedError(111, "secret"), 0, "network", None),
        (OSError("secret"), 0, "network", None),
        (InvalidMessage("secret"), 0, "protocol", None),
        (InvalidHandshake("secret"), 0, "protocol", None),
        (ZeroDivisionError("secret"), 0, "unexpected", None),
    ],
)
def test_failure_is_named_with_its_security_event_and_no_received_text(
    error: BaseException, profile: int, cause: str, event: str | None
) -> None:
    """S-122, S-125, S-134, S-138, T17, D-19, D-26."""
    named = endpoint.failure(error, profile=profile, now_utc_s=0.0)
    assert (named.cause, named.security_event) == (cause, event)
    assert "secret" not in named.text


@pytest.mark.parametrize(
    ("error", "key"),
    [
        (refused_certificate("expired", b"der"), sha256(b"der").hexdigest()),
        (refused_certificate("expired", None), "expired"),
        (tls_error("TLSV1_ALERT_PROTOCOL_VERSION"), "TLSV1_ALERT_PROTOCOL_VERSION"),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "SSLV3_ALERT_HANDSHAKE_FAILURE"),
        (tls_error("TLSV1_ALERT_UNKNOWN_CA"), "TLSV1_ALERT_UNKNOWN_CA"),
        (status(401), "401"),
    ],
)
def test_failure_of_security_says_which_cause_it_is(error: BaseException, key: str) -> None:
    """D-19, T14: the certificate that was refused, else the alert."""
    named = endpoint.failure(error, profile=2, now_utc_s=0.0)
    assert named.security_event is not None
    assert named.cause_key == key


def test_failure_behind_another_error_is_found() -> None:
    """S-135: a refused client certificate surfaces as a handshake that broke off."""
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED")
    assert endpoint.failure(error, profile=3, now_utc_s=0.0).cause == "client_certificate"


def test_failure_with_retry_after_carries_its_seconds() -> None:
    """J-127."""
    assert endpoint.failure(status(503, Retry_After="90"), profile=0, now_utc_s=0.0).retry_after_s == 90.0


@pytest.mark.parametrize(
    ("error", "is_outage"),
    [
        (socket.gaierror(-2, "x"), True),
        (TimeoutError(), True),
        (ConnectionRefusedError(111, "x"), True),
        (ConnectionResetError(104, "x"), False),
        (ConnectionAbortedError(), False),
        (InvalidMessage("x"), False),
        (status(400), False),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), False),
    ],
)
def test_failure_says_whether_anybody_could_have_refused_us(error: BaseException, is_outage: bool) -> None:
    """S-182: a certificate of ours that is not wanted shows as a status, an alert, or an end without a word."""
    assert endpoint.failure(error, profile=3, now_utc_s=0.0).is_outage is is_outage


def test_failure_of_the_network_is_in_words_of_the_system() -> None:
    named = endpoint.failure(ConnectionRefusedError(111, "x"), profile=0, now_utc_s=0.0)
    assert named.text == os.strerror(111)
