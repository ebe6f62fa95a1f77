"""The command ``ocpphub``: run a hub, check and write its configuration, call and watch it, show the demo.

Owns arguments, output and exit codes (0 done, 1 the answer was an error or a tour step failed, 2 usage, 69 no socket,
75 store failed, 78 configuration). Imports what a command needs inside that command, so that ``--help`` stays quick;
must never hold a rule of OCPP or of the socket.

Source: surface.md "Command line".
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

if TYPE_CHECKING:
    from ocpphub.config import ConfigError, Settings
    from ocpphub.errors import OcpphubError, UnavailableError
    from ocpphub.rpc.client import Client

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NO_SOCKET: Final = 69
STORE_FAILED: Final = 75
BAD_CONFIGURATION: Final = 78
DEFAULT_SOCKET: Final = "/run/ocpphub/ocpphub.sock"
PICTURES: Final = (".svg", ".png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; a usage error leaves through ``SystemExit(2)``."""
    options = parser().parse_args(arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return DONE
    except BrokenPipeError:
        # The reader of a pipe has gone; nothing is left to say, and the interpreter must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    return code


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    from ocpphub import keys_cli, sessions_cli
    from ocpphub.sim import command

    top = argparse.ArgumentParser(
        prog="ocpphub",
        description="The OCPP 1.6-J charge point of a charging hub.",
        epilog="exit codes: 0 done, 1 answered with an error, 2 usage, 69 no socket, 75 store failed, 78 configuration",
    )
    top.add_argument("--version", action="version", version=f"ocpphub {_version()}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    output = argparse.ArgumentParser(add_help=False)
    output.add_argument("--json", action="store_true", help="print JSON, one text per line")
    client = argparse.ArgumentParser(add_help=False)
    client.add_argument("--socket", type=Path, default=_default_socket(), help="socket of the hub (%(default)s)")
    _configuration_commands(commands, output)
    _client_commands(commands, output, client)
    _schedule_commands(commands, [output, client])
    keys_cli.add_parser(commands, [output]).set_defaults(command=_keys)
    sessions_cli.add_parser(commands, [client], _moment).set_defaults(command=_sessions)
    command.add_parser(commands, [output, client]).set_defaults(command=_simulate)
    demo = commands.add_parser("demo", help="a narrated tour with an embedded CSMS")
    demo.add_argument("--connectors", type=_positive, default=200, metavar="N", help="connectors of the hub (200)")
    demo.add_argument("--duration", type=_seconds, metavar="S", help="seconds to stay after the tour (until Ctrl-C)")
    demo.add_argument(
        "--secure", action="store_true", help="over TLS, and with certificates, firmware and logs at a second hub"
    )
    demo.set_defaults(command=_demo)
    return top


def _configuration_commands(commands: Any, output: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", help="run a hub")
    run.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="its hub.toml")
    run.set_defaults(command=_run)
    check = commands.add_parser("check-config", parents=[output], help="report every mistake of a configuration")
    check.add_argument("file", type=Path, metavar="FILE")
    check.set_defaults(command=_check_config)
    init = commands.add_parser("init", help="write a commented hub.toml")
    init.add_argument("file", type=Path, nargs="?", default=Path("hub.toml"), metavar="FILE", help="(%(default)s)")
    init.add_argument("--force", action="store_true", help="replace an existing file")
    init.set_defaults(command=_init)


def _client_commands(commands: Any, output: argparse.ArgumentParser, client: argparse.ArgumentParser) -> None:
    call = commands.add_parser(
        "call",
        parents=[output, client],
        help="call a method of a running hub",
        epilog="key=value passes a text, key:=json any JSON value: keys:='[\"HeartbeatInterval\"]'",
    )
    call.add_argument("method", metavar="METHOD")
    call.add_argument("parameters", nargs="*", type=_parameter, metavar="key=value", help="parameters by name")
    call.set_defaults(command=_call)
    watch = commands.add_parser("watch", parents=[output, client], help="print publications as they come")
    watch.add_argument("topics", nargs="*", metavar="TOPIC")
    watch.add_argument("--trace", action="store_true", help="frames, as JSON lines of the Open OCPP Trace format 1.1")
    watch.add_argument("--charge-point", metavar="IDENTITY", help="where the hub has several")
    watch.add_argument("--connectors", metavar="RANGE", help='only these connectors, such as "1-40"')
    watch.set_defaults(command=_watch)


def _schedule_commands(commands: Any, shared: list[argparse.ArgumentParser]) -> None:
    window = argparse.ArgumentParser(add_help=False, parents=shared)
    window.add_argument("--duration", type=_whole_seconds, default=86_400, metavar="S", help="seconds (%(default)s)")
    window.add_argument("--unit", choices=("A", "W"), help="unit of the limits (the first one that the hub allows)")
    window.add_argument("--at", type=_moment, metavar="TIME", help="start, such as 2030-01-31T06:00:00Z (now)")
    window.add_argument("--charge-point", metavar="IDENTITY", help="where the hub has several")
    schedule = commands.add_parser("schedule", help="show charging schedules: get, explain, plot")
    actions = schedule.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, about in (("get", "print a composite schedule"), ("explain", "say what decides each limit of it")):
        action = actions.add_parser(name, parents=[window], help=about)
        action.add_argument("connector", type=_connector, metavar="CONNECTOR", help="0 is the whole charge point")
        action.set_defaults(command=_schedule, action=name)
    plot = actions.add_parser("plot", parents=[window], help="draw it (needs the extra `plot`)")
    plot.add_argument("connector", type=_connector, nargs="?", metavar="CONNECTOR", help="(the whole charge point)")
    plot.add_argument("-o", "--output", type=_picture, required=True, metavar="FILE", help="an .svg or .png file")
    plot.set_defaults(command=_schedule, action="plot")


# Commands


def _run(options: argparse.Namespace) -> int:
    settings = _load(options.config)
    if settings is None:
        return BAD_CONFIGURATION
    from ocpphub import daemon, log

    _warn_of_stale_extension()
    log.setup(settings.hub.log_level, settings.hub.log_format)
    return daemon.main(settings)


def _check_config(options: argparse.Namespace) -> int:
    from ocpphub import config, config_check

    try:
        settings = config.load(options.file, os.environ)
    except config.ConfigError as error:
        return _print_problems(error, options.json)
    warnings = [*settings.warnings, *config_check.warnings(settings)]
    if options.json:
        _print_json({"valid": True, "problems": [], "warnings": warnings})
        return DONE
    for warning in warnings:
        sys.stderr.write(f"warning: {warning}\n")
    connectors = sum(point.connectors for point in settings.charge_points)
    points = len(settings.charge_points)
    sys.stdout.write(f"{options.file}: valid; {points} charge point{'s'[: points != 1]}, {connectors} connectors\n")
    return DONE


def _init(options: argparse.Namespace) -> int:
    from ocpphub import config_text

    if str(options.file) == "-":
        sys.stdout.write(config_text.template())
        return DONE
    try:
        with options.file.open("w" if options.force else "x", encoding="utf-8") as file:
            file.write(config_text.template())
    except FileExistsError:
        sys.stderr.write(f"{options.file} exists; --force replaces it\n")
        return FAILED
    except OSError as error:
        sys.stderr.write(f"{options.file}: {error.strerror}\n")
        return FAILED
    sys.stdout.write(f"wrote {options.file}; next: ocpphub check-config {options.file}\n")
    return DONE


def _call(options: argparse.Namespace) -> int:
    def use(client: Client) -> int:
        _print_json(client.call(options.method, **dict(options.parameters)), compact=options.json)
        return DONE

    return _with_client(options, use)


def _watch(options: argparse.Namespace) -> int:
    if bool(options.topics) is options.trace:
        sys.stderr.write("ocpphub watch: name the topics, or --trace alone\n")
        return USAGE
    narrowed = {"charge_point": options.charge_point, "connectors": options.connectors}
    parameters = {name: value for name, value in narrowed.items() if value is not None}

    def use(client: Client) -> int:
        if options.trace:
            return _trace(client, parameters)
        subscription = client.subscribe(options.topics, **parameters)
        for topic, value in subscription.snapshot.items():
            _print_event({"topic": topic, "value": value, "snapshot": True}, options.json)
        for event in subscription:
            _print_event(event, options.json)
        sys.stderr.write("the hub closed the connection\n")
        return NO_SOCKET

    return _with_client(options, use)


def _trace(client: Client, parameters: dict[str, Any]) -> int:
    from ocpphub.trace import TOPIC, Trace

    trace = Trace()
    try:
        for event in client.subscribe([TOPIC], **parameters):
            sys.stdout.write(trace.line(event) or "")
            sys.stdout.flush()
    finally:
        if trace.skipped:
            sys.stderr.write(f"{trace.skipped} frames without a record: no frames of OCPP-J, or too long to be shown\n")
    sys.stderr.write("the hub closed the connection\n")
    return NO_SOCKET


def _schedule(options: argparse.Namespace) -> int:
    from ocpphub import schedule_cli

    def use(client: Client) -> int:
        answer = action(client)
        if options.json:
            _print_json(answer.result)
        else:
            sys.stdout.write(answer.text(coloured=is_coloured(sys.stdout)))
        return DONE

    try:
        action = schedule_cli.action(options)
        return _with_client(options, use)
    except schedule_cli.PictureError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED


def _with_client(options: argparse.Namespace, use: Callable[[Client], int]) -> int:
    """What ``use`` returns; the exit code of what went wrong with the socket or was answered with an error."""
    from ocpphub.errors import OcpphubError, UnavailableError
    from ocpphub.rpc.client import Client

    try:
        client = Client(options.socket)
    except UnavailableError as error:
        return _no_socket(error)
    try:
        with client:
            return use(client)
    except OcpphubError as error:
        return _print_error(error, options.json)


def _sessions(options: argparse.Namespace) -> int:
    from ocpphub import sessions_cli

    def use(client: Client) -> int:
        sessions_cli.export(options, client)
        return DONE

    try:
        return _with_client(options, use)
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stderr.write(f"{options.output}: {error.strerror}\n")
        return FAILED


def _keys(options: argparse.Namespace) -> int:
    from ocpphub import errors, keys_cli

    settings = None if options.config is None else _load(options.config)
    if settings is None and options.config is not None:
        return BAD_CONFIGURATION
    try:
        keys_cli.show(options, settings)
    except errors.LocalError as error:
        return _print_error(error, options.json)
    return DONE


def _simulate(options: argparse.Namespace) -> int:
    from ocpphub.errors import OcpphubError, UnavailableError
    from ocpphub.sim import command, simulate

    try:
        return simulate.main(command.plan(options), sys.stdout, as_json=options.json)
    except UnavailableError as error:
        return _no_socket(error) if error.code == "not_connected" else _print_error(error, options.json)
    except OcpphubError as error:
        return _print_error(error, options.json)


def _demo(options: argparse.Namespace) -> int:
    from ocpphub.sim import demo

    _warn_of_stale_extension()
    return demo.main(options.connectors, options.duration, secure=options.secure, colour=is_coloured(sys.stdout))


# Output


def is_coloured(stream: TextIO) -> bool:
    """Colour on a terminal only, and never where ``NO_COLOR`` is set to anything (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _load(path: Path) -> Settings | None:
    from ocpphub import config

    try:
        return config.load(path, os.environ)
    except config.ConfigError as error:
        _print_problems(error, as_json=False)
        return None


def _warn_of_stale_extension() -> None:
    from ocpphub import checkout

    if text := checkout.complaint():
        sys.stderr.write(f"warning: {text}\n")


def _print_problems(error: ConfigError, as_json: bool) -> int:
    if as_json:
        problems = [
            {"file": problem.file, "key": problem.key, "what": problem.what, "allowed": problem.allowed}
            for problem in error.problems
        ]
        _print_json({"valid": False, "problems": problems, "warnings": []})
    else:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
    return BAD_CONFIGURATION


def _print_error(error: OcpphubError, as_json: bool) -> int:
    if as_json:
        from ocpphub.errors import json_rpc_error

        _print_json({"error": json_rpc_error(error)})
    else:
        sys.stderr.write(f"error: {error.code}: {error}\n")
    return FAILED


def _no_socket(error: UnavailableError) -> int:
    sys.stderr.write(f"{error.message}; is `ocpphub run` up, is --socket right?\n")
    return NO_SOCKET


def _print_json(value: Any, *, compact: bool = True) -> None:
    separators = (",", ":") if compact else None
    text = json.dumps(value, ensure_ascii=False, indent=None if compact else 2, separators=separators)
    sys.stdout.write(text + "\n")


def _print_event(event: Any, as_json: bool) -> None:
    if as_json:
        _print_json(event)
    else:
        value = json.dumps(event.get("value"), ensure_ascii=False)
        when = "now" if event.get("snapshot") else f"{event.get('timestamp')} {event.get('charge_point')}"
        sys.stdout.write(f"{when} {event.get('topic')} {value}\n")
    sys.stdout.flush()


# Arguments


def _version() -> str:
    from ocpphub import __version__

    return __version__


def _default_socket() -> Path:
    return Path(os.environ.get("OCPPHUB_HUB__SOCKET") or DEFAULT_SOCKET)


def _parameter(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.rstrip(":"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither key=value nor key:=json")
    if not name.endswith(":"):
        return name, value
    try:
        return name[:-1], json.loads(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"what follows {name}= is no JSON: {value!r}") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def _whole_seconds(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10**9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 1 to {10**9}")
    return int(text)


def _connector(text: str) -> int:
    if not text.isdecimal() or int(text) > 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no connector from 0")
    return int(text)


def _moment(text: str) -> str:
    from datetime import datetime

    try:
        known = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        known = False
    if not known:
        raise argparse.ArgumentTypeError(f"{text!r} is no time with an offset, such as 2030-01-31T06:00:00Z")
    return text


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"{text!r} ends in neither {' nor '.join(PICTURES)}")
    return path
