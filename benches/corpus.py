"""The judged frames: what a charge point receives, and beside it what it sends.

Owns the realistic, varied and deterministic payloads of all 39 actions and their bytes. Must never depend on the
code under test. Source: OCPP 1.6 edition 2 chapters 6 and 7, OCPP-J 1.6 section 4, security white paper edition 2.
"""

from __future__ import annotations

import random
import textwrap
from base64 import b64encode
from dataclasses import dataclass
from typing import Any, Literal

import orjson

Payload = dict[str, Any]
PERIODS = (1, 24, 96, 1_000)
LIST_ENTRIES = (10, 1_000)

_STATUS = {"status": "Accepted"}
_HASHES = {
    "hashAlgorithm": "SHA256",
    "issuerNameHash": "5f1d7e0b9c3a46e28d10f7b2c94e6a83d5b07f1ce2983a64bb10d94c7e6f5a21",
    "issuerKeyHash": "c08e4b6d17fa92353be1d04f8a7c65e9120b3dfe84a7c6915d2e0fb48a3c7d16",
    "serialNumber": "4FA19C0E77B2D3586A10",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One legal frame. ``data`` is compact UTF-8 JSON; ``name`` tells variants of an action apart."""

    name: str
    kind: Literal["call", "result"]
    action: str
    unique_id: str
    payload: Payload
    data: bytes

    @property
    def pending(self) -> dict[str, str]:
        """The pending map of a client whose one open call this frame answers; with a CALL, an unrelated one."""
        return {self.unique_id if self.kind == "result" else "a5c0d1b2-0000": self.action}


def received() -> tuple[Frame, ...]:
    """What a CSMS sends: every request it may make and every confirmation to a charge point. The judged corpus."""
    return tuple(
        [_frame("call", name, payload) for name, payload in _csms_requests()]
        + [_frame("result", name, payload) for name, payload in _csms_confirmations()]
    )


def sent() -> tuple[Frame, ...]:
    """What a charge point sends: its requests and its confirmations."""
    return tuple(
        [_frame("call", name, payload) for name, payload in _own_requests()]
        + [_frame("result", name, payload) for name, payload in _own_confirmations()]
    )


def frame(kind: Literal["call", "result"], action: str, payload: Payload, name: str = "") -> Frame:
    """A frame with an id that depends on nothing but its name."""
    seed = random.Random(f"{kind} {name or action}")
    digits = f"{seed.getrandbits(128):032x}"
    unique_id = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    envelope: list[Any] = [2, unique_id, action, payload] if kind == "call" else [3, unique_id, payload]
    suffix = ".req" if kind == "call" else ".conf"
    return Frame(
        (name or action).replace(action, action + suffix, 1), kind, action, unique_id, payload, orjson.dumps(envelope)
    )


def _frame(kind: Literal["call", "result"], name: str, payload: Payload) -> Frame:
    return frame(kind, name.partition("[")[0], payload, name)


def pem(label: str, octets: int, seed: int) -> str:
    """PEM text as issued: base64 of DER-looking octets in lines of 64, ending in a newline."""
    body = b"\x30\x82" + (octets - 4).to_bytes(2, "big") + random.Random(seed).randbytes(octets - 4)
    lines = "\n".join(textwrap.wrap(b64encode(body).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def charging_profile(periods: int, purpose: str = "TxDefaultProfile") -> Payload:
    """A daily profile in A with one decimal where a CSMS would send one, three phases in every fourth period."""
    draw = random.Random(periods)
    step = 86_400 // periods
    schedule = [
        {"startPeriod": number * step, "limit": draw.choice((6, 16, 32, 10.5, 13.8, 24.1, 31.9))}
        | ({"numberPhases": draw.choice((1, 3))} if number % 4 == 0 else {})
        for number in range(periods)
    ]
    return {
        "chargingProfileId": 4_711 + periods,
        "stackLevel": 3,
        "chargingProfilePurpose": purpose,
        "chargingProfileKind": "Recurring",
        "recurrencyKind": "Daily",
        "validFrom": "2026-11-01T00:00:00Z",
        "validTo": "2027-03-31T22:00:00.000Z",
        "chargingSchedule": {
            "duration": 86_400,
            "startSchedule": "2026-11-01T00:00:00+01:00",
            "chargingRateUnit": "A",
            "chargingSchedulePeriod": schedule,
            "minChargingRate": 6.0,
        },
    }


def local_list(entries: int) -> Payload:
    """A Full list: tags of 8 to 20 characters, every third with parent and expiry, a few blocked."""
    draw = random.Random(entries)
    rows: list[Payload] = []
    for number in range(entries):
        info: Payload = {"status": "Blocked" if number % 17 == 5 else "Accepted"}
        if number % 3 == 0:
            info = {
                "expiryDate": f"2027-{1 + number % 12:02}-01T00:00:00Z",
                "parentIdTag": f"FLEET{number % 40:04}",
            } | info
        rows.append({"idTag": f"{draw.getrandbits(80):020X}"[: draw.choice((8, 14, 20))], "idTagInfo": info})
    return {"listVersion": 118, "localAuthorizationList": rows, "updateType": "Full"}


def meter_value(samples: int, context: str = "Sample.Periodic") -> Payload:
    """One MeterValue with up to ten sampled values, as a three-phase AC meter gives them."""
    rows = [
        ("1845230", "Energy.Active.Import.Register", None, "Wh"),
        ("11040.2", "Power.Active.Import", None, "W"),
        *((str(229.4 + n), "Voltage", f"L{n}-N", "V") for n in (1, 2, 3)),
        *((f"{15.9 + n / 10:.1f}", "Current.Import", f"L{n}", "A") for n in (1, 2, 3)),
        ("16.0", "Current.Offered", None, "A"),
        ("41.5", "Temperature", None, "Celsius"),
    ]
    values = []
    for value, measurand, phase, unit in rows[:samples]:
        sample = {"value": value, "context": context, "format": "Raw", "measurand": measurand}
        values.append(sample | ({"phase": phase} if phase else {}) | {"location": "Outlet", "unit": unit})
    return {"timestamp": "2026-11-21T07:47:00.120Z", "sampledValue": values}


def _csms_requests() -> list[tuple[str, Payload]]:
    ca = pem("CERTIFICATE", 1_310, 1)
    chain = pem("CERTIFICATE", 980, 2) + pem("CERTIFICATE", 1_120, 3)
    keys = ["HeartbeatInterval", "MeterValuesSampledData", "AuthorizeRemoteTxRequests", "SupportedFeatureProfiles"]
    return [
        ("ChangeAvailability", {"connectorId": 17, "type": "Inoperative"}),
        ("ChangeConfiguration", {"key": "MeterValueSampleInterval", "value": "60"}),
        (
            "ChangeConfiguration[measurands]",
            {
                "key": "MeterValuesSampledData",
                "value": "Energy.Active.Import.Register,Power.Active.Import,Current.Import,Voltage,SoC,Current.Offered",
            },
        ),
        ("ClearCache", {}),
        (
            "DataTransfer",
            {
                "vendorId": "com.example.hub",
                "messageId": "tariff",
                "data": '{"currency":"EUR","energy":[{"from":"06:00","price":0.39}],"note":"Tag & Nacht"}',
            },
        ),
        ("GetConfiguration", {}),
        ("GetConfiguration[4]", {"key": keys}),
        ("RemoteStartTransaction", {"connectorId": 12, "idTag": "04A2B7C91E6F80"}),
        (
            "RemoteStartTransaction[profile]",
            {"connectorId": 12, "idTag": "04A2B7C91E6F80", "chargingProfile": charging_profile(4, "TxProfile")},
        ),
        ("RemoteStopTransaction", {"transactionId": 1_827_364}),
        ("Reset", {"type": "Soft"}),
        ("UnlockConnector", {"connectorId": 3}),
        (
            "GetDiagnostics",
            {
                "location": "sftp://logs:x8@files.example.com:2222/in/",
                "retries": 3,
                "retryInterval": 120,
                "startTime": "2026-11-20T00:00:00Z",
                "stopTime": "2026-11-21T00:00:00Z",
            },
        ),
        (
            "UpdateFirmware",
            {
                "location": "https://fw.example.com/hub/4.2.1/image.bin",
                "retries": 2,
                "retrieveDate": "2026-11-22T02:00:00Z",
                "retryInterval": 300,
            },
        ),
        ("GetLocalListVersion", {}),
        *((f"SendLocalList[{entries}]", local_list(entries)) for entries in LIST_ENTRIES),
        (
            "ReserveNow",
            {
                "connectorId": 5,
                "expiryDate": "2026-11-21T09:30:00.000Z",
                "idTag": "DE8ACC12E46L89",
                "parentIdTag": "FLEET0021",
                "reservationId": 8_831,
            },
        ),
        ("CancelReservation", {"reservationId": 8_831}),
        *(
            (f"SetChargingProfile[{periods}]", {"connectorId": 7, "csChargingProfiles": charging_profile(periods)})
            for periods in PERIODS
        ),
        ("ClearChargingProfile", {"connectorId": 7, "chargingProfilePurpose": "TxDefaultProfile", "stackLevel": 3}),
        ("GetCompositeSchedule", {"connectorId": 7, "duration": 86_400, "chargingRateUnit": "W"}),
        ("TriggerMessage", {"requestedMessage": "StatusNotification", "connectorId": 7}),
        ("CertificateSigned", {"certificateChain": chain}),
        ("DeleteCertificate", {"certificateHashData": _HASHES}),
        ("ExtendedTriggerMessage", {"requestedMessage": "SignChargePointCertificate"}),
        ("GetInstalledCertificateIds", {"certificateType": "CentralSystemRootCertificate"}),
        (
            "GetLog",
            {
                "logType": "SecurityLog",
                "requestId": 77,
                "retries": 1,
                "retryInterval": 60,
                "log": {
                    "remoteLocation": "https://logs.example.com/upload?site=41",
                    "oldestTimestamp": "2026-11-01T00:00:00Z",
                    "latestTimestamp": "2026-11-21T00:00:00Z",
                },
            },
        ),
        ("InstallCertificate", {"certificateType": "CentralSystemRootCertificate", "certificate": ca}),
        (
            "SignedUpdateFirmware",
            {
                "retries": 2,
                "retryInterval": 300,
                "requestId": 78,
                "firmware": {
                    "location": "https://fw.example.com/hub/4.2.1/image.bin",
                    "retrieveDateTime": "2026-11-22T02:00:00Z",
                    "installDateTime": "2026-11-22T03:00:00Z",
                    "signingCertificate": pem("CERTIFICATE", 1_020, 4),
                    "signature": b64encode(random.Random(5).randbytes(256)).decode(),
                },
            },
        ),
    ]


def _csms_confirmations() -> list[tuple[str, Payload]]:
    info = {"expiryDate": "2027-01-01T00:00:00Z", "parentIdTag": "FLEET0021", "status": "Accepted"}
    return [
        ("Authorize", {"idTagInfo": info}),
        ("BootNotification", {"status": "Accepted", "currentTime": "2026-11-21T07:47:00.123Z", "interval": 300}),
        ("DataTransfer", {"status": "Accepted", "data": '{"ok":true}'}),
        ("Heartbeat", {"currentTime": "2026-11-21T07:47:00.123Z"}),
        ("MeterValues", {}),
        ("StartTransaction", {"idTagInfo": info, "transactionId": 1_827_364}),
        ("StatusNotification", {}),
        ("StopTransaction", {"idTagInfo": {"status": "Accepted"}}),
        ("DiagnosticsStatusNotification", {}),
        ("FirmwareStatusNotification", {}),
        ("LogStatusNotification", {}),
        ("SecurityEventNotification", {}),
        ("SignCertificate", _STATUS),
        ("SignedFirmwareStatusNotification", {}),
    ]


def _own_requests() -> list[tuple[str, Payload]]:
    return [
        ("Authorize", {"idTag": "04A2B7C91E6F80"}),
        (
            "BootNotification",
            {
                "chargePointVendor": "Example Hubs",
                "chargePointModel": "Hub 400",
                "chargePointSerialNumber": "EH-400-0017",
                "chargeBoxSerialNumber": "0017",
                "firmwareVersion": "4.2.0+g1c9e",
                "iccid": "8949020000123456789",
                "imsi": "262011234567890",
                "meterType": "MID-3P",
                "meterSerialNumber": "77120034",
            },
        ),
        ("DataTransfer", {"vendorId": "com.example.hub", "messageId": "door", "data": "open"}),
        ("Heartbeat", {}),
        ("MeterValues[1]", {"connectorId": 7, "transactionId": 1_827_364, "meterValue": [meter_value(1)]}),
        ("MeterValues[10]", {"connectorId": 7, "transactionId": 1_827_364, "meterValue": [meter_value(10)]}),
        (
            "StartTransaction",
            {
                "connectorId": 7,
                "idTag": "04A2B7C91E6F80",
                "meterStart": 1_830_010,
                "timestamp": "2026-11-21T06:12:09.004Z",
            },
        ),
        (
            "StatusNotification",
            {
                "connectorId": 7,
                "errorCode": "NoError",
                "info": "cable locked",
                "status": "Charging",
                "timestamp": "2026-11-21T06:12:11.550Z",
                "vendorId": "com.example.hub",
            },
        ),
        (
            "StopTransaction",
            {
                "idTag": "04A2B7C91E6F80",
                "meterStop": 1_845_230,
                "timestamp": "2026-11-21T07:47:00.120Z",
                "transactionId": 1_827_364,
                "reason": "EVDisconnected",
                "transactionData": [meter_value(10, "Transaction.Begin"), meter_value(10, "Transaction.End")],
            },
        ),
        ("DiagnosticsStatusNotification", {"status": "Uploading"}),
        ("FirmwareStatusNotification", {"status": "Downloaded"}),
        ("LogStatusNotification", {"status": "Uploaded", "requestId": 77}),
        (
            "SecurityEventNotification",
            {"type": "FirmwareUpdated", "timestamp": "2026-11-21T07:47:00.120Z", "techInfo": "from 4.1.9 to 4.2.0"},
        ),
        ("SignCertificate", {"csr": pem("CERTIFICATE REQUEST", 640, 6)}),
        ("SignedFirmwareStatusNotification", {"status": "SignatureVerified", "requestId": 78}),
    ]


def _own_confirmations() -> list[tuple[str, Payload]]:
    schedule = charging_profile(24)["chargingSchedule"]
    settings = [
        {"key": f"VendorSetting{number}", "readonly": number % 3 == 0, "value": str(number * 30)}
        for number in range(40)
    ]
    plain = {
        "ChangeAvailability": "Scheduled",
        "ChangeConfiguration": "RebootRequired",
        "ClearCache": "Accepted",
        "RemoteStartTransaction": "Accepted",
        "RemoteStopTransaction": "Accepted",
        "Reset": "Accepted",
        "UnlockConnector": "Unlocked",
        "SendLocalList": "VersionMismatch",
        "ReserveNow": "Occupied",
        "CancelReservation": "Rejected",
        "SetChargingProfile": "Accepted",
        "ClearChargingProfile": "Unknown",
        "TriggerMessage": "NotImplemented",
        "CertificateSigned": "Accepted",
        "DeleteCertificate": "NotFound",
        "ExtendedTriggerMessage": "Accepted",
        "InstallCertificate": "Failed",
        "SignedUpdateFirmware": "InvalidCertificate",
    }
    return [(action, {"status": status}) for action, status in plain.items()] + [
        ("DataTransfer", {"status": "UnknownVendorId"}),
        ("GetConfiguration", {"configurationKey": settings, "unknownKey": ["Nonesuch"]}),
        ("GetDiagnostics", {"fileName": "HUB-1_20261121T074700Z.tar.gz"}),
        ("UpdateFirmware", {}),
        ("GetLocalListVersion", {"listVersion": 118}),
        (
            "GetCompositeSchedule",
            {
                "status": "Accepted",
                "connectorId": 7,
                "scheduleStart": "2026-11-21T07:47:00Z",
                "chargingSchedule": {key: value for key, value in schedule.items() if key != "startSchedule"},
            },
        ),
        ("GetInstalledCertificateIds", {"status": "Accepted", "certificateHashData": [_HASHES, _HASHES]}),
        ("GetLog", {"status": "Accepted", "filename": "HUB-1_security.log.gz"}),
    ]
