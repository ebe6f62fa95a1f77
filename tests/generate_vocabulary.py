"""Write ``core/vocabulary.py`` from the enumerations of the action table: ``python tests/generate_vocabulary.py``.

The table in Rust is the one place where the values are written by hand; ``tests/core/test_vocabulary.py`` holds the
committed output against it. With ``--check`` nothing is written and a difference is exit code 1.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TARGET = Path(__file__).parent.parent / "python" / "ocpphub" / "core" / "vocabulary.py"
HEADER = '''"""Every OCPP 1.6 enumeration, generated from the action table by ``tests/generate_vocabulary.py``.

Owns the words of the standard (OCPP 1.6 chapter 7, security white paper chapter 6); never edit it by hand.
"""

from __future__ import annotations

from enum import StrEnum
'''
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")


def member_name(value: str) -> str:
    """``SuspendedEVSE`` -> ``SUSPENDED_EVSE``, ``L1-N`` -> ``L1_N``, ``Sample.Clock`` -> ``SAMPLE_CLOCK``."""
    return _WORD_BOUNDARY.sub("_", value).upper()


def vocabulary(enums: Mapping[str, Sequence[str]]) -> str:
    """The text of the module for ``enums``: name in the standard -> values."""
    parts = [HEADER]
    for name in sorted(enums):
        members = "\n".join(f'    {member_name(value)} = "{value}"' for value in enums[name])
        parts.append(f"\n\nclass {name}(StrEnum):\n{members}\n")
    return "".join(parts)


def main(arguments: Sequence[str]) -> int:
    """Write the module, or compare it with ``--check``."""
    from ocpphub import _native

    text = vocabulary(_native.enums())
    if "--check" in arguments:
        return 0 if TARGET.read_text(encoding="utf-8") == text else 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
