//! DATA: the 39 actions of OCPP 1.6 and its security extension, field by field.
//!
//! Sources: OCPP 1.6 edition 2 chapters 6 and 7 with errata v4.0, OCPP-J 1.6 with errata v1.0, security white paper edition 2
//! with the differences of edition 3. Everything else that knows a PDU is made from these tables: the validator, the
//! vocabulary of the Python core, the reference decoder of the benches. Ranges follow the schemas plus J-256.
#![forbid(unsafe_code)]

/// A set of strings that a member may have.
#[derive(Debug)]
pub struct Enumeration {
    /// Its place in [`ENUMERATIONS`].
    pub id: usize,
    /// Its name in the standard.
    pub name: &'static str,
    /// Its values, spelled as on the wire (case sensitive).
    pub values: &'static [&'static str],
    /// [`ends`] of each value.
    pub keys: &'static [(u64, u64)],
}

/// The first and the last eight bytes of a text, or, of a shorter one, all of them and their number: two words that tell
/// texts of the same length apart up to 16 bytes.
#[inline(always)]
#[must_use]
#[allow(clippy::as_conversions)] // a length fits 64 bits
pub const fn ends(text: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    let mut head = 0_u64;
    let mut rest = text;
    while let [first, after @ ..] = rest {
        head = (head << 8) | (*first as u64);
        rest = after;
    }
    (head, text.len() as u64)
}

/// The start and the length of a text in one word, for the table of actions.
#[inline(always)]
#[allow(clippy::as_conversions)] // a length fits 64 bits
const fn key(text: &[u8]) -> u64 {
    ends(text).0 ^ (text.len() as u64).rotate_right(8)
}

/// What a member's value must be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Text of `min` to `max` characters.
    Text {
        /// Least number of characters.
        min: u32,
        /// Largest number of characters.
        max: u32,
    },
    /// DataTransfer's `data`: text; leniently any JSON, taken as its text.
    AnyText,
    /// An absolute URI.
    Uri,
    /// A date-time of RFC 3339.
    Timestamp,
    /// `currentTime` of a confirmation: any text, because a bad one must not fail the call (J-307).
    LooseTimestamp,
    /// An integer.
    Integer {
        /// Least value.
        min: i64,
        /// Largest value.
        max: i64,
        /// The range in strict mode, where the standard's own text is narrower than what is tolerated.
        strict: (i64, i64),
        /// Whether a text of digits is tolerated in a confirmation (J-276).
        text: bool,
    },
    /// A number of at least 0 with one decimal.
    Decimal,
    /// true or false.
    Boolean,
    /// One of an enumeration; in a lenient confirmation `fallback` stands for an unknown value (J-276).
    Choice(&'static Enumeration, Option<usize>),
    /// One of an enumeration, where an unknown value is answered by a status and not by a CALLERROR (CORE-TM-12).
    OpenChoice(&'static Enumeration),
    /// An object.
    Object(&'static Shape),
    /// An array.
    List {
        /// What each item must be.
        item: &'static Kind,
        /// Least number of items.
        min: u32,
        /// Largest number of items.
        max: u32,
    },
}

impl Kind {
    /// How it is called in a description.
    #[must_use]
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::AnyText | Self::Uri | Self::Timestamp | Self::LooseTimestamp => "a string",
            Self::Choice(..) | Self::OpenChoice(_) => "a string",
            Self::Integer { .. } => "an integer",
            Self::Decimal => "a number",
            Self::Boolean => "a boolean",
            Self::Object(_) => "an object",
            Self::List { .. } => "an array",
        }
    }
}

/// A member of an object.
#[derive(Debug)]
pub struct Field {
    /// Its name on the wire.
    pub name: &'static str,
    /// Its place in [`NAMES`].
    pub name_id: usize,
    /// What its value must be.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// Its bit among the members of its shape.
    pub bit: u32,
    /// `"name":` as up to three little-endian words: its first eight bytes, the next eight, the last eight.
    pub words: [u64; 3],
    /// Which bits of the first word count.
    pub mask: u64,
}

/// An object: its members, in the order of the standard.
#[derive(Debug)]
pub struct Shape {
    /// The class of the standard, or the PDU.
    pub name: &'static str,
    /// Its members.
    pub fields: &'static [Field],
    /// One bit per required member.
    pub required: u32,
    /// The places of a member that some peers write instead of another, and of that other one (J-213).
    pub alias: Option<(usize, usize)>,
}

/// Who sends the request of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The charge point.
    ChargePoint,
    /// The CSMS (the standard's Central System).
    Csms,
    /// Either.
    Both,
}

/// An action.
#[derive(Debug)]
pub struct Action {
    /// Its place in [`ACTIONS`].
    pub id: usize,
    /// Its name on the wire.
    pub name: &'static str,
    /// The feature profile it belongs to (erratum 3.2), or `Security`.
    pub profile: &'static str,
    /// Who sends the request.
    pub sender: Sender,
    /// The .req PDU.
    pub request: &'static Shape,
    /// The .conf PDU.
    pub confirmation: &'static Shape,
}

impl Action {
    /// The action of this name (case sensitive).
    #[inline(always)]
    #[must_use]
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        let place = SLOTS.get(slot(key(name), MULTIPLIER))?;
        ACTIONS.get(usize::from(*place)).filter(|action| action.name.as_bytes() == name)
    }

    /// Whether `side` may send the request.
    #[must_use]
    pub fn is_sent_by(&self, side: Sender) -> bool {
        self.sender == side || self.sender == Sender::Both
    }
}

