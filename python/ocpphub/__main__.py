"""``python -m ocpphub`` is the command ``ocpphub``."""

from __future__ import annotations

from ocpphub.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
