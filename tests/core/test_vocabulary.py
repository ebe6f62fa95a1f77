"""The generated enumerations against their source and against the package ``ocpp``."""

from __future__ import annotations

import enum
import inspect

import ocpp.v16.enums
import pytest

from ocpphub import _native
from ocpphub.core import vocabulary
from tests.generate_vocabulary import TARGET, member_name
from tests.generate_vocabulary import vocabulary as generated

# The package shortens some names and joins the two trigger enumerations.
_NAMES = {
    "Log": "LogEnumType", "LogStatus": "LogStatusEnumType", "UploadLogStatus": "UploadLogStatusEnumType",
    "CertificateStatus": "CertificateStatusEnumType", "CertificateUse": "CertificateUseEnumType",
    "CertificateSignedStatus": "CertificateSignedStatusEnumType", "RecurrencyKind": "RecurrencyKindType",
    "DeleteCertificateStatus": "DeleteCertificateStatusEnumType", "GenericStatus": "GenericStatusEnumType",
    "GetInstalledCertificateStatus": "GetInstalledCertificateStatusEnumType",
    "HashAlgorithm": "HashAlgorithmEnumType", "UpdateFirmwareStatus": "UpdateFirmwareStatusEnumType",
    "FirmwareStatus": "FirmwareStatusEnumType",
}  # fmt: skip
_NOT_ENUMERATIONS_OF_THE_STANDARD = {"Action", "CiStringType", "ConfigurationKey", "MessageTrigger"}


def test_vocabulary_is_what_the_generator_writes() -> None:
    """CORE-GEN-02: run tests/generate_vocabulary.py after the action table changed."""
    assert TARGET.read_text(encoding="utf-8") == generated(_native.enums())


def test_vocabulary_holds_every_value_of_the_action_table() -> None:
    """CORE-GEN-02."""
    assert {name: [str(m) for m in getattr(vocabulary, name)] for name in _native.enums()} == _native.enums()


@pytest.mark.parametrize(
    "name",
    sorted(
        name
        for name, kind in inspect.getmembers(ocpp.v16.enums, inspect.isclass)
        if issubclass(kind, enum.Enum) and kind.__module__ == "ocpp.v16.enums"
        and name not in _NOT_ENUMERATIONS_OF_THE_STANDARD
    ),
)  # fmt: skip
def test_vocabulary_agrees_with_the_package_ocpp(name: str) -> None:
    """CORE-GEN-02, D-02: two independent readings of the standard."""
    theirs = {str(member.value) for member in getattr(ocpp.v16.enums, name)}
    assert {str(member) for member in getattr(vocabulary, _NAMES.get(name, name))} == theirs


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("SuspendedEVSE", "SUSPENDED_EVSE"),
        ("EVCommunicationError", "EV_COMMUNICATION_ERROR"),
        ("L1-N", "L1_N"),
        ("Energy.Active.Import.Register", "ENERGY_ACTIVE_IMPORT_REGISTER"),
        ("SHA256", "SHA256"),
    ],
)
def test_vocabulary_names_members_readably(value: str, name: str) -> None:
    """CORE-GEN-02."""
    assert member_name(value) == name
