"""The exceptions of ocpphub and the one table from their codes to JSON-RPC error numbers.

The first question of an error is whose fault it is:

    OcpphubError
      LocalError         our caller broke a rule: a bad argument, a forbidden or impossible request
      PeerError          the other side (CSMS or controller) broke the standard or answered with an error
      UnavailableError   nobody's rule was broken: not connected, timed out, overloaded, the store failed

Anything else that is raised is a bug and is meant to be loud. The file must never import another module of ocpphub:
core, shell and clients all stand on it.

Source: design rpc.md "Rules"; style.md "Errors".
"""

from __future__ import annotations

from typing import Any, Final

JSON_RPC_NUMBERS: Final[dict[str, int]] = {
    "parse_error": -32700,
    "invalid_request": -32600,
    "method_not_found": -32601,
    "invalid_params": -32602,
    "internal": -32000,
    "not_connected": -32001,
    "unknown_connector": -32002,
    "unknown_charge_point": -32003,
    "forbidden": -32004,
    "busy": -32005,
    "timeout": -32006,
    "invalid_state": -32007,
    "ocpp_call_error": -32008,
    "too_large": -32010,
    "not_attached": -32011,
}
"""Error code -> JSON-RPC 2.0 error number; the only such table (rpc.md)."""


class OcpphubError(Exception):
    """An error with its data; the text is composed once, here.

    ``code`` is a key of :data:`JSON_RPC_NUMBERS`; ``message`` one sentence for people (the code when left out);
    ``path`` a JSON pointer to the offending value; ``hint`` what would have been right; ``data`` further members of
    the JSON-RPC ``error.data`` (``retry_after_ms``, ``ocpp_code`` ...).
    """

    def __init__(self, code: str, message: str = "", *, path: str = "", hint: str = "", **data: Any) -> None:
        self.code = code
        self.message = message or code.replace("_", " ")
        self.path = path
        self.hint = hint
        self.data: dict[str, Any] = data
        super().__init__(self._text())

    def _text(self) -> str:
        where = f" at {self.path}" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.message}{where}{hint}"


class LocalError(OcpphubError):
    """Our caller broke a rule; nothing was changed."""


class PeerError(OcpphubError):
    """The CSMS or a controller broke the standard, or the CSMS answered with a CALLERROR."""


class UnavailableError(OcpphubError):
    """What is needed is not there now: no connection, no answer in time, too much under way, no store."""


def json_rpc_number(code: str) -> int:
    """The JSON-RPC error number of an error code; an unknown code is an internal error (-32000)."""
    return JSON_RPC_NUMBERS.get(code, JSON_RPC_NUMBERS["internal"])


def json_rpc_error(error: BaseException) -> dict[str, Any]:
    """The JSON-RPC ``error`` object: ``{"code": number, "message", "data": {"code", "path", "hint", ...}}``.

    An exception that is no :class:`OcpphubError` is a bug: it becomes -32000 without its text, which may hold secrets.
    """
    if not isinstance(error, OcpphubError):
        return {
            "code": JSON_RPC_NUMBERS["internal"],
            "message": "internal error",
            "data": {"code": "internal", "path": "", "hint": "the log of ocpphub has the details"},
        }
    data = {"code": error.code, "path": error.path, "hint": error.hint, **error.data}
    return {"code": json_rpc_number(error.code), "message": error.message, "data": data}


def from_json_rpc(error: dict[str, Any]) -> OcpphubError:
    """The exception that a JSON-RPC ``error`` object stands for; the counterpart of :func:`json_rpc_error`."""
    data = error.get("data")
    extra: dict[str, Any] = dict(data) if isinstance(data, dict) else {}
    number = error.get("code")
    by_number = {value: key for key, value in JSON_RPC_NUMBERS.items()}
    code = str(extra.pop("code", "") or by_number.get(number if isinstance(number, int) else 0, "internal"))
    path, hint = str(extra.pop("path", "")), str(extra.pop("hint", ""))
    extra = {key: value for key, value in extra.items() if key not in ("self", "message")}
    kind = _KINDS.get(code, LocalError)
    return kind(code, str(error.get("message", "")), path=path, hint=hint, **extra)


_KINDS: Final[dict[str, type[OcpphubError]]] = {
    "internal": UnavailableError,
    "not_connected": UnavailableError,
    "busy": UnavailableError,
    "timeout": UnavailableError,
    "ocpp_call_error": PeerError,
}