/// Eight bytes of `"name":` from `from`, little-endian, zero-padded.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated by the compiler
const fn word(name: &[u8], from: usize) -> u64 {
    let mut word = 0_u64;
    let mut index = 0;
    while index < 8 {
        let at = from + index;
        let byte = match at {
            0 => b'"',
            at if at <= name.len() => name[at - 1],
            at if at <= name.len() + 2 => b"\":"[at - name.len() - 1],
            _ => 0,
        };
        word |= (byte as u64) << (index * 8);
        index += 1;
    }
    word
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn same(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    if left.len() != right.len() {
        return false;
    }
    let mut index = 0;
    while index < left.len() {
        if left[index] != right[index] {
            return false;
        }
        index += 1;
    }
    true
}

impl Field {
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)] // evaluated by the compiler
    const fn new(name: &'static str, kind: Kind, required: bool) -> Self {
        let bytes = name.as_bytes();
        let size = bytes.len() + 3;
        let mut name_id = 0;
        while !same(NAMES[name_id], name) {
            name_id += 1; // a name missing from NAMES fails to compile here
        }
        let mask = if size >= 8 { u64::MAX } else { (1 << (size * 8)) - 1 };
        let second = if size > 16 { 8 } else { size.saturating_sub(8) };
        // A name too long for three words is left to the slower comparison: no text holds eight NULs.
        let fits = size <= 24;
        let words =
            if fits { [word(bytes, 0), word(bytes, second), word(bytes, size.saturating_sub(8))] } else { [0; 3] };
        Self { name, name_id, kind, required, bit: 0, words, mask }
    }
}

const fn req(name: &'static str, kind: Kind) -> Field {
    Field::new(name, kind, true)
}

const fn opt(name: &'static str, kind: Kind) -> Field {
    Field::new(name, kind, false)
}

/// Give each member its bit.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // evaluated by the compiler
const fn numbered<const N: usize>(mut fields: [Field; N]) -> [Field; N] {
    let mut index = 0;
    while index < N {
        fields[index].bit = 1 << index;
        index += 1;
    }
    fields
}

impl Shape {
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)] // evaluated by the compiler
    const fn new(name: &'static str, fields: &'static [Field]) -> Self {
        assert!(fields.len() <= 32, "members are counted in 32 bits");
        let mut required = 0;
        let mut index = 0;
        while index < fields.len() {
            if fields[index].required {
                required |= 1 << index;
            }
            index += 1;
        }
        Self { name, fields, required, alias: None }
    }

    const fn with_alias(mut self, alias: usize, member: usize) -> Self {
        self.alias = Some((alias, member));
        self
    }

    /// The alias and the member that it stands for.
    #[must_use]
    pub fn alias(&self) -> Option<(&'static Field, &'static Field)> {
        let (alias, member) = self.alias?;
        Some((self.fields.get(alias)?, self.fields.get(member)?))
    }

    /// Whether the only required member that is not present is replaced by its alias.
    #[cold]
    #[must_use]
    pub fn is_excused(&self, present: u32) -> bool {
        let missing = self.required & !present;
        self.alias().is_some_and(|(alias, member)| missing == member.bit && present & alias.bit != 0)
    }
}

const I32_MIN: i64 = -2_147_483_648;
const I32_MAX: i64 = 2_147_483_647;

const fn text(max: u32) -> Kind {
    Kind::Text { min: 0, max }
}

const fn integer(min: i64, max: i64) -> Kind {
    Kind::Integer { min, max, strict: (min, max), text: false }
}

const fn choice(enumeration: &'static Enumeration) -> Kind {
    Kind::Choice(enumeration, None)
}

const fn list(item: &'static Kind, min: u32) -> Kind {
    Kind::List { item, min, max: u32::MAX }
}

/// IdToken: at most 20 characters, and not empty (messages.md section 1, row 8).
const ID_TOKEN: Kind = Kind::Text { min: 1, max: 20 };
/// A text without limit.
const LONG_TEXT: Kind = text(u32::MAX);
/// Any integer of 32 bits.
const ANY: Kind = integer(I32_MIN, I32_MAX);
/// A count, a level, a number of seconds.
const COUNT: Kind = integer(0, I32_MAX);
/// A connector, 0 included.
const CONNECTOR: Kind = integer(0, I32_MAX);
/// A connector above 0 by the standard; 0 is answered by a status.
const CONNECTOR_ABOVE_0: Kind = Kind::Integer { min: 0, max: I32_MAX, strict: (1, I32_MAX), text: false };
/// A transaction id: 64 bits, because CSMSs number in milliseconds.
const TRANSACTION: Kind = integer(i64::MIN, i64::MAX);

macro_rules! enumerations {
    ($($id:ident $name:literal [$($value:literal)*];)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms)]
        enum Place { $($id,)* }
        $(
            #[doc = concat!("Values of ", $name, ".")]
            #[allow(clippy::as_conversions)] // evaluated by the compiler
            pub static $id: Enumeration = Enumeration {
                id: Place::$id as usize,
                name: $name,
                values: &[$($value,)*],
                keys: &[$(ends($value.as_bytes()),)*],
            };
        )*
        /// Every enumeration.
        pub static ENUMERATIONS: &[&Enumeration] = &[$(&$id,)*];
    };
}

