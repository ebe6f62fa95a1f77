"""The payloads that the core reads or composes, as TypedDicts (OCPP 1.6 chapter 6, security white paper chapter 5).

Owns names and Python types only; lengths, ranges and enumerations are checked by ``_native`` before the core sees a
payload and before one leaves. ``tests/core/test_messages.py`` holds every class against the action table.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class BootNotificationRequest(TypedDict):
    """What the charge point says about itself (6.3)."""

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
    """Registration, time and interval (6.4)."""

    currentTime: str
    interval: int
    status: str


class IdTagInfo(TypedDict):
    """What the CSMS says of an id tag (7.27)."""

    status: str
    parentIdTag: NotRequired[str]
    expiryDate: NotRequired[str]


class AuthorizationData(TypedDict):
    """An entry of the local authorization list; without idTagInfo it deletes (7.1)."""

    idTag: str
    idTagInfo: NotRequired[IdTagInfo]


class CancelReservationRequest(TypedDict):
    """The reservation to end (6.5)."""

    reservationId: int


class CertificateSignedRequest(TypedDict):
    """A certificate of the charge point and what it rests on, as PEM (white paper 5.1)."""

    certificateChain: str


class ChangeAvailabilityRequest(TypedDict):
    """Connector 0 to N and the wanted availability (6.7)."""

    connectorId: int
    type: str


class ChangeConfigurationRequest(TypedDict):
    """A key and its new value (6.9)."""

    key: str
    value: str


class ClearChargingProfileRequest(TypedDict):
    """Which charging profiles to remove; none of them named means all (6.11)."""

    id: NotRequired[int]
    connectorId: NotRequired[int]
    chargingProfilePurpose: NotRequired[str]
    stackLevel: NotRequired[int]


class DataTransferRequest(TypedDict):
    """A vendor's own message (6.15)."""

    vendorId: str
    messageId: NotRequired[str]
    data: NotRequired[str]


class DataTransferConfirmation(TypedDict):
    """Its answer (6.16)."""

    status: str
    data: NotRequired[str]


class InstallCertificateRequest(TypedDict):
    """A root as PEM (white paper 5.11)."""

    certificateType: str
    certificate: str


class KeyValue(TypedDict):
    """One configuration key as GetConfiguration tells it (7.29)."""

    key: str
    readonly: bool
    value: NotRequired[str]


class DeleteCertificateRequest(TypedDict):
    """Which root goes (white paper 5.3), as a CertificateHashDataType."""

    certificateHashData: dict[str, Any]


class ExtendedTriggerMessageRequest(TypedDict):
    """Which message is wanted, and of which connector (white paper 5.5)."""

    requestedMessage: str
    connectorId: NotRequired[int]


class GetCompositeScheduleRequest(TypedDict):
    """Connector 0 to N, seconds from now, and the wanted unit (6.19)."""

    connectorId: int
    duration: int
    chargingRateUnit: NotRequired[str]


class GetDiagnosticsRequest(TypedDict):
    """Where diagnostics go, of when, and how often it is tried again (6.25)."""

    location: str
    retries: NotRequired[int]
    retryInterval: NotRequired[int]
    startTime: NotRequired[str]
    stopTime: NotRequired[str]


class GetLogRequest(TypedDict):
    """Which log goes where (white paper 5.9); ``log`` is a LogParametersType."""

    logType: str
    requestId: int
    retries: NotRequired[int]
    retryInterval: NotRequired[int]
    log: dict[str, Any]


class SignedUpdateFirmwareRequest(TypedDict):
    """A firmware with its certificate and signature (white paper 5.17); ``firmware`` is a FirmwareType."""

    retries: NotRequired[int]
    retryInterval: NotRequired[int]
    requestId: int
    firmware: dict[str, Any]


class UpdateFirmwareRequest(TypedDict):
    """A firmware and when it may be fetched (6.57)."""

    location: str
    retries: NotRequired[int]
    retrieveDate: str
    retryInterval: NotRequired[int]


class GetConfigurationRequest(TypedDict):
    """The wanted keys; none means all (6.21)."""

    key: NotRequired[list[str]]


class GetInstalledCertificateIdsRequest(TypedDict):
    """Which roots are asked for (white paper 5.7)."""

    certificateType: str


class GetConfigurationConfirmation(TypedDict):
    """Known keys with values, unknown names (6.22)."""

    configurationKey: NotRequired[list[KeyValue]]
    unknownKey: NotRequired[list[str]]


class HeartbeatConfirmation(TypedDict):
    """The time (6.30)."""

    currentTime: str


class ReserveNowRequest(TypedDict):
    """Who may use connector 1 to N, or any for 0, and until when (6.39)."""

    connectorId: int
    expiryDate: str
    idTag: str
    parentIdTag: NotRequired[str]
    reservationId: int


class SecurityEventNotificationRequest(TypedDict):
    """An event and when it happened (white paper 5.15)."""

    type: str
    timestamp: str
    techInfo: NotRequired[str]


class SendLocalListRequest(TypedDict):
    """A whole local authorization list, or changes to it (6.41)."""

    listVersion: int
    updateType: str
    localAuthorizationList: NotRequired[list[AuthorizationData]]


class StatusNotificationRequest(TypedDict):
    """Status and error of connector 0 to N (6.47)."""

    connectorId: int
    errorCode: str
    status: str
    info: NotRequired[str]
    timestamp: NotRequired[str]
    vendorId: NotRequired[str]
    vendorErrorCode: NotRequired[str]


class TriggerMessageRequest(TypedDict):
    """The wanted message (6.51)."""

    requestedMessage: str
    connectorId: NotRequired[int]


class RemoteStartTransactionRequest(TypedDict):
    """The tag to start with, where, and a profile for the transaction (6.33)."""

    idTag: str
    connectorId: NotRequired[int]
    chargingProfile: NotRequired[dict[str, object]]


class RemoteStopTransactionRequest(TypedDict):
    """The transaction to stop (6.35)."""

    transactionId: int


class ResetRequest(TypedDict):
    """How thoroughly (6.39)."""

    type: str


class UnlockConnectorRequest(TypedDict):
    """Whose cable (6.55)."""

    connectorId: int
