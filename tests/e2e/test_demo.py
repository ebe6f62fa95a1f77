"""`ocpphub demo` as a person runs it: a real process, a real hub, real sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ocpphub.sim import demo

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def started(*arguments: str, connectors: int = 5) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    command = [sys.executable, "-m", "ocpphub", "demo", "--connectors", str(connectors), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """The output up to the first line that holds ``text``; fails when it ends before."""
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    pytest.fail(f"{text!r} did not come:\n{''.join(lines)}")


@pytest.mark.timeout(180)
def test_demo_over_tls_shows_every_step_and_ends_with_0() -> None:
    """S-101, CORE-BOOT-01, CORE-CC-10, CORE-DT-01: boot, seven commands, event, cut link, in security profile 2.

    CORE-SC-02, SCA-19: profiles of the CSMS, and charging_schedules that follow them. CORE-TX-01, CORE-RS-07,
    CORE-RSP-01, CORE-TXQ-02, CORE-TXQ-10, AMB-18: sessions, a remote start, a cut link and a killed hub.
    decisions.md 5: permits under a limit that shrinks, turns, and a controller that is killed. For whoever operates it:
    a client that may only look, a second charge point, a metrics scrape, a trace. S-165, S-171, S-180, S-234, S-222: at
    another hub, a profile raised from 1 to 3 with a certificate issued on the way, firmware, a log that is uploaded.
    """
    with started("--secure", "--duration", "0", connectors=9) as process:
        output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    for method in (
        "stop",
        "restart",
        "data_transfer",
        "get_configuration_key",
        "set_custom_configuration_key",
        "monitor_configuration_keys",
        "security_event",
        "schedule.explain",
    ):
        assert f"   > {method}" in output
    assert "NOT SEEN" not in output
    assert "tampered: Accepted, then Downloading -> Downloaded -> InvalidSignature" in output
    assert "signed: Accepted, then Downloading -> Downloaded -> SignatureVerified -> Installing -> Installed" in output
    assert "ok: connected again, with its own certificate" in output
    assert "ok: uploaded, and no key is in it" in output
    assert "the CSMS received the event 1 time(s)" in output
    assert "before charging_schedules: connector 1 up to 32 A, connector 0 up to 288 A" in output
    assert "ok: connector 0 is held down to 45 A" in output
    assert "ok: decided by profile 10" in output
    assert "hub.svg (" in output
    for limit_a in (120, 84, 60):
        assert re.search(rf"limit +{limit_a}\.0 A, claims +{limit_a}\.0 A, drawn", output)
        assert f"ok: claims and draw are within {limit_a} A" in output
    assert "ok: without its controller the claims still are 10.0 A, 10.0 A" in output
    assert re.search(r"connectors \d, \d charge, the others wait", output)
    assert re.search(r"ok: then connectors \d, \d: in one rotation everybody charged", output)
    assert "s without it the same; after: 6.0 A, 6.0 A" in output
    assert "ok: the claims were counted for 30 s, then the fallback" in output
    assert "ok: it is back, and its permits count again: 15.0 A, 15.0 A" in output
    assert re.search(r"ok: in \d+ looks the claims were above the limit for \d\.\d s at most", output)
    assert "ok: the role monitor is refused, and told which role it would need" in output
    assert 'ocpphub_link_up{charge_point="SOUTH"} 1.0' in output
    assert "ok: the CALL and its answer, each with the frame as it was" in output
    assert "ok: each session has one record at the CSMS" in output
    assert "ok: ended for the reason Remote" in output
    assert "messages after the reconnect, in the order of their events" in output
    assert "goes on and the vehicle charges again" in output
    assert "ok: one start (sent 1 time(s)) and one stop" in output
    assert "\x1b" not in output


@pytest.mark.timeout(150)
def test_demo_stays_until_ctrl_c_and_its_commands_work() -> None:
    """CORE-BOOT-11: what the tour tells people to try can be tried; Ctrl-C after the tour is exit code 0."""
    with started() as process:
        lines = lines_until(process, "Ctrl-C ends it.")
        (command,) = [line.strip() for line in lines if "call security_event" in line]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
        tried = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, timeout=30, env=environment, check=False
        )
        assert (tried.returncode, tried.stdout) == (0, "null\n"), tried.stderr
        lines_until(process, "received SecurityEventNotification")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.mark.timeout(60)
def test_demo_interrupted_in_the_tour_ends_with_1_and_leaves_nothing() -> None:
    """A tour that was not seen to its end is no success; its hub and folder are gone."""
    with started() as process:
        (line,) = [line for line in lines_until(process, "the socket answers") if " in /" in line]
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 1
    assert not Path(line.split(" in ")[1].strip()).exists()


def test_demo_whose_hub_does_not_start_ends_with_1_and_shows_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub's own words are shown."""
    monkeypatch.setattr(demo, "_configuration", lambda *_: "[hub]\nnonsense = 1\n")
    assert demo.main(5, 0.0) == 1
    assert "hub.nonsense" in capsys.readouterr().out