enumerations! {
    AUTHORIZATION_STATUS "AuthorizationStatus" ["Accepted" "Blocked" "Expired" "Invalid" "ConcurrentTx"];
    AVAILABILITY_STATUS "AvailabilityStatus" ["Accepted" "Rejected" "Scheduled"];
    AVAILABILITY_TYPE "AvailabilityType" ["Inoperative" "Operative"];
    CANCEL_RESERVATION_STATUS "CancelReservationStatus" ["Accepted" "Rejected"];
    CHARGE_POINT_ERROR_CODE "ChargePointErrorCode" ["ConnectorLockFailure" "EVCommunicationError" "GroundFailure"
        "HighTemperature" "InternalError" "LocalListConflict" "NoError" "OtherError" "OverCurrentFailure" "OverVoltage"
        "PowerMeterFailure" "PowerSwitchFailure" "ReaderFailure" "ResetFailure" "UnderVoltage" "WeakSignal"];
    CHARGE_POINT_STATUS "ChargePointStatus" ["Available" "Preparing" "Charging" "SuspendedEVSE" "SuspendedEV" "Finishing"
        "Reserved" "Unavailable" "Faulted"];
    CHARGING_PROFILE_KIND_TYPE "ChargingProfileKindType" ["Absolute" "Recurring" "Relative"];
    CHARGING_PROFILE_PURPOSE_TYPE "ChargingProfilePurposeType" ["ChargePointMaxProfile" "TxDefaultProfile" "TxProfile"];
    CHARGING_PROFILE_STATUS "ChargingProfileStatus" ["Accepted" "Rejected" "NotSupported"];
    CHARGING_RATE_UNIT_TYPE "ChargingRateUnitType" ["A" "W"];
    CLEAR_CACHE_STATUS "ClearCacheStatus" ["Accepted" "Rejected"];
    CLEAR_CHARGING_PROFILE_STATUS "ClearChargingProfileStatus" ["Accepted" "Unknown"];
    CONFIGURATION_STATUS "ConfigurationStatus" ["Accepted" "Rejected" "RebootRequired" "NotSupported"];
    DATA_TRANSFER_STATUS "DataTransferStatus" ["Accepted" "Rejected" "UnknownMessageId" "UnknownVendorId"];
    DIAGNOSTICS_STATUS "DiagnosticsStatus" ["Idle" "Uploaded" "UploadFailed" "Uploading"];
    FIRMWARE_STATUS "FirmwareStatus" ["Downloaded" "DownloadFailed" "Downloading" "Idle" "InstallationFailed" "Installing"
        "Installed"];
    GET_COMPOSITE_SCHEDULE_STATUS "GetCompositeScheduleStatus" ["Accepted" "Rejected"];
    LOCATION "Location" ["Body" "Cable" "EV" "Inlet" "Outlet"];
    MEASURAND "Measurand" ["Current.Export" "Current.Import" "Current.Offered" "Energy.Active.Export.Register"
        "Energy.Active.Import.Register" "Energy.Reactive.Export.Register" "Energy.Reactive.Import.Register"
        "Energy.Active.Export.Interval" "Energy.Active.Import.Interval" "Energy.Reactive.Export.Interval"
        "Energy.Reactive.Import.Interval" "Frequency" "Power.Active.Export" "Power.Active.Import" "Power.Factor"
        "Power.Offered" "Power.Reactive.Export" "Power.Reactive.Import" "RPM" "SoC" "Temperature" "Voltage"];
    MESSAGE_TRIGGER "MessageTrigger" ["BootNotification" "DiagnosticsStatusNotification" "FirmwareStatusNotification"
        "Heartbeat" "MeterValues" "StatusNotification"];
    PHASE "Phase" ["L1" "L2" "L3" "N" "L1-N" "L2-N" "L3-N" "L1-L2" "L2-L3" "L3-L1"];
    READING_CONTEXT "ReadingContext" ["Interruption.Begin" "Interruption.End" "Other" "Sample.Clock" "Sample.Periodic"
        "Transaction.Begin" "Transaction.End" "Trigger"];
    REASON "Reason" ["DeAuthorized" "EmergencyStop" "EVDisconnected" "HardReset" "Local" "Other" "PowerLoss" "Reboot"
        "Remote" "SoftReset" "UnlockCommand"];
    RECURRENCY_KIND_TYPE "RecurrencyKindType" ["Daily" "Weekly"];
    REGISTRATION_STATUS "RegistrationStatus" ["Accepted" "Pending" "Rejected"];
    REMOTE_START_STOP_STATUS "RemoteStartStopStatus" ["Accepted" "Rejected"];
    RESERVATION_STATUS "ReservationStatus" ["Accepted" "Faulted" "Occupied" "Rejected" "Unavailable"];
    RESET_STATUS "ResetStatus" ["Accepted" "Rejected"];
    RESET_TYPE "ResetType" ["Hard" "Soft"];
    TRIGGER_MESSAGE_STATUS "TriggerMessageStatus" ["Accepted" "Rejected" "NotImplemented"];
    UNIT_OF_MEASURE "UnitOfMeasure" ["Wh" "kWh" "varh" "kvarh" "W" "kW" "VA" "kVA" "var" "kvar" "A" "V" "Celsius"
        "Fahrenheit" "K" "Percent"];
    UNLOCK_STATUS "UnlockStatus" ["Unlocked" "UnlockFailed" "NotSupported"];
    UPDATE_STATUS "UpdateStatus" ["Accepted" "Failed" "NotSupported" "VersionMismatch"];
    UPDATE_TYPE "UpdateType" ["Differential" "Full"];
    VALUE_FORMAT "ValueFormat" ["Raw" "SignedData"];
    CERTIFICATE_SIGNED_STATUS "CertificateSignedStatusEnumType" ["Accepted" "Rejected"];
    CERTIFICATE_STATUS "CertificateStatusEnumType" ["Accepted" "Failed" "Rejected"];
    CERTIFICATE_USE "CertificateUseEnumType" ["CentralSystemRootCertificate" "ManufacturerRootCertificate"];
    DELETE_CERTIFICATE_STATUS "DeleteCertificateStatusEnumType" ["Accepted" "Failed" "NotFound"];
    SIGNED_FIRMWARE_STATUS "FirmwareStatusEnumType" ["Downloaded" "DownloadFailed" "Downloading" "DownloadScheduled"
        "DownloadPaused" "Idle" "InstallationFailed" "Installing" "Installed" "InstallRebooting" "InstallScheduled"
        "InstallVerificationFailed" "InvalidSignature" "SignatureVerified"];
    GENERIC_STATUS "GenericStatusEnumType" ["Accepted" "Rejected"];
    GET_INSTALLED_CERTIFICATE_STATUS "GetInstalledCertificateStatusEnumType" ["Accepted" "NotFound"];
    HASH_ALGORITHM "HashAlgorithmEnumType" ["SHA256" "SHA384" "SHA512"];
    LOG_TYPE "LogEnumType" ["DiagnosticsLog" "SecurityLog"];
    LOG_STATUS "LogStatusEnumType" ["Accepted" "Rejected" "AcceptedCanceled"];
    EXTENDED_MESSAGE_TRIGGER "MessageTriggerEnumType" ["BootNotification" "LogStatusNotification"
        "FirmwareStatusNotification" "Heartbeat" "MeterValues" "SignChargePointCertificate" "StatusNotification"];
    EXTENDED_TRIGGER_MESSAGE_STATUS "TriggerMessageStatusEnumType" ["Accepted" "Rejected" "NotImplemented"];
    UPDATE_FIRMWARE_STATUS "UpdateFirmwareStatusEnumType" ["Accepted" "Rejected" "AcceptedCanceled" "InvalidCertificate"
        "RevokedCertificate"];
    UPLOAD_LOG_STATUS "UploadLogStatusEnumType" ["BadMessage" "Idle" "NotSupportedOperation" "PermissionDenied" "Uploaded"
        "UploadFailure" "Uploading"];
}

