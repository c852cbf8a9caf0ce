"""`rigtui run`: launch a model or a profile, and watch it until it ends."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING

from rigtui.cli.ending import Held, exit_code, held
from rigtui.cli.output import note, print_json
from rigtui.cli.run_text import Progress
from rigtui.cli.target import Target, add_plan_options, target
from rigtui.errors import EXIT_DONE, EXIT_FAILED, EXIT_MISSING, DoesNotFitError, MissingError, UsageError
from rigtui.text import clean

if TYPE_CHECKING:
    from rigtui.engines.engine import Build
    from rigtui.runs.launch import Launched
    from rigtui.runs.state import LaunchRequest, RunState

RUN_SCHEMA = "rigtui.run/1"
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("model", metavar="MODEL|PROFILE", help="GGUF file, safetensors folder, hf:owner/repo, ollama:name, or a profile")
    add_plan_options(parser)
    how = parser.add_argument_group("how it is launched")
    how.add_argument("--save", metavar="NAME", help="keep these choices as a profile")
    how.add_argument("--detach", action="store_true", help="return once it is launched")
    how.add_argument("--dry-run", action="store_true", help="print the command, launch nothing")
    how.add_argument("--replace", action="store_true", help="stop what runs first")
    how.add_argument("--probe", choices=("quick", "full"), default="quick", help="full: measure with a prompt near the whole context")
    how.add_argument("--host", default=None, help="address to listen on (default: 127.0.0.1)")
    how.add_argument("--port", type=_port, default=None, metavar="P", help="port to listen on (default: the next free one from 8080)")
    how.add_argument("--api-key-file", default=None, metavar="F", help="clients must send a key of this file")
    how.add_argument("--json", action="store_true", help="say which run it is as JSON (rigtui.run/1)")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port (1 to 65535)")
    return int(text)


def run(args: argparse.Namespace) -> int:
    """Launch; in the foreground watch until the engine ends or Ctrl-C stops it."""
    from rigtui.engines.rooms import HOW_TO_GET
    from rigtui.runs.watch import directory_of, live_run_of

    if args.save == "":
        raise UsageError("--save needs a name for the profile")
    found = target(args, here=True)
    if not args.dry_run and not args.replace:
        # What runs already is attached to, whether or not a second one would fit beside it.
        there = live_run_of(args.save or found.profile, found.plan.model.path)
        if there is not None:
            return _attached(there, str(directory_of(there).path), args)
    if found.plan.status == "no_fit":
        why = "; ".join(reason.text for reason in found.plan.reasons) or "it needs more memory than there is"
        raise DoesNotFitError(f"{found.model.name} cannot run on this rig: {why}")
    if found.build is None:
        raise MissingError(HOW_TO_GET[found.plan.engine])
    request = _request(found, found.build, args)
    if (request.host or "127.0.0.1") not in LOOPBACK and request.api_key_file is None:
        note(f"whoever reaches {request.host} may use the engine; --api-key-file FILE asks clients for a key")
    if args.dry_run:
        return _dry_run(request, args)
    if request.simulated:
        note(f"the rig {clean(found.rig.name)} is only described by {clean(args.rig_file)}: the engine starts on this machine")
    if args.save:
        _save(found, args)
    return _launch(request, found, args)


def _launch(request: LaunchRequest, found: Target, args: argparse.Namespace) -> int:
    """Launch and watch; Ctrl-C and SIGTERM stop what was launched, from the first moment on."""
    from rigtui.runs.launch import launch

    launched: Launched | None = None
    try:
        with held() as pending:
            launched = launch(request)
        if launched.attached:
            return _attached(launched.state, str(launched.directory), args)
        return _started(launched, found, args, pending)
    except KeyboardInterrupt as interrupt:
        if launched is None or launched.attached or args.detach:
            raise
        _interrupted(launched.state)
        return exit_code(interrupt)


def _request(found: Target, build: Build, args: argparse.Namespace) -> LaunchRequest:
    from rigtui.runs.state import LaunchRequest

    return LaunchRequest(
        plan=found.plan,
        intent=found.intent,
        build=build,
        model=found.model.name,
        profile=found.profile,
        save=args.save,
        fingerprint=found.served.fingerprint,
        given_up=found.given_up,
        embedding=found.intent.use_case.embedding or found.served.embedding_model,
        host=found.intent.host,
        port=found.intent.port,
        api_key_file=found.intent.api_key_file,
        simulated=args.rig_file is not None,
        rig_file=os.path.abspath(args.rig_file) if args.rig_file else None,  # noqa: PTH100 a path from elsewhere is only made whole
        constraints=found.constraints,
        replace=args.replace,
        probe=args.probe,
    )


def _dry_run(request: LaunchRequest, args: argparse.Namespace) -> int:
    from rigtui.engines.rooms import room
    from rigtui.intent.profiles import directories, ensure_free
    from rigtui.runs.launch import key_file
    from rigtui.runs.ports import choose_port
    from rigtui.runs.watch import live_runs

    if args.save:
        ensure_free(args.save, directories(args.profiles_dir)[0], overwrite=False)
    taken = {state.port for state in live_runs()}
    # What is replaced gives its port back.
    given_back = request.replace and request.port in taken
    port = request.port if given_back and request.port else choose_port(request.host, request.port, taken)
    command = room(request.build.engine).spawn(request.plan, request.build, request.host, port, key_file(request.api_key_file))
    if args.json:
        print_json({"schema": RUN_SCHEMA, "run": None, "directory": None, "command": command.argv, "env": command.env})
    else:
        env = [f"{name}={shlex.quote(value)}" for name, value in command.env.items()]
        if command.key_variable is not None and request.api_key_file is not None:
            env.append(f'{command.key_variable}="$(head -n 1 {shlex.quote(request.api_key_file)})"')
        print(" ".join([*env, shlex.join(command.argv)]))
    if args.save:
        note(f"nothing was launched, and no profile {args.save} was kept")
    return EXIT_DONE


def _save(found: Target, args: argparse.Namespace) -> None:
    from rigtui.intent.profile import profile_of
    from rigtui.intent.profiles import directories, save

    note(f"saved as {save(profile_of(found.intent, args.save, args.model), directories(args.profiles_dir)[0])}")


def _attached(state: RunState, directory: str, args: argparse.Namespace) -> int:
    name = state.profile or state.model
    where = f"port {state.port}" + (f" instead of {args.port}" if args.port not in (None, state.port) else "")
    note(f"{name} runs already as {state.run} ({state.phase}, {where}, {state.context:,} tokens of context); --replace starts it anew")
    if args.json:
        print_json({"schema": RUN_SCHEMA, "run": state.run, "directory": directory})
    if args.detach:
        return EXIT_DONE
    try:
        return _watch(state)
    except KeyboardInterrupt as interrupt:
        note(f"it goes on without this terminal; `rigtui stop {state.run}` stops it")
        return exit_code(interrupt)


def _started(launched: Launched, found: Target, args: argparse.Namespace, pending: Held) -> int:
    from rigtui.cli.plan_command import plan_lines

    state = launched.state
    for ended in launched.stopped:
        note(f"stopped {ended.run} ({ended.profile or ended.model})")
    if args.json:
        print_json({"schema": RUN_SCHEMA, "run": state.run, "directory": str(launched.directory)})
    if args.detach:
        note(f"run {state.run} is starting on port {state.port}; `rigtui ps` shows it, `rigtui stop {state.run}` stops it")
        return EXIT_DONE
    note("\n".join(plan_lines(found.plan, explain=False)))
    pending.answer()
    return _watch(state)


def _interrupted(state: RunState) -> None:
    """Ctrl-C or SIGTERM asks the engine to end; a second one kills it."""
    from rigtui.runs.watch import stop_and_wait

    note(f"stopping {state.run}; Ctrl-C again kills it")
    try:
        stop_and_wait(state)
    except KeyboardInterrupt:
        stop_and_wait(state, now=True)
    note("stopped")


def _watch(state: RunState) -> int:
    """Say what happens until the run ends."""
    from rigtui.runs.watch import directory_of, follow

    last = state
    directory = directory_of(state)
    progress = Progress(directory.read_request().plan)
    for change in follow(directory, log_offset=None):
        if change.state is not None:
            last = change.state
            for line in progress.lines(last):
                note(line)
    if last.failure is None:
        note(f"run {last.run} has been stopped")
        return EXIT_DONE
    note(f"rigtui: {last.failure.text}")
    if last.failure.line:
        note(f"  the engine said: {last.failure.line}")
    note(f"  all of it: rigtui logs {last.run}")
    return EXIT_MISSING if last.failure.code == "engine_missing" else EXIT_FAILED
