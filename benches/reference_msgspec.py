"""Typed msgspec structs of every OCPP 1.6 payload: the pinned reference of the frame benches.

Generated from the action table by benches/generate_reference.py; do not edit. Must never be laxer than msgspec allows.
Source: OCPP 1.6 edition 2 chapters 6 and 7, security white paper edition 2.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

AuthorizationStatus = Literal[
    "Accepted",
    "Blocked",
    "Expired",
    "Invalid",
    "ConcurrentTx",
]

AvailabilityStatus = Literal[
    "Accepted",
    "Rejected",
    "Scheduled",
]

AvailabilityType = Literal[
    "Inoperative",
    "Operative",
]

CancelReservationStatus = Literal[
    "Accepted",
    "Rejected",
]

CertificateSignedStatusEnumType = Literal[
    "Accepted",
    "Rejected",
]

CertificateStatusEnumType = Literal[
    "Accepted",
    "Failed",
    "Rejected",
]

CertificateUseEnumType = Literal[
    "CentralSystemRootCertificate",
    "ManufacturerRootCertificate",
]

ChargePointErrorCode = Literal[
    "ConnectorLockFailure",
    "EVCommunicationError",
    "GroundFailure",
    "HighTemperature",
    "InternalError",
    "LocalListConflict",
    "NoError",
    "OtherError",
    "OverCurrentFailure",
    "OverVoltage",
    "PowerMeterFailure",
    "PowerSwitchFailure",
    "ReaderFailure",
    "ResetFailure",
    "UnderVoltage",
    "WeakSignal",
]

ChargePointStatus = Literal[
    "Available",
    "Preparing",
    "Charging",
    "SuspendedEVSE",
    "SuspendedEV",
    "Finishing",
    "Reserved",
    "Unavailable",
    "Faulted",
]

ChargingProfileKindType = Literal[
    "Absolute",
    "Recurring",
    "Relative",
]

ChargingProfilePurposeType = Literal[
    "ChargePointMaxProfile",
    "TxDefaultProfile",
    "TxProfile",
]

ChargingProfileStatus = Literal[
    "Accepted",
    "Rejected",
    "NotSupported",
]

ChargingRateUnitType = Literal[
    "A",
    "W",
]

ClearCacheStatus = Literal[
    "Accepted",
    "Rejected",
]

ClearChargingProfileStatus = Literal[
    "Accepted",
    "Unknown",
]

ConfigurationStatus = Literal[
    "Accepted",
    "Rejected",
    "RebootRequired",
    "NotSupported",
]

DataTransferStatus = Literal[
    "Accepted",
    "Rejected",
    "UnknownMessageId",
    "UnknownVendorId",
]

DeleteCertificateStatusEnumType = Literal[
    "Accepted",
    "Failed",
    "NotFound",
]

DiagnosticsStatus = Literal[
    "Idle",
    "Uploaded",
    "UploadFailed",
    "Uploading",
]

FirmwareStatus = Literal[
    "Downloaded",
    "DownloadFailed",
    "Downloading",
    "Idle",
    "InstallationFailed",
    "Installing",
    "Installed",
]

FirmwareStatusEnumType = Literal[
    "Downloaded",
    "DownloadFailed",
    "Downloading",
    "DownloadScheduled",
    "DownloadPaused",
    "Idle",
    "InstallationFailed",
    "Installing",
    "Installed",
    "InstallRebooting",
    "InstallScheduled",
    "InstallVerificationFailed",
    "InvalidSignature",
    "SignatureVerified",
]

GenericStatusEnumType = Literal[
    "Accepted",
    "Rejected",
]

GetCompositeScheduleStatus = Literal[
    "Accepted",
    "Rejected",
]

GetInstalledCertificateStatusEnumType = Literal[
    "Accepted",
    "NotFound",
]

HashAlgorithmEnumType = Literal[
    "SHA256",
    "SHA384",
    "SHA512",
]

Location = Literal[
    "Body",
    "Cable",
    "EV",
    "Inlet",
    "Outlet",
]

LogEnumType = Literal[
    "DiagnosticsLog",
    "SecurityLog",
]

LogStatusEnumType = Literal[
    "Accepted",
    "Rejected",
    "AcceptedCanceled",
]

Measurand = Literal[
    "Current.Export",
    "Current.Import",
    "Current.Offered",
    "Energy.Active.Export.Register",
    "Energy.Active.Import.Register",
    "Energy.Reactive.Export.Register",
    "Energy.Reactive.Import.Register",
    "Energy.Active.Export.Interval",
    "Energy.Active.Import.Interval",
    "Energy.Reactive.Export.Interval",
    "Energy.Reactive.Import.Interval",
    "Frequency",
    "Power.Active.Export",
    "Power.Active.Import",
    "Power.Factor",
    "Power.Offered",
    "Power.Reactive.Export",
    "Power.Reactive.Import",
    "RPM",
    "SoC",
    "Temperature",
    "Voltage",
]

Phase = Literal[
    "L1",
    "L2",
    "L3",
    "N",
    "L1-N",
    "L2-N",
    "L3-N",
    "L1-L2",
    "L2-L3",
    "L3-L1",
]

ReadingContext = Literal[
    "Interruption.Begin",
    "Interruption.End",
    "Other",
    "Sample.Clock",
    "Sample.Periodic",
    "Transaction.Begin",
    "Transaction.End",
    "Trigger",
]

Reason = Literal[
    "DeAuthorized",
    "EmergencyStop",
    "EVDisconnected",
    "HardReset",
    "Local",
    "Other",
    "PowerLoss",
    "Reboot",
    "Remote",
    "SoftReset",
    "UnlockCommand",
]

RecurrencyKindType = Literal[
    "Daily",
    "Weekly",
]

RegistrationStatus = Literal[
    "Accepted",
    "Pending",
    "Rejected",
]

RemoteStartStopStatus = Literal[
    "Accepted",
    "Rejected",
]

ReservationStatus = Literal[
    "Accepted",
    "Faulted",
    "Occupied",
    "Rejected",
    "Unavailable",
]

ResetStatus = Literal[
    "Accepted",
    "Rejected",
]

ResetType = Literal[
    "Hard",
    "Soft",
]

TriggerMessageStatus = Literal[
    "Accepted",
    "Rejected",
    "NotImplemented",
]

TriggerMessageStatusEnumType = Literal[
    "Accepted",
    "Rejected",
    "NotImplemented",
]

UnitOfMeasure = Literal[
    "Wh",
    "kWh",
    "varh",
    "kvarh",
    "W",
    "kW",
    "VA",
    "kVA",
    "var",
    "kvar",
    "A",
    "V",
    "Celsius",
    "Fahrenheit",
    "K",
    "Percent",
]

UnlockStatus = Literal[
    "Unlocked",
    "UnlockFailed",
    "NotSupported",
]

UpdateFirmwareStatusEnumType = Literal[
    "Accepted",
    "Rejected",
    "AcceptedCanceled",
    "InvalidCertificate",
    "RevokedCertificate",
]

UpdateStatus = Literal[
    "Accepted",
    "Failed",
    "NotSupported",
    "VersionMismatch",
]

UpdateType = Literal[
    "Differential",
    "Full",
]

UploadLogStatusEnumType = Literal[
    "BadMessage",
    "Idle",
    "NotSupportedOperation",
    "PermissionDenied",
    "Uploaded",
    "UploadFailure",
    "Uploading",
]

ValueFormat = Literal[
    "Raw",
    "SignedData",
]


class AuthorizeRequest(Struct, gc=False):
    idTag: Annotated[str, Meta(min_length=1, max_length=20)]


class IdTagInfo(Struct, gc=False):
    status: AuthorizationStatus
    expiryDate: datetime | None = None
    parentIdTag: Annotated[str, Meta(min_length=1, max_length=20)] | None = None


class AuthorizeConfirmation(Struct, gc=False):
    idTagInfo: IdTagInfo


class BootNotificationRequest(Struct, gc=False):
    chargePointVendor: Annotated[str, Meta(max_length=20)]
    chargePointModel: Annotated[str, Meta(max_length=20)]
    chargePointSerialNumber: Annotated[str, Meta(max_length=25)] | None = None
    chargeBoxSerialNumber: Annotated[str, Meta(max_length=25)] | None = None
    firmwareVersion: Annotated[str, Meta(max_length=50)] | None = None
    iccid: Annotated[str, Meta(max_length=20)] | None = None
    imsi: Annotated[str, Meta(max_length=20)] | None = None
    meterType: Annotated[str, Meta(max_length=25)] | None = None
    meterSerialNumber: Annotated[str, Meta(max_length=25)] | None = None


class BootNotificationConfirmation(Struct, gc=False):
    currentTime: str
    interval: int
    status: RegistrationStatus


class ChangeAvailabilityRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    type: AvailabilityType


class ChangeAvailabilityConfirmation(Struct, gc=False):
    status: AvailabilityStatus


class ChangeConfigurationRequest(Struct, gc=False):
    key: Annotated[str, Meta(max_length=50)]
    value: Annotated[str, Meta(max_length=500)]


class ChangeConfigurationConfirmation(Struct, gc=False):
    status: ConfigurationStatus


class ClearCacheRequest(Struct, gc=False):
    pass


class ClearCacheConfirmation(Struct, gc=False):
    status: ClearCacheStatus


class DataTransferRequest(Struct, gc=False):
    vendorId: Annotated[str, Meta(max_length=255)]
    messageId: Annotated[str, Meta(max_length=50)] | None = None
    data: str | None = None


class DataTransferConfirmation(Struct, gc=False):
    status: DataTransferStatus
    data: str | None = None


class GetConfigurationRequest(Struct, gc=False):
    key: Annotated[list[Annotated[str, Meta(max_length=50)]], Meta(max_length=1000)] | None = None


class KeyValue(Struct, gc=False):
    key: Annotated[str, Meta(max_length=50)]
    readonly: bool
    value: Annotated[str, Meta(max_length=500)] | None = None


class GetConfigurationConfirmation(Struct, gc=False):
    configurationKey: list[KeyValue] | None = None
    unknownKey: list[Annotated[str, Meta(max_length=50)]] | None = None


class HeartbeatRequest(Struct, gc=False):
    pass


class HeartbeatConfirmation(Struct, gc=False):
    currentTime: str


class SampledValue(Struct, gc=False):
    value: str
    context: ReadingContext | None = None
    format: ValueFormat | None = None
    measurand: Measurand | None = None
    phase: Phase | None = None
    location: Location | None = None
    unit: UnitOfMeasure | None = None


class MeterValue(Struct, gc=False):
    timestamp: datetime
    sampledValue: Annotated[list[SampledValue], Meta(min_length=1)]


class MeterValuesRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    meterValue: Annotated[list[MeterValue], Meta(min_length=1)]
    transactionId: int | None = None


class MeterValuesConfirmation(Struct, gc=False):
    pass


class ChargingSchedulePeriod(Struct, gc=False):
    startPeriod: Annotated[int, Meta(ge=0, le=2147483647)]
    limit: Annotated[float, Meta(ge=0)]
    numberPhases: Annotated[int, Meta(ge=1, le=3)] | None = None


class ChargingSchedule(Struct, gc=False):
    chargingRateUnit: ChargingRateUnitType
    chargingSchedulePeriod: Annotated[list[ChargingSchedulePeriod], Meta(min_length=1)]
    duration: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    startSchedule: datetime | None = None
    minChargingRate: Annotated[float, Meta(ge=0)] | None = None


class ChargingProfile(Struct, gc=False):
    chargingProfileId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    stackLevel: Annotated[int, Meta(ge=0, le=2147483647)]
    chargingProfilePurpose: ChargingProfilePurposeType
    chargingProfileKind: ChargingProfileKindType
    chargingSchedule: ChargingSchedule
    transactionId: int | None = None
    recurrencyKind: RecurrencyKindType | None = None
    validFrom: datetime | None = None
    validTo: datetime | None = None


class RemoteStartTransactionRequest(Struct, gc=False):
    idTag: Annotated[str, Meta(min_length=1, max_length=20)]
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    chargingProfile: ChargingProfile | None = None


class RemoteStartTransactionConfirmation(Struct, gc=False):
    status: RemoteStartStopStatus


class RemoteStopTransactionRequest(Struct, gc=False):
    transactionId: int


class RemoteStopTransactionConfirmation(Struct, gc=False):
    status: RemoteStartStopStatus


class ResetRequest(Struct, gc=False):
    type: ResetType


class ResetConfirmation(Struct, gc=False):
    status: ResetStatus


class StartTransactionRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    idTag: Annotated[str, Meta(min_length=1, max_length=20)]
    meterStart: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    timestamp: datetime
    reservationId: Annotated[int, Meta(ge=-2147483648, le=2147483647)] | None = None


class StartTransactionConfirmation(Struct, gc=False):
    idTagInfo: IdTagInfo
    transactionId: int


class StatusNotificationRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    errorCode: ChargePointErrorCode
    status: ChargePointStatus
    info: Annotated[str, Meta(max_length=50)] | None = None
    timestamp: datetime | None = None
    vendorId: Annotated[str, Meta(max_length=255)] | None = None
    vendorErrorCode: Annotated[str, Meta(max_length=50)] | None = None


class StatusNotificationConfirmation(Struct, gc=False):
    pass


class StopTransactionRequest(Struct, gc=False):
    meterStop: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    timestamp: datetime
    transactionId: int
    idTag: Annotated[str, Meta(min_length=1, max_length=20)] | None = None
    reason: Reason | None = None
    transactionData: list[MeterValue] | None = None


class StopTransactionConfirmation(Struct, gc=False):
    idTagInfo: IdTagInfo | None = None


class UnlockConnectorRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]


class UnlockConnectorConfirmation(Struct, gc=False):
    status: UnlockStatus


class GetDiagnosticsRequest(Struct, gc=False):
    location: str
    retries: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    retryInterval: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    startTime: datetime | None = None
    stopTime: datetime | None = None


class GetDiagnosticsConfirmation(Struct, gc=False):
    fileName: Annotated[str, Meta(max_length=255)] | None = None


class DiagnosticsStatusNotificationRequest(Struct, gc=False):
    status: DiagnosticsStatus


class DiagnosticsStatusNotificationConfirmation(Struct, gc=False):
    pass


class UpdateFirmwareRequest(Struct, gc=False):
    location: str
    retrieveDate: datetime
    retries: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    retryInterval: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class UpdateFirmwareConfirmation(Struct, gc=False):
    pass


class FirmwareStatusNotificationRequest(Struct, gc=False):
    status: FirmwareStatus


class FirmwareStatusNotificationConfirmation(Struct, gc=False):
    pass


class GetLocalListVersionRequest(Struct, gc=False):
    pass


class GetLocalListVersionConfirmation(Struct, gc=False):
    listVersion: Annotated[int, Meta(ge=-2147483648, le=2147483647)]


class AuthorizationData(Struct, gc=False):
    idTag: Annotated[str, Meta(min_length=1, max_length=20)]
    idTagInfo: IdTagInfo | None = None


class SendLocalListRequest(Struct, gc=False):
    listVersion: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    updateType: UpdateType
    localAuthorizationList: list[AuthorizationData] | None = None


class SendLocalListConfirmation(Struct, gc=False):
    status: UpdateStatus


class ReserveNowRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    expiryDate: datetime
    idTag: Annotated[str, Meta(min_length=1, max_length=20)]
    reservationId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    parentIdTag: Annotated[str, Meta(min_length=1, max_length=20)] | None = None


class ReserveNowConfirmation(Struct, gc=False):
    status: ReservationStatus


class CancelReservationRequest(Struct, gc=False):
    reservationId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]


class CancelReservationConfirmation(Struct, gc=False):
    status: CancelReservationStatus


class SetChargingProfileRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)]
    csChargingProfiles: ChargingProfile


class SetChargingProfileConfirmation(Struct, gc=False):
    status: ChargingProfileStatus


class ClearChargingProfileRequest(Struct, gc=False):
    id: Annotated[int, Meta(ge=-2147483648, le=2147483647)] | None = None
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    chargingProfilePurpose: ChargingProfilePurposeType | None = None
    stackLevel: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class ClearChargingProfileConfirmation(Struct, gc=False):
    status: ClearChargingProfileStatus


class GetCompositeScheduleRequest(Struct, gc=False):
    connectorId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    duration: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    chargingRateUnit: ChargingRateUnitType | None = None


class GetCompositeScheduleConfirmation(Struct, gc=False):
    status: GetCompositeScheduleStatus
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    scheduleStart: datetime | None = None
    chargingSchedule: ChargingSchedule | None = None


class TriggerMessageRequest(Struct, gc=False):
    requestedMessage: str
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class TriggerMessageConfirmation(Struct, gc=False):
    status: TriggerMessageStatus


class CertificateSignedRequest(Struct, gc=False):
    certificateChain: Annotated[str, Meta(max_length=10000)]


class CertificateSignedConfirmation(Struct, gc=False):
    status: CertificateSignedStatusEnumType


class CertificateHashDataType(Struct, gc=False):
    hashAlgorithm: HashAlgorithmEnumType
    issuerNameHash: Annotated[str, Meta(max_length=128)]
    issuerKeyHash: Annotated[str, Meta(max_length=128)]
    serialNumber: Annotated[str, Meta(max_length=40)]


class DeleteCertificateRequest(Struct, gc=False):
    certificateHashData: CertificateHashDataType


class DeleteCertificateConfirmation(Struct, gc=False):
    status: DeleteCertificateStatusEnumType


class ExtendedTriggerMessageRequest(Struct, gc=False):
    requestedMessage: str
    connectorId: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class ExtendedTriggerMessageConfirmation(Struct, gc=False):
    status: TriggerMessageStatusEnumType


class GetInstalledCertificateIdsRequest(Struct, gc=False):
    certificateType: CertificateUseEnumType


class GetInstalledCertificateIdsConfirmation(Struct, gc=False):
    status: GetInstalledCertificateStatusEnumType
    certificateHashData: Annotated[list[CertificateHashDataType], Meta(min_length=1)] | None = None


class LogParametersType(Struct, gc=False):
    remoteLocation: Annotated[str, Meta(max_length=512)]
    oldestTimestamp: datetime | None = None
    latestTimestamp: datetime | None = None


class GetLogRequest(Struct, gc=False):
    logType: LogEnumType
    requestId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    log: LogParametersType
    retries: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    retryInterval: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class GetLogConfirmation(Struct, gc=False):
    status: LogStatusEnumType
    filename: Annotated[str, Meta(max_length=255)] | None = None


class InstallCertificateRequest(Struct, gc=False):
    certificateType: CertificateUseEnumType
    certificate: Annotated[str, Meta(max_length=5500)]


class InstallCertificateConfirmation(Struct, gc=False):
    status: CertificateStatusEnumType


class LogStatusNotificationRequest(Struct, gc=False):
    status: UploadLogStatusEnumType
    requestId: Annotated[int, Meta(ge=-2147483648, le=2147483647)] | None = None


class LogStatusNotificationConfirmation(Struct, gc=False):
    pass


class SecurityEventNotificationRequest(Struct, gc=False):
    type: Annotated[str, Meta(max_length=50)]
    timestamp: datetime
    techInfo: Annotated[str, Meta(max_length=255)] | None = None


class SecurityEventNotificationConfirmation(Struct, gc=False):
    pass


class SignCertificateRequest(Struct, gc=False):
    csr: Annotated[str, Meta(max_length=5500)]


class SignCertificateConfirmation(Struct, gc=False):
    status: GenericStatusEnumType


class SignedFirmwareStatusNotificationRequest(Struct, gc=False):
    status: FirmwareStatusEnumType
    requestId: Annotated[int, Meta(ge=-2147483648, le=2147483647)] | None = None


class SignedFirmwareStatusNotificationConfirmation(Struct, gc=False):
    pass


class FirmwareType(Struct, gc=False):
    location: Annotated[str, Meta(max_length=512)]
    retrieveDateTime: datetime
    signingCertificate: Annotated[str, Meta(max_length=5500)]
    signature: Annotated[str, Meta(max_length=800)]
    installDateTime: datetime | None = None


class SignedUpdateFirmwareRequest(Struct, gc=False):
    requestId: Annotated[int, Meta(ge=-2147483648, le=2147483647)]
    firmware: FirmwareType
    retries: Annotated[int, Meta(ge=0, le=2147483647)] | None = None
    retryInterval: Annotated[int, Meta(ge=0, le=2147483647)] | None = None


class SignedUpdateFirmwareConfirmation(Struct, gc=False):
    status: UpdateFirmwareStatusEnumType


REQUEST: dict[str, type[Struct]] = {
    "Authorize": AuthorizeRequest,
    "BootNotification": BootNotificationRequest,
    "ChangeAvailability": ChangeAvailabilityRequest,
    "ChangeConfiguration": ChangeConfigurationRequest,
    "ClearCache": ClearCacheRequest,
    "DataTransfer": DataTransferRequest,
    "GetConfiguration": GetConfigurationRequest,
    "Heartbeat": HeartbeatRequest,
    "MeterValues": MeterValuesRequest,
    "RemoteStartTransaction": RemoteStartTransactionRequest,
    "RemoteStopTransaction": RemoteStopTransactionRequest,
    "Reset": ResetRequest,
    "StartTransaction": StartTransactionRequest,
    "StatusNotification": StatusNotificationRequest,
    "StopTransaction": StopTransactionRequest,
    "UnlockConnector": UnlockConnectorRequest,
    "GetDiagnostics": GetDiagnosticsRequest,
    "DiagnosticsStatusNotification": DiagnosticsStatusNotificationRequest,
    "UpdateFirmware": UpdateFirmwareRequest,
    "FirmwareStatusNotification": FirmwareStatusNotificationRequest,
    "GetLocalListVersion": GetLocalListVersionRequest,
    "SendLocalList": SendLocalListRequest,
    "ReserveNow": ReserveNowRequest,
    "CancelReservation": CancelReservationRequest,
    "SetChargingProfile": SetChargingProfileRequest,
    "ClearChargingProfile": ClearChargingProfileRequest,
    "GetCompositeSchedule": GetCompositeScheduleRequest,
    "TriggerMessage": TriggerMessageRequest,
    "CertificateSigned": CertificateSignedRequest,
    "DeleteCertificate": DeleteCertificateRequest,
    "ExtendedTriggerMessage": ExtendedTriggerMessageRequest,
    "GetInstalledCertificateIds": GetInstalledCertificateIdsRequest,
    "GetLog": GetLogRequest,
    "InstallCertificate": InstallCertificateRequest,
    "LogStatusNotification": LogStatusNotificationRequest,
    "SecurityEventNotification": SecurityEventNotificationRequest,
    "SignCertificate": SignCertificateRequest,
    "SignedFirmwareStatusNotification": SignedFirmwareStatusNotificationRequest,
    "SignedUpdateFirmware": SignedUpdateFirmwareRequest,
}


CONFIRMATION: dict[str, type[Struct]] = {
    "Authorize": AuthorizeConfirmation,
    "BootNotification": BootNotificationConfirmation,
    "ChangeAvailability": ChangeAvailabilityConfirmation,
    "ChangeConfiguration": ChangeConfigurationConfirmation,
    "ClearCache": ClearCacheConfirmation,
    "DataTransfer": DataTransferConfirmation,
    "GetConfiguration": GetConfigurationConfirmation,
    "Heartbeat": HeartbeatConfirmation,
    "MeterValues": MeterValuesConfirmation,
    "RemoteStartTransaction": RemoteStartTransactionConfirmation,
    "RemoteStopTransaction": RemoteStopTransactionConfirmation,
    "Reset": ResetConfirmation,
    "StartTransaction": StartTransactionConfirmation,
    "StatusNotification": StatusNotificationConfirmation,
    "StopTransaction": StopTransactionConfirmation,
    "UnlockConnector": UnlockConnectorConfirmation,
    "GetDiagnostics": GetDiagnosticsConfirmation,
    "DiagnosticsStatusNotification": DiagnosticsStatusNotificationConfirmation,
    "UpdateFirmware": UpdateFirmwareConfirmation,
    "FirmwareStatusNotification": FirmwareStatusNotificationConfirmation,
    "GetLocalListVersion": GetLocalListVersionConfirmation,
    "SendLocalList": SendLocalListConfirmation,
    "ReserveNow": ReserveNowConfirmation,
    "CancelReservation": CancelReservationConfirmation,
    "SetChargingProfile": SetChargingProfileConfirmation,
    "ClearChargingProfile": ClearChargingProfileConfirmation,
    "GetCompositeSchedule": GetCompositeScheduleConfirmation,
    "TriggerMessage": TriggerMessageConfirmation,
    "CertificateSigned": CertificateSignedConfirmation,
    "DeleteCertificate": DeleteCertificateConfirmation,
    "ExtendedTriggerMessage": ExtendedTriggerMessageConfirmation,
    "GetInstalledCertificateIds": GetInstalledCertificateIdsConfirmation,
    "GetLog": GetLogConfirmation,
    "InstallCertificate": InstallCertificateConfirmation,
    "LogStatusNotification": LogStatusNotificationConfirmation,
    "SecurityEventNotification": SecurityEventNotificationConfirmation,
    "SignCertificate": SignCertificateConfirmation,
    "SignedFirmwareStatusNotification": SignedFirmwareStatusNotificationConfirmation,
    "SignedUpdateFirmware": SignedUpdateFirmwareConfirmation,
}
