"""DATA: the shapes that results of the socket refer to, as the components of ``rpc.discover``.

Owns what a client may rely on in a result. Must never check one: ``tests/rpc/test_discover.py`` holds every result
against its schema.

Implements: design rpc.md, the results of its tables.
"""

from __future__ import annotations

from typing import Any, Final

from ocpphub.rpc.allocation_methods import ALLOCATION_SCHEMAS
from ocpphub.rpc.controller_methods import CONTROLLER_SCHEMAS
from ocpphub.rpc.record_methods import RECORD_SCHEMAS

_BOOLEAN: Final = {"type": "boolean"}
_SOURCE: Final = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["profile", "hardware", "station", "default", "external", "connectors"]},
        "charging_profile_id": {"type": "integer"},
        "purpose": {"type": "string"},
        "stack_level": {"type": "integer"},
        "connector_id": {"type": "integer"},
    },
    "required": ["kind"],
}
_COUNT: Final = {"type": "integer", "minimum": 0}
SCHEMAS: Final[dict[str, Any]] = {
    "ChargePointState": {
        "type": "object",
        "properties": {
            "identity": {"type": "string"},
            "registration": {"enum": ["Accepted", "Pending", "Rejected", "none"]},
            "is_connected": _BOOLEAN,
            "stopped": _BOOLEAN,
            "connectors": _COUNT,
            "url": {"type": "string", "description": "of the CSMS, without user and password"},
            "queue": {
                "type": "object",
                "properties": {
                    "messages": _COUNT,
                    "bytes": _COUNT,
                    "oldest": {"type": ["string", "null"], "format": "date-time"},
                    "aside": _COUNT,
                },
                "required": ["messages", "bytes", "oldest", "aside"],
            },
            "clock_offset_s": {"type": "number"},
            "security_profile": {"enum": [0, 1, 2, 3]},
            "certificates": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "type": {
                            "enum": [
                                "CentralSystemRootCertificate",
                                "ManufacturerRootCertificate",
                                "ChargePointCertificate",
                            ]
                        },
                        "subject": {"type": "string", "description": "as in RFC 4514"},
                        "issuer": {"type": "string"},
                        "serial": {"type": "string", "description": "hex"},
                        "fingerprint": {"type": "string", "description": "SHA-256 in hex"},
                        "not_before": {"type": "string", "format": "date-time"},
                        "not_after": {"type": "string", "format": "date-time"},
                        "in_use": {"type": "boolean", "description": "whether the present link rests on it"},
                    },
                    "required": [
                        *("type", "subject", "issuer", "serial", "fingerprint", "not_before", "not_after", "in_use"),
                    ],
                },
            },
            "monitored_keys": {"type": "array", "items": {"type": "string"}},
            "store_condition": {"type": "string", "description": "what is wrong with the database; absent = nothing"},
        },
        "required": [
            *("identity", "registration", "is_connected", "stopped", "connectors", "url", "queue", "clock_offset_s"),
            *("security_profile", "certificates", "monitored_keys"),
        ],
    },
    "ServerInfo": {
        "type": "object",
        "properties": {
            "name": {"const": "ocpphub"},
            "version": {"type": "string"},
            "api": {"const": 1, "description": "version of the contract"},
            "ready": _BOOLEAN,
            "charge_points": {"type": "array", "items": {"type": "string"}},
            "limits": {"type": "object", "additionalProperties": _COUNT},
            "counters": {"type": "object", "additionalProperties": _COUNT},
            "clients": _COUNT,
            "uptime_s": {"type": "number", "minimum": 0},
        },
        "required": [
            *("name", "version", "api", "ready", "charge_points", "limits", "counters", "clients", "uptime_s"),
        ],
    },
    "ChargingSchedule": {
        "type": "object",
        "properties": {
            "chargingRateUnit": {"enum": ["A", "W"]},
            "duration": {"type": "integer"},
            "chargingSchedulePeriod": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "startPeriod": {"type": "integer"},
                        "limit": {"type": "number"},
                        "numberPhases": {"type": "integer"},
                    },
                    "required": ["startPeriod", "limit", "numberPhases"],
                },
            },
        },
        "required": ["chargingRateUnit", "duration", "chargingSchedulePeriod"],
    },
    "Explanation": {
        "type": "object",
        "properties": {
            "start": {"type": "string", "format": "date-time"},
            "end": {"type": "string", "format": "date-time"},
            "limit": {"type": "number"},
            "unit": {"enum": ["A", "W"]},
            "phases": {"type": "integer"},
            "winner": _SOURCE,
            "losers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "source": _SOURCE,
                        "why": {
                            "enum": [
                                *("lower_stack_level", "gap", "not_valid_yet", "expired"),
                                *("hidden_by_own_default", "overruled_by_tx_profile", "not_the_minimum"),
                            ]
                        },
                    },
                    "required": ["source", "why"],
                },
            },
        },
        "required": ["start", "end", "limit", "unit", "phases", "winner", "losers"],
    },
    "InstalledProfile": {
        "type": "object",
        "properties": {
            "connector_id": {"type": "integer"},
            "accepted_at": {"type": "string", "format": "date-time"},
            "charging_profile_id": {"type": "integer"},
            "transaction_id": {"type": "integer"},
            "stack_level": _COUNT,
            "purpose": {"enum": ["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"]},
            "kind": {"enum": ["Absolute", "Recurring", "Relative"]},
            "recurrency_kind": {"enum": ["Daily", "Weekly"]},
            "valid_from": {"type": "string", "format": "date-time"},
            "valid_to": {"type": "string", "format": "date-time"},
            "charging_schedule": {
                "type": "object",
                "properties": {
                    "duration": _COUNT,
                    "start_schedule": {"type": "string", "format": "date-time"},
                    "charging_rate_unit": {"enum": ["A", "W"]},
                    "min_charging_rate": {"type": "number"},
                    "charging_schedule_period": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "properties": {
                                "start_period": _COUNT,
                                "limit": {"type": "number"},
                                "number_phases": {"type": "integer"},
                            },
                            "required": ["start_period", "limit"],
                        },
                    },
                },
                "required": ["charging_rate_unit", "charging_schedule_period"],
            },
        },
        "required": [
            *("connector_id", "accepted_at", "charging_profile_id", "stack_level", "purpose", "kind"),
            "charging_schedule",
        ],
    },
    "KeyValue": {
        "type": "object",
        "properties": {"key": {"type": "string"}, "read_only": {"type": "boolean"}, "value": {"type": "string"}},
        "required": ["key", "read_only"],
    },
    **CONTROLLER_SCHEMAS,
    **ALLOCATION_SCHEMAS,
    **RECORD_SCHEMAS,
}