/// Every member name of every PDU, each once.
pub static NAMES: &[&str] = &[
    "certificate",
    "certificateChain",
    "certificateHashData",
    "certificateType",
    "chargeBoxSerialNumber",
    "chargePointModel",
    "chargePointSerialNumber",
    "chargePointVendor",
    "chargingProfile",
    "chargingProfileId",
    "chargingProfileKind",
    "chargingProfilePurpose",
    "chargingRateUnit",
    "chargingSchedule",
    "chargingSchedulePeriod",
    "configurationKey",
    "connectorId",
    "context",
    "csChargingProfiles",
    "csr",
    "currentTime",
    "data",
    "duration",
    "errorCode",
    "expiryDate",
    "fileName",
    "filename",
    "firmware",
    "firmwareVersion",
    "format",
    "hashAlgorithm",
    "heartbeatInterval",
    "iccid",
    "id",
    "idTag",
    "idTagInfo",
    "imsi",
    "info",
    "installDateTime",
    "interval",
    "issuerKeyHash",
    "issuerNameHash",
    "key",
    "latestTimestamp",
    "limit",
    "listVersion",
    "localAuthorizationList",
    "location",
    "log",
    "logType",
    "measurand",
    "messageId",
    "meterSerialNumber",
    "meterStart",
    "meterStop",
    "meterType",
    "meterValue",
    "minChargingRate",
    "numberPhases",
    "oldestTimestamp",
    "parentIdTag",
    "phase",
    "readonly",
    "reason",
    "recurrencyKind",
    "remoteLocation",
    "requestId",
    "requestedMessage",
    "reservationId",
    "retries",
    "retrieveDate",
    "retrieveDateTime",
    "retryInterval",
    "sampledValue",
    "scheduleStart",
    "serialNumber",
    "signature",
    "signingCertificate",
    "stackLevel",
    "startPeriod",
    "startSchedule",
    "startTime",
    "status",
    "stopTime",
    "techInfo",
    "timestamp",
    "transactionData",
    "transactionId",
    "type",
    "unit",
    "unknownKey",
    "updateType",
    "validFrom",
    "validTo",
    "value",
    "vendorErrorCode",
    "vendorId",
];

macro_rules! shapes {
    ($($id:ident $name:literal [$($field:expr,)*] $(, $alias:literal for $member:literal)?;)*) => {
        $(
            #[doc = concat!("Members of ", $name, ".")]
            pub static $id: Shape = {
                const MEMBERS: usize = { let names: &[&str] = &[$(stringify!($field),)*]; names.len() };
                static FIELDS: [Field; MEMBERS] = numbered([$($field,)*]);
                Shape::new($name, &FIELDS)$(.with_alias($alias, $member))?
            };
        )*
    };
}

/// IdTagInfo.status in a confirmation: an unknown value counts as Invalid (J-276).
const ID_TAG_STATUS: Kind = Kind::Choice(&AUTHORIZATION_STATUS, Some(3));

