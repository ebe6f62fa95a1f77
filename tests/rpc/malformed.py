"""Lines that are no good requests, and the error number that answers each (T07)."""

from __future__ import annotations

PARSE, INVALID, PARAMS, METHOD, LARGE = -32700, -32600, -32602, -32601, -32010
_OK = b'{"jsonrpc":"2.0","id":1,"method":"rpc.ping"'


def _params(text: bytes) -> bytes:
    return b'{"jsonrpc":"2.0","id":1,"method":"get_configuration_key","params":' + text + b"}"


MALFORMED: dict[str, tuple[bytes, int]] = {
    # no JSON text
    "garbage": (b"hello", PARSE),
    "open object": (b'{"jsonrpc":"2.0"', PARSE),
    "open array": (b"[1,2", PARSE),
    "open string": (b'"abc', PARSE),
    "two texts": (b"{} {}", PARSE),
    "text and garbage": (_OK + b"} x", PARSE),
    "trailing comma in object": (b'{"a":1,}', PARSE),
    "trailing comma in array": (b"[1,]", PARSE),
    "single quotes": (b"{'a':1}", PARSE),
    "bare word": (b'{"a":yes}', PARSE),
    "member without quotes": (b"{a:1}", PARSE),
    "comment": (b'{"a":1} // x', PARSE),
    "NaN": (_params(b'{"keys":[NaN]}'), PARSE),
    "Infinity": (_params(b'{"keys":[Infinity]}'), PARSE),
    "negative infinity": (_params(b'{"keys":[-Infinity]}'), PARSE),
    "hexadecimal": (b'{"id":0x1}', PARSE),
    "leading zero": (b'{"id":01}', PARSE),
    "plus sign": (b'{"id":+1}', PARSE),
    "point without digits": (b'{"id":1.}', PARSE),
    "exponent without digits": (b'{"id":1e}', PARSE),
    "integer beyond 64 bits": (b'{"jsonrpc":"2.0","id":99999999999999999999,"method":"rpc.ping"}', PARSE),
    "number bomb": (b'{"id":' + b"9" * 5000 + b"}", PARSE),
    "float beyond double": (_params(b'{"keys":[1e999]}'), PARSE),
    "control character": (b'{"a":"\x01"}', PARSE),
    "raw tab in text": (b'{"a":"\t"}', PARSE),
    "bad escape": (rb'{"a":"\x"}', PARSE),
    "short unicode escape": (rb'{"a":"\u12"}', PARSE),
    "lone high surrogate": (rb'{"a":"\ud800"}', PARSE),
    "lone low surrogate": (rb'{"a":"\udc00"}', PARSE),
    "bad UTF-8": (b'{"a":"\xff"}', PARSE),
    "overlong UTF-8": (b'{"a":"\xc0\xaf"}', PARSE),
    "surrogate in UTF-8": (b'{"a":"\xed\xa0\x80"}', PARSE),
    "truncated UTF-8": (b'{"a":"\xe2\x82"}', PARSE),
    "byte order mark": (b"\xef\xbb\xbf{}", PARSE),
    "UTF-16": ("{}".encode("utf-16"), PARSE),
    "zero byte": (b"\x00", PARSE),
    "33 arrays deep": (b"[" * 33 + b"]" * 33, PARSE),
    "1000 arrays deep": (b"[" * 1000 + b"]" * 1000, PARSE),
    "100000 open arrays": (b"[" * 100_000, PARSE),
    "33 objects deep": (b'{"a":' * 33 + b"1" + b"}" * 33, PARSE),
    "duplicate member": (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"rpc.ping"}', PARSE),
    "duplicate member by escape": (rb'{"id":1,"\u0069d":2}', PARSE),
    "duplicate member in params": (_params(b'{"keys":[],"keys":[]}'), PARSE),
    # JSON, but no request
    "null": (b"null", INVALID),
    "number": (b"17", INVALID),
    "text": (b'"rpc.ping"', INVALID),
    "empty object": (b"{}", INVALID),
    "empty batch": (b"[]", INVALID),
    "batch of 1001": (b"[" + b",".join([b"1"] * 1001) + b"]", LARGE),
    "no version": (b'{"id":1,"method":"rpc.ping"}', INVALID),
    "version 1.0": (b'{"jsonrpc":"1.0","id":1,"method":"rpc.ping"}', INVALID),
    "version as number": (b'{"jsonrpc":2.0,"id":1,"method":"rpc.ping"}', INVALID),
    "no method": (b'{"jsonrpc":"2.0","id":1}', INVALID),
    "method is a number": (b'{"jsonrpc":"2.0","id":1,"method":5}', INVALID),
    "method is null": (b'{"jsonrpc":"2.0","id":1,"method":null}', INVALID),
    "id is null": (b'{"jsonrpc":"2.0","id":null,"method":"rpc.ping"}', INVALID),
    "id is a fraction": (b'{"jsonrpc":"2.0","id":1.5,"method":"rpc.ping"}', INVALID),
    "id is a boolean": (b'{"jsonrpc":"2.0","id":true,"method":"rpc.ping"}', INVALID),
    "id is an object": (b'{"jsonrpc":"2.0","id":{},"method":"rpc.ping"}', INVALID),
    "id is an array": (b'{"jsonrpc":"2.0","id":[1],"method":"rpc.ping"}', INVALID),
    "params is null": (_OK + b',"params":null}', INVALID),
    "params is a text": (_OK + b',"params":"x"}', INVALID),
    # a request whose content is wrong
    "positional parameters": (_OK + b',"params":[1]}', PARAMS),
    "unknown method": (b'{"jsonrpc":"2.0","id":1,"method":"rpc.pong"}', METHOD),
    "unknown parameter": (_OK + b',"params":{"x":1}}', PARAMS),
    "wrong type": (_params(b'{"keys":"HeartbeatInterval"}'), PARAMS),
    "wrong type in a list": (_params(b'{"keys":["a",1]}'), PARAMS),
}
