"""The payloads that the core reads or composes, as TypedDicts (OCPP 1.6 chapter 6, security white paper chapter 5).

Owns names and Python types only; lengths, ranges and enumerations are checked by ``_native`` before the core sees a
payload and before one leaves. ``tests/core/test_messages.py`` holds every class against the action table.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict


class BootNotificationRequest(TypedDict):
    chargePointVendor: str
    chargePointModel: str
    chargePointSerialNumber: NotRequired[str]
    chargeBoxSerialNumber: NotRequired[str]
    firmwareVersion: NotRequired[str]
    iccid: NotRequired[str]
    imsi: NotRequired[str]
    meterType: NotRequired[str]
    meterSerialNumber: NotRequired[str]


class BootNotificationConfirmation(TypedDict):
    currentTime: str
    interval: int
    status: str


class ChangeAvailabilityRequest(TypedDict):
    connectorId: int
    type: str


class ChangeConfigurationRequest(TypedDict):
    key: str
    value: str


class DataTransferRequest(TypedDict):
    vendorId: str
    messageId: NotRequired[str]
    data: NotRequired[str]


class DataTransferConfirmation(TypedDict):
    status: str
    data: NotRequired[str]


class KeyValue(TypedDict):
    key: str
    readonly: bool
    value: NotRequired[str]


class GetConfigurationRequest(TypedDict):
    key: NotRequired[list[str]]


class GetConfigurationConfirmation(TypedDict):
    configurationKey: NotRequired[list[KeyValue]]
    unknownKey: NotRequired[list[str]]


class HeartbeatConfirmation(TypedDict):
    currentTime: str


class SecurityEventNotificationRequest(TypedDict):
    type: str
    timestamp: str
    techInfo: NotRequired[str]


class StatusNotificationRequest(TypedDict):
    connectorId: int
    errorCode: str
    status: str
    info: NotRequired[str]
    timestamp: NotRequired[str]
    vendorId: NotRequired[str]
    vendorErrorCode: NotRequired[str]


class TriggerMessageRequest(TypedDict):
    requestedMessage: str
    connectorId: NotRequired[int]
