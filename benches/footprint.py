"""P2: memory of installed profiles and the load of a full store, each in a process of its own.

Owns the processes whose resident memory is looked at. Must never hold the workload as Python objects while it looks.
``python -m benches.footprint memory|load PATH`` prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from time import process_time

import orjson

from benches import stations
from ocpphub.core.rows import Rows
from ocpphub.store import Write
from ocpphub.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[1]
CHARGE_POINT = "bench"
TABLE = "charging_profile"
BATCH = 10_000


def memory(workload: Path) -> dict[str, float]:
    """Resident bytes per connector of a workload's profiles, without a window and with one kept."""
    return _asked("memory", workload)


def load(rows: Sequence[tuple[int, bytes]], directory: Path) -> dict[str, float]:
    """CPU seconds and bytes of taking up these profiles from the store, in a new process."""
    state = directory / "state"
    asyncio.run(fill(state, rows))
    figures = _asked("load", state)
    assert figures["load_profiles"] == len(rows)
    return figures | {"row_bytes": sum(len(row) for _, row in rows) / len(rows)}


def _asked(what: str, path: Path) -> dict[str, float]:
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'python'}"}
    command = [sys.executable, "-m", "benches.footprint", what, str(path)]
    printed = subprocess.run(command, check=True, capture_output=True, env=environment).stdout
    figures: dict[str, float] = orjson.loads(printed)
    return figures


async def fill(state: Path, rows: Sequence[tuple[int, bytes]], charge_point: str = CHARGE_POINT) -> None:
    """Write profiles into a store as a charge point keeps them."""
    store = SqliteStore(state)
    loop = asyncio.get_running_loop()
    for begin in range(0, len(rows), BATCH):
        synced: asyncio.Future[BaseException | None] = loop.create_future()
        batch = [Write(charge_point, TABLE, str(number), row) for number, row in rows[begin : begin + BATCH]]
        store.commit(batch, synced.set_result)
        assert await synced is None
    store.close()


def resident() -> int:
    """Bytes of this process in memory, after what is free has been given back."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def installed(workload: Path) -> dict[str, float]:
    """What the process that installs a workload sees."""
    with workload.open("rb") as file:
        now_s = orjson.loads(next(file))["meta"]["now_unix"]
        connectors = sum(line.startswith(b'{"connector":') for line in file)
    before = resident()
    profiles = stations.engine(connectors)
    with workload.open("rb") as file:
        for row in map(orjson.loads, file):
            if "connector" in row:
                stations.begin(profiles, row)
            elif "connectorId" in row:
                answer = profiles.install(row["connectorId"], orjson.dumps(row["csChargingProfiles"]), now_s)
                assert not isinstance(answer, str), answer
                del answer
            del row
    alone = resident()
    profiles.composite_all(now_s, stations.WINDOWS["600 s"], "A")
    window = resident()
    return {"memory_bytes": (alone - before) / connectors, "memory_window_bytes": (window - before) / connectors}


def restored(state: Path) -> dict[str, float]:
    """What the process that takes up a store sees: from opening it to the profiles being installed."""
    before = resident()
    begun = process_time()
    store = SqliteStore(state)
    rows = Rows(store.load(), CHARGE_POINT).of(TABLE)
    read_s = process_time() - begun
    profiles = stations.engine(10_000)
    assert profiles.restore(list(rows.values())) == []
    load_s = process_time() - begun
    peak = _peak()
    count = len(profiles)
    del rows
    store.close()
    return {
        "load_s": load_s,
        "load_read_s": read_s,
        "load_profiles": count,
        "load_peak_bytes": peak - before,
        "load_kept_bytes": resident() - before,
    }


if __name__ == "__main__":
    look = {"memory": installed, "load": restored}[sys.argv[1]]
    sys.stdout.write(orjson.dumps(look(Path(sys.argv[2]))).decode())