shapes! {
    NOTHING "an empty PDU" [];
    // Classes
    ID_TAG_INFO "IdTagInfo" [
        opt("expiryDate", Kind::Timestamp), opt("parentIdTag", ID_TOKEN), req("status", ID_TAG_STATUS),
    ];
    AUTHORIZATION_DATA "AuthorizationData" [req("idTag", ID_TOKEN), opt("idTagInfo", Kind::Object(&ID_TAG_INFO)),];
    CHARGING_SCHEDULE_PERIOD "ChargingSchedulePeriod" [
        req("startPeriod", COUNT), req("limit", Kind::Decimal), opt("numberPhases", integer(1, 3)),
    ];
    CHARGING_SCHEDULE "ChargingSchedule" [
        opt("duration", COUNT), opt("startSchedule", Kind::Timestamp),
        req("chargingRateUnit", choice(&CHARGING_RATE_UNIT_TYPE)),
        req("chargingSchedulePeriod", list(&Kind::Object(&CHARGING_SCHEDULE_PERIOD), 1)),
        opt("minChargingRate", Kind::Decimal),
    ];
    CHARGING_PROFILE "ChargingProfile" [
        req("chargingProfileId", ANY), opt("transactionId", TRANSACTION), req("stackLevel", COUNT),
        req("chargingProfilePurpose", choice(&CHARGING_PROFILE_PURPOSE_TYPE)),
        req("chargingProfileKind", choice(&CHARGING_PROFILE_KIND_TYPE)),
        opt("recurrencyKind", choice(&RECURRENCY_KIND_TYPE)), opt("validFrom", Kind::Timestamp),
        opt("validTo", Kind::Timestamp), req("chargingSchedule", Kind::Object(&CHARGING_SCHEDULE)),
    ];
    KEY_VALUE "KeyValue" [req("key", text(50)), req("readonly", Kind::Boolean), opt("value", text(500)),];
    SAMPLED_VALUE "SampledValue" [
        req("value", LONG_TEXT), opt("context", choice(&READING_CONTEXT)), opt("format", choice(&VALUE_FORMAT)),
        opt("measurand", choice(&MEASURAND)), opt("phase", choice(&PHASE)), opt("location", choice(&LOCATION)),
        opt("unit", choice(&UNIT_OF_MEASURE)),
    ];
    METER_VALUE "MeterValue" [
        req("timestamp", Kind::Timestamp), req("sampledValue", list(&Kind::Object(&SAMPLED_VALUE), 1)),
    ];
    CERTIFICATE_HASH_DATA "CertificateHashDataType" [
        req("hashAlgorithm", choice(&HASH_ALGORITHM)), req("issuerNameHash", text(128)), req("issuerKeyHash", text(128)),
        req("serialNumber", text(40)),
    ];
    FIRMWARE "FirmwareType" [
        req("location", text(512)), req("retrieveDateTime", Kind::Timestamp), opt("installDateTime", Kind::Timestamp),
        req("signingCertificate", text(5500)), req("signature", text(800)),
    ];
    LOG_PARAMETERS "LogParametersType" [
        req("remoteLocation", text(512)), opt("oldestTimestamp", Kind::Timestamp), opt("latestTimestamp", Kind::Timestamp),
    ];
    // Core
    AUTHORIZE_REQ "Authorize.req" [req("idTag", ID_TOKEN),];
    AUTHORIZE_CONF "Authorize.conf" [req("idTagInfo", Kind::Object(&ID_TAG_INFO)),];
    BOOT_NOTIFICATION_REQ "BootNotification.req" [
        req("chargePointVendor", text(20)), req("chargePointModel", text(20)), opt("chargePointSerialNumber", text(25)),
        opt("chargeBoxSerialNumber", text(25)), opt("firmwareVersion", text(50)), opt("iccid", text(20)),
        opt("imsi", text(20)), opt("meterType", text(25)), opt("meterSerialNumber", text(25)),
    ];
    BOOT_NOTIFICATION_CONF "BootNotification.conf" [
        req("currentTime", Kind::LooseTimestamp), req("interval", integer(i64::MIN, i64::MAX)),
        req("status", choice(&REGISTRATION_STATUS)), opt("heartbeatInterval", integer(i64::MIN, i64::MAX)),
    ], 3 for 1;
    CHANGE_AVAILABILITY_REQ "ChangeAvailability.req" [
        req("connectorId", CONNECTOR), req("type", choice(&AVAILABILITY_TYPE)),
    ];
    CHANGE_AVAILABILITY_CONF "ChangeAvailability.conf" [req("status", choice(&AVAILABILITY_STATUS)),];
    CHANGE_CONFIGURATION_REQ "ChangeConfiguration.req" [req("key", text(50)), req("value", text(500)),];
    CHANGE_CONFIGURATION_CONF "ChangeConfiguration.conf" [req("status", choice(&CONFIGURATION_STATUS)),];
    CLEAR_CACHE_CONF "ClearCache.conf" [req("status", choice(&CLEAR_CACHE_STATUS)),];
    DATA_TRANSFER_REQ "DataTransfer.req" [
        req("vendorId", text(255)), opt("messageId", text(50)), opt("data", Kind::AnyText),
    ];
    DATA_TRANSFER_CONF "DataTransfer.conf" [req("status", choice(&DATA_TRANSFER_STATUS)), opt("data", Kind::AnyText),];
    // Above what GetConfigurationMaxKeys announces longer requests are answered too (CORE-GC-04), but not without end.
    GET_CONFIGURATION_REQ "GetConfiguration.req" [opt("key", Kind::List { item: &text(50), min: 0, max: 1000 }),];
    GET_CONFIGURATION_CONF "GetConfiguration.conf" [
        opt("configurationKey", list(&Kind::Object(&KEY_VALUE), 0)), opt("unknownKey", list(&text(50), 0)),
    ];
    HEARTBEAT_CONF "Heartbeat.conf" [req("currentTime", Kind::LooseTimestamp),];
    METER_VALUES_REQ "MeterValues.req" [
        req("connectorId", CONNECTOR), opt("transactionId", TRANSACTION),
        req("meterValue", list(&Kind::Object(&METER_VALUE), 1)),
    ];
    REMOTE_START_TRANSACTION_REQ "RemoteStartTransaction.req" [
        opt("connectorId", CONNECTOR_ABOVE_0), req("idTag", ID_TOKEN),
        opt("chargingProfile", Kind::Object(&CHARGING_PROFILE)),
    ];
    REMOTE_START_TRANSACTION_CONF "RemoteStartTransaction.conf" [req("status", choice(&REMOTE_START_STOP_STATUS)),];
    REMOTE_STOP_TRANSACTION_REQ "RemoteStopTransaction.req" [req("transactionId", TRANSACTION),];
    REMOTE_STOP_TRANSACTION_CONF "RemoteStopTransaction.conf" [req("status", choice(&REMOTE_START_STOP_STATUS)),];
    RESET_REQ "Reset.req" [req("type", choice(&RESET_TYPE)),];
    RESET_CONF "Reset.conf" [req("status", choice(&RESET_STATUS)),];
    START_TRANSACTION_REQ "StartTransaction.req" [
        req("connectorId", CONNECTOR_ABOVE_0), req("idTag", ID_TOKEN), req("meterStart", ANY), opt("reservationId", ANY),
        req("timestamp", Kind::Timestamp),
    ];
    START_TRANSACTION_CONF "StartTransaction.conf" [
        req("idTagInfo", Kind::Object(&ID_TAG_INFO)),
        req("transactionId", Kind::Integer { min: i64::MIN, max: i64::MAX, strict: (I32_MIN, I32_MAX), text: true }),
    ];
    STATUS_NOTIFICATION_REQ "StatusNotification.req" [
        req("connectorId", CONNECTOR), req("errorCode", choice(&CHARGE_POINT_ERROR_CODE)), opt("info", text(50)),
        req("status", choice(&CHARGE_POINT_STATUS)), opt("timestamp", Kind::Timestamp), opt("vendorId", text(255)),
        opt("vendorErrorCode", text(50)),
    ];
    STOP_TRANSACTION_REQ "StopTransaction.req" [
        opt("idTag", ID_TOKEN), req("meterStop", ANY), req("timestamp", Kind::Timestamp),
        req("transactionId", TRANSACTION), opt("reason", choice(&REASON)),
        opt("transactionData", list(&Kind::Object(&METER_VALUE), 0)),
    ];
    STOP_TRANSACTION_CONF "StopTransaction.conf" [opt("idTagInfo", Kind::Object(&ID_TAG_INFO)),];
    UNLOCK_CONNECTOR_REQ "UnlockConnector.req" [req("connectorId", CONNECTOR_ABOVE_0),];
    UNLOCK_CONNECTOR_CONF "UnlockConnector.conf" [req("status", choice(&UNLOCK_STATUS)),];
    // FirmwareManagement
    GET_DIAGNOSTICS_REQ "GetDiagnostics.req" [
        req("location", Kind::Uri), opt("retries", COUNT), opt("retryInterval", COUNT), opt("startTime", Kind::Timestamp),
        opt("stopTime", Kind::Timestamp),
    ];
    GET_DIAGNOSTICS_CONF "GetDiagnostics.conf" [opt("fileName", text(255)),];
    DIAGNOSTICS_STATUS_NOTIFICATION_REQ "DiagnosticsStatusNotification.req" [req("status", choice(&DIAGNOSTICS_STATUS)),];
    UPDATE_FIRMWARE_REQ "UpdateFirmware.req" [
        req("location", Kind::Uri), opt("retries", COUNT), req("retrieveDate", Kind::Timestamp),
        opt("retryInterval", COUNT),
    ];
    FIRMWARE_STATUS_NOTIFICATION_REQ "FirmwareStatusNotification.req" [req("status", choice(&FIRMWARE_STATUS)),];
    // LocalAuthListManagement
    GET_LOCAL_LIST_VERSION_CONF "GetLocalListVersion.conf" [req("listVersion", ANY),];
    SEND_LOCAL_LIST_REQ "SendLocalList.req" [
        req("listVersion", ANY), opt("localAuthorizationList", list(&Kind::Object(&AUTHORIZATION_DATA), 0)),
        req("updateType", choice(&UPDATE_TYPE)),
    ];
    SEND_LOCAL_LIST_CONF "SendLocalList.conf" [req("status", choice(&UPDATE_STATUS)),];
    // Reservation
    RESERVE_NOW_REQ "ReserveNow.req" [
        req("connectorId", CONNECTOR), req("expiryDate", Kind::Timestamp), req("idTag", ID_TOKEN),
        opt("parentIdTag", ID_TOKEN), req("reservationId", ANY),
    ];
    RESERVE_NOW_CONF "ReserveNow.conf" [req("status", choice(&RESERVATION_STATUS)),];
    CANCEL_RESERVATION_REQ "CancelReservation.req" [req("reservationId", ANY),];
    CANCEL_RESERVATION_CONF "CancelReservation.conf" [req("status", choice(&CANCEL_RESERVATION_STATUS)),];
    // SmartCharging
    SET_CHARGING_PROFILE_REQ "SetChargingProfile.req" [
        req("connectorId", CONNECTOR), req("csChargingProfiles", Kind::Object(&CHARGING_PROFILE)),
    ];
    SET_CHARGING_PROFILE_CONF "SetChargingProfile.conf" [req("status", choice(&CHARGING_PROFILE_STATUS)),];
    CLEAR_CHARGING_PROFILE_REQ "ClearChargingProfile.req" [
        opt("id", ANY), opt("connectorId", CONNECTOR),
        opt("chargingProfilePurpose", choice(&CHARGING_PROFILE_PURPOSE_TYPE)), opt("stackLevel", COUNT),
    ];
    CLEAR_CHARGING_PROFILE_CONF "ClearChargingProfile.conf" [req("status", choice(&CLEAR_CHARGING_PROFILE_STATUS)),];
    // Negative ones are answered by a status (CORE-SC-40, SCA-35).
    GET_COMPOSITE_SCHEDULE_REQ "GetCompositeSchedule.req" [
        req("connectorId", ANY), req("duration", ANY), opt("chargingRateUnit", choice(&CHARGING_RATE_UNIT_TYPE)),
    ];
    GET_COMPOSITE_SCHEDULE_CONF "GetCompositeSchedule.conf" [
        req("status", choice(&GET_COMPOSITE_SCHEDULE_STATUS)), opt("connectorId", CONNECTOR),
        opt("scheduleStart", Kind::Timestamp), opt("chargingSchedule", Kind::Object(&CHARGING_SCHEDULE)),
    ];
    // RemoteTrigger
    TRIGGER_MESSAGE_REQ "TriggerMessage.req" [
        req("requestedMessage", Kind::OpenChoice(&MESSAGE_TRIGGER)), opt("connectorId", CONNECTOR),
    ];
    TRIGGER_MESSAGE_CONF "TriggerMessage.conf" [req("status", choice(&TRIGGER_MESSAGE_STATUS)),];
    // Security
    CERTIFICATE_SIGNED_REQ "CertificateSigned.req" [req("certificateChain", text(10000)),];
    CERTIFICATE_SIGNED_CONF "CertificateSigned.conf" [req("status", choice(&CERTIFICATE_SIGNED_STATUS)),];
    DELETE_CERTIFICATE_REQ "DeleteCertificate.req" [req("certificateHashData", Kind::Object(&CERTIFICATE_HASH_DATA)),];
    DELETE_CERTIFICATE_CONF "DeleteCertificate.conf" [req("status", choice(&DELETE_CERTIFICATE_STATUS)),];
    EXTENDED_TRIGGER_MESSAGE_REQ "ExtendedTriggerMessage.req" [
        req("requestedMessage", Kind::OpenChoice(&EXTENDED_MESSAGE_TRIGGER)), opt("connectorId", CONNECTOR),
    ];
    EXTENDED_TRIGGER_MESSAGE_CONF "ExtendedTriggerMessage.conf" [req("status", choice(&EXTENDED_TRIGGER_MESSAGE_STATUS)),];
    GET_INSTALLED_CERTIFICATE_IDS_REQ "GetInstalledCertificateIds.req" [req("certificateType", choice(&CERTIFICATE_USE)),];
    GET_INSTALLED_CERTIFICATE_IDS_CONF "GetInstalledCertificateIds.conf" [
        req("status", choice(&GET_INSTALLED_CERTIFICATE_STATUS)),
        opt("certificateHashData", list(&Kind::Object(&CERTIFICATE_HASH_DATA), 1)),
    ];
    GET_LOG_REQ "GetLog.req" [
        req("logType", choice(&LOG_TYPE)), req("requestId", ANY), opt("retries", COUNT), opt("retryInterval", COUNT),
        req("log", Kind::Object(&LOG_PARAMETERS)),
    ];
    GET_LOG_CONF "GetLog.conf" [req("status", choice(&LOG_STATUS)), opt("filename", text(255)),];
    INSTALL_CERTIFICATE_REQ "InstallCertificate.req" [
        req("certificateType", choice(&CERTIFICATE_USE)), req("certificate", text(5500)),
    ];
    INSTALL_CERTIFICATE_CONF "InstallCertificate.conf" [req("status", choice(&CERTIFICATE_STATUS)),];
    LOG_STATUS_NOTIFICATION_REQ "LogStatusNotification.req" [
        req("status", choice(&UPLOAD_LOG_STATUS)), opt("requestId", ANY),
    ];
    SECURITY_EVENT_NOTIFICATION_REQ "SecurityEventNotification.req" [
        req("type", text(50)), req("timestamp", Kind::Timestamp), opt("techInfo", text(255)),
    ];
    SIGN_CERTIFICATE_REQ "SignCertificate.req" [req("csr", text(5500)),];
    SIGN_CERTIFICATE_CONF "SignCertificate.conf" [req("status", choice(&GENERIC_STATUS)),];
    SIGNED_FIRMWARE_STATUS_NOTIFICATION_REQ "SignedFirmwareStatusNotification.req" [
        req("status", choice(&SIGNED_FIRMWARE_STATUS)), opt("requestId", ANY),
    ];
    SIGNED_UPDATE_FIRMWARE_REQ "SignedUpdateFirmware.req" [
        opt("retries", COUNT), opt("retryInterval", COUNT), req("requestId", ANY), req("firmware", Kind::Object(&FIRMWARE)),
    ];
    SIGNED_UPDATE_FIRMWARE_CONF "SignedUpdateFirmware.conf" [req("status", choice(&UPDATE_FIRMWARE_STATUS)),];
}

