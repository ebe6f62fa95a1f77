"""Time per byte of the reader does not grow with the frame (J-279).

Owns ten shapes of frames at 16 KiB and 1 MiB, refused ones among them. CPU time, the least of several repetitions,
measured in turn; the only test that looks at a clock, because linearity is what it is about.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time

import pytest

from ocpphub import _native

pytestmark = pytest.mark.alone

SMALL, LARGE = 1 << 14, 1 << 20
HEAD = '[2,"l-1","Reset",{"type":"Soft",'
LIST = '[2,"l-1","SendLocalList",{"listVersion":9,"updateType":"Full","localAuthorizationList":['
DATA = '[2,"l-1","DataTransfer",{"vendorId":"x","data":'


def repeated(head: str, piece: str, tail: str) -> Callable[[int], bytes]:
    """A frame builder: as many pieces as fit the size."""
    unit, around = len(piece.encode()), len(head.encode()) + len(tail.encode())
    return lambda size: (head + piece * ((size - around) // unit) + tail).encode()


def numbered(head: str, piece: str, tail: str) -> Callable[[int], bytes]:
    """As :func:`repeated`, with a number in each piece."""
    width = len(piece.format(0).encode())
    return lambda size: (head + "".join(map(piece.format, range((size - 200) // width))) + tail).encode()


SHAPES = {
    "unclosed arrays": repeated("", "[", ""),
    "nested objects": repeated('[2,"l-1","Reset",', '{"a":', "1}]"),
    "long string": repeated(DATA + '"', "x", '"}]'),
    "escapes": repeated(DATA + '"', "\\u00e9\\n\\ud83d\\ude00", '"}]'),
    "many members": numbered(HEAD + '"x":{{', '"m{:07}":1,', '"z":1}}]'),
    "many digits": repeated('[2,"l-1","UnlockConnector",{"connectorId":', "9", "}]"),
    "duplicates": repeated(HEAD + '"x":1,', '"x":1,', '"y":1}]'),
    "unknown members": numbered(HEAD, '"m{:07}":[1,2],', '"z":1}]'),
    "arrays of arrays": repeated(HEAD + '"x":[', "[[[]],[[]]],", "[]]}]"),
    "whitespace": repeated('[2,"l-1","Reset",', " \r\n\t", '{"type":"Soft"}]'),
    "long key": repeated(HEAD + '"', "k", '":1}]'),
    "long action": repeated('[2,"l-1","', "A", '",{}]'),
    "entries": numbered(LIST, '{{"idTag":"A{:07}","idTagInfo":{{"status":"Accepted"}}}},', '{"idTag":"Z"}]}]'),
    "broken at the end": repeated(DATA + '"', "\u00e9", '"}'),
}


def seconds_per_byte(frame: bytes, calls: int) -> float:
    """CPU seconds per byte over some calls."""
    start = thread_time()
    for _ in range(calls):
        _native.decode(frame)
    return (thread_time() - start) / (calls * len(frame))


@pytest.mark.parametrize("shape", SHAPES)
def test_decode_frame_of_1_mib_costs_per_byte_at_most_twice_one_of_16_kib(shape: str) -> None:
    """J-279 D-03: linear in size whatever the frame is made of."""
    small, large = SHAPES[shape](SMALL), SHAPES[shape](LARGE)
    assert 0.9 * SMALL < len(small) <= SMALL
    assert 0.9 * LARGE < len(large) <= LARGE
    pairs = [(seconds_per_byte(small, 64), seconds_per_byte(large, 2)) for _ in range(9)]
    least_small, least_large = (min(column) for column in zip(*pairs, strict=True))
    assert least_large <= 2 * least_small


@pytest.mark.parametrize("shape", SHAPES)
def test_check_json_line_of_1_mib_costs_per_byte_at_most_twice_one_of_16_kib(shape: str) -> None:
    """J-279: the lines of the socket are read by the same scanner; duplicate members are found in linear time too."""
    small, large = SHAPES[shape](SMALL), SHAPES[shape](LARGE)

    def measure(line: bytes, calls: int) -> float:
        start = thread_time()
        for _ in range(calls):
            _native.check_json(line)
        return (thread_time() - start) / (calls * len(line))

    pairs = [(measure(small, 64), measure(large, 2)) for _ in range(7)]
    least_small, least_large = (min(column) for column in zip(*pairs, strict=True))
    assert least_large <= 2 * least_small