macro_rules! actions {
    ($($name:ident $profile:ident $sender:ident $request:ident $confirmation:ident;)*) => {
        enum ActionPlace { $($name,)* }
        /// The names of [`ACTIONS`], for the compiler.
        const ACTION_NAMES: &[&str] = &[$(stringify!($name),)*];
        /// Every action.
        #[allow(clippy::as_conversions)] // evaluated by the compiler
        pub static ACTIONS: &[Action] = &[$(Action {
            id: ActionPlace::$name as usize,
            name: stringify!($name),
            profile: stringify!($profile),
            sender: Sender::$sender,
            request: &$request,
            confirmation: &$confirmation,
        },)*];
    };
}

actions! {
    Authorize Core ChargePoint AUTHORIZE_REQ AUTHORIZE_CONF;
    BootNotification Core ChargePoint BOOT_NOTIFICATION_REQ BOOT_NOTIFICATION_CONF;
    ChangeAvailability Core Csms CHANGE_AVAILABILITY_REQ CHANGE_AVAILABILITY_CONF;
    ChangeConfiguration Core Csms CHANGE_CONFIGURATION_REQ CHANGE_CONFIGURATION_CONF;
    ClearCache Core Csms NOTHING CLEAR_CACHE_CONF;
    DataTransfer Core Both DATA_TRANSFER_REQ DATA_TRANSFER_CONF;
    GetConfiguration Core Csms GET_CONFIGURATION_REQ GET_CONFIGURATION_CONF;
    Heartbeat Core ChargePoint NOTHING HEARTBEAT_CONF;
    MeterValues Core ChargePoint METER_VALUES_REQ NOTHING;
    RemoteStartTransaction Core Csms REMOTE_START_TRANSACTION_REQ REMOTE_START_TRANSACTION_CONF;
    RemoteStopTransaction Core Csms REMOTE_STOP_TRANSACTION_REQ REMOTE_STOP_TRANSACTION_CONF;
    Reset Core Csms RESET_REQ RESET_CONF;
    StartTransaction Core ChargePoint START_TRANSACTION_REQ START_TRANSACTION_CONF;
    StatusNotification Core ChargePoint STATUS_NOTIFICATION_REQ NOTHING;
    StopTransaction Core ChargePoint STOP_TRANSACTION_REQ STOP_TRANSACTION_CONF;
    UnlockConnector Core Csms UNLOCK_CONNECTOR_REQ UNLOCK_CONNECTOR_CONF;
    GetDiagnostics FirmwareManagement Csms GET_DIAGNOSTICS_REQ GET_DIAGNOSTICS_CONF;
    DiagnosticsStatusNotification FirmwareManagement ChargePoint DIAGNOSTICS_STATUS_NOTIFICATION_REQ NOTHING;
    UpdateFirmware FirmwareManagement Csms UPDATE_FIRMWARE_REQ NOTHING;
    FirmwareStatusNotification FirmwareManagement ChargePoint FIRMWARE_STATUS_NOTIFICATION_REQ NOTHING;
    GetLocalListVersion LocalAuthListManagement Csms NOTHING GET_LOCAL_LIST_VERSION_CONF;
    SendLocalList LocalAuthListManagement Csms SEND_LOCAL_LIST_REQ SEND_LOCAL_LIST_CONF;
    ReserveNow Reservation Csms RESERVE_NOW_REQ RESERVE_NOW_CONF;
    CancelReservation Reservation Csms CANCEL_RESERVATION_REQ CANCEL_RESERVATION_CONF;
    SetChargingProfile SmartCharging Csms SET_CHARGING_PROFILE_REQ SET_CHARGING_PROFILE_CONF;
    ClearChargingProfile SmartCharging Csms CLEAR_CHARGING_PROFILE_REQ CLEAR_CHARGING_PROFILE_CONF;
    GetCompositeSchedule SmartCharging Csms GET_COMPOSITE_SCHEDULE_REQ GET_COMPOSITE_SCHEDULE_CONF;
    TriggerMessage RemoteTrigger Csms TRIGGER_MESSAGE_REQ TRIGGER_MESSAGE_CONF;
    CertificateSigned Security Csms CERTIFICATE_SIGNED_REQ CERTIFICATE_SIGNED_CONF;
    DeleteCertificate Security Csms DELETE_CERTIFICATE_REQ DELETE_CERTIFICATE_CONF;
    ExtendedTriggerMessage Security Csms EXTENDED_TRIGGER_MESSAGE_REQ EXTENDED_TRIGGER_MESSAGE_CONF;
    GetInstalledCertificateIds Security Csms GET_INSTALLED_CERTIFICATE_IDS_REQ GET_INSTALLED_CERTIFICATE_IDS_CONF;
    GetLog Security Csms GET_LOG_REQ GET_LOG_CONF;
    InstallCertificate Security Csms INSTALL_CERTIFICATE_REQ INSTALL_CERTIFICATE_CONF;
    LogStatusNotification Security ChargePoint LOG_STATUS_NOTIFICATION_REQ NOTHING;
    SecurityEventNotification Security ChargePoint SECURITY_EVENT_NOTIFICATION_REQ NOTHING;
    SignCertificate Security ChargePoint SIGN_CERTIFICATE_REQ SIGN_CERTIFICATE_CONF;
    SignedFirmwareStatusNotification Security ChargePoint SIGNED_FIRMWARE_STATUS_NOTIFICATION_REQ NOTHING;
    SignedUpdateFirmware Security Csms SIGNED_UPDATE_FIRMWARE_REQ SIGNED_UPDATE_FIRMWARE_CONF;
}

/// Where a key belongs among the [`SLOTS`].
#[inline(always)]
#[allow(clippy::as_conversions)] // eight bits
const fn slot(key: u64, multiplier: u64) -> usize {
    (key.wrapping_mul(multiplier) >> 56) as usize
}

/// An empty slot.
const NONE: u8 = u8::MAX;

/// The slots of all actions, or `None` when two of them meet.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)] // evaluated by the compiler
const fn slots(multiplier: u64) -> Option<[u8; 256]> {
    let mut slots = [NONE; 256];
    let mut index = 0;
    while index < ACTION_NAMES.len() {
        let place = slot(key(ACTION_NAMES[index].as_bytes()), multiplier);
        if slots[place] != NONE {
            return None;
        }
        slots[place] = index as u8;
        index += 1;
    }
    Some(slots)
}

/// The first multiplier, counted up in odd steps from the golden ratio, with which no two actions meet.
#[allow(clippy::arithmetic_side_effects)] // evaluated by the compiler
const MULTIPLIER: u64 = {
    let mut multiplier = 0x9e37_79b9_7f4a_7c15_u64;
    while slots(multiplier).is_none() {
        multiplier = multiplier.wrapping_add(0x2545_f491_4f6c_dd1e);
    }
    multiplier
};

/// Per slot the place of its action in [`ACTIONS`].
static SLOTS: [u8; 256] = match slots(MULTIPLIER) {
    Some(slots) => slots,
    None => [NONE; 256],
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn table_has_28_core_and_11_security_actions() {
        let security = ACTIONS.iter().filter(|action| action.profile == "Security").count();
        assert_eq!((ACTIONS.len() - security, security), (28, 11));
        for (index, action) in ACTIONS.iter().enumerate() {
            assert_eq!(action.id, index);
            assert!(std::ptr::eq(Action::named(action.name.as_bytes()).unwrap_or(&ACTIONS[0]), action));
        }
        for (index, enumeration) in ENUMERATIONS.iter().enumerate() {
            assert_eq!(enumeration.id, index);
        }
    }

    #[test]
    fn names_occur_once_and_are_all_used() {
        assert_eq!(NAMES.iter().collect::<HashSet<_>>().len(), NAMES.len());
        let mut used = HashSet::new();
        let mut waiting: Vec<&Shape> =
            ACTIONS.iter().flat_map(|action| [action.request, action.confirmation]).collect();
        while let Some(shape) = waiting.pop() {
            for field in shape.fields {
                assert_eq!(NAMES[field.name_id], field.name);
                used.insert(field.name_id);
                match field.kind {
                    Kind::Object(inner) => waiting.push(inner),
                    Kind::List { item: Kind::Object(inner), .. } => waiting.push(inner),
                    _ => {}
                }
            }
        }
        assert_eq!(used.len(), NAMES.len());
    }
}
