"""`rigtui preview -- llama-server ARGS…` or `-- vllm serve …`: what this very command would do on this rig."""

from __future__ import annotations

import argparse
from itertools import takewhile
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.cli.output import print_json
from rigtui.cli.plan_command import plan_lines
from rigtui.errors import EXIT_DONE, EXIT_NO_FIT, RigtuiError, UsageError
from rigtui.models.model import Model
from rigtui.planning.plan import PLAN_SCHEMA, Plan
from rigtui.runs.reading import current_rig
from rigtui.text import clean

if TYPE_CHECKING:
    from rigtui.engines.vllm.preview import Meant


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--json", action="store_true", help="the whole plan as JSON (rigtui.plan/1)")
    parser.add_argument("--vllm-version", metavar="VERSION", help="the vLLM that is meant, such as 0.19 (default: the installed one)")
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="-- COMMAND…", help="llama-server ARGS… or vllm serve ARGS…, after --")


def run(args: argparse.Namespace) -> int:
    """Print what the command would do; exit code 1 when the engine would refuse it, 3 when it does not fit."""
    words = tuple(args.words[1:] if args.words[:1] == ["--"] else args.words)
    env, command = _variables(words)
    engine = _engine(command)
    try:
        plan = _vllm(args, env, command) if engine == "vllm" else _llamacpp(args, env, command)
    except _Refused as refused:
        if args.json:
            print_json({"schema": PLAN_SCHEMA, "engine": engine, "engine_view": {"fit": {"status": "refused", "message": str(refused)}}})
        raise RigtuiError(f"{engine} refuses this command: {refused}") from refused
    if args.json:
        print_json(plan)
    else:
        print("\n".join(plan_lines(plan, explain=engine == "vllm")))
    return EXIT_NO_FIT if plan.status == "no_fit" else EXIT_DONE


def _engine(command: tuple[str, ...]) -> str:
    """Which engine the command starts; a wrapper or an interpreter in front of it may be named anything."""
    known = ("vllm", "llama")
    # Its commands name no memory, and the names of most models in them sound like llama.cpp.
    if any(PurePath(word).name == "ollama" for word in takewhile(lambda word: not word.startswith("-"), command)):
        raise UsageError("ollama is no engine that rigtui knows: llama-server and vllm are")
    named = [word for word in command if any(engine in PurePath(word).name for engine in known)]
    if command and not command[0].startswith("-") and not named:
        raise UsageError(f"{clean(command[0])} is no engine that rigtui knows: llama-server and vllm are")
    return "vllm" if command and "vllm" in PurePath(command[0]).name else "llama.cpp"


class _Refused(Exception):  # noqa: N818 - an outcome of the command, not an error of rigtui's
    """The engine would not start; the message is its own."""


def _variables(words: tuple[str, ...]) -> tuple[dict[str, str], tuple[str, ...]]:
    """`NAME=value` words before the program, as in a shell or after `env`, and the rest."""
    env: dict[str, str] = {}
    words = words[1:] if words and PurePath(words[0]).name == "env" else words
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier():
            return env, words[at:]
        env[name] = value
    return env, ()


def _llamacpp(args: argparse.Namespace, env: dict[str, str], command: tuple[str, ...]) -> Plan:
    from rigtui.engines.llamacpp.arguments import RefusedError, read_command
    from rigtui.engines.llamacpp.command import unknown_options
    from rigtui.engines.llamacpp.environment import arguments
    from rigtui.engines.llamacpp.preview import preview
    from rigtui.runs.builds import build_started_by

    try:
        asked = read_command((*command[:1], *arguments(env), *command[1:]))
        plan = preview(current_rig(args), _gguf(asked.model, asked.repository), asked, command, env)
    except RefusedError as refused:
        raise _Refused(str(refused)) from refused
    # On a rig that is only described it is some other engine that runs the command.
    build = build_started_by(command[0]) if asked.passed_over and args.rig_file is None else None
    return replace(plan, warnings=(*unknown_options(asked, build), *plan.warnings))


def _gguf(path: str | None, repository: str | None) -> Model:
    """The model of `-m`, or that of `-hf` where it is downloaded already. Raises _Refused for a file that cannot be loaded."""
    from rigtui.models.gguf import read_gguf
    from rigtui.models.resolve import resolve

    if path is None and repository is None:
        raise UsageError("the command names no model file; add -m FILE")
    if path is None:
        return resolve(f"hf:{repository}")
    try:
        return read_gguf(path)
    except RigtuiError as error:
        raise _Refused(str(error)) from error


def _vllm(args: argparse.Namespace, env: dict[str, str], command: tuple[str, ...]) -> Plan:
    from rigtui.engines.vllm.arguments import RefusedError, read
    from rigtui.engines.vllm.preview import preview
    from rigtui.models.safetensors import read_safetensors

    try:
        own = read(command[2:] if command[1:2] == ("serve",) else command[1:])
        if own.model is None:
            raise UsageError("the command names no model; add the folder after `serve`")
        return preview(current_rig(args), read_safetensors(_folder(own.model)), own, env, command, _meant(args))
    except RefusedError as refused:
        raise _Refused(str(refused)) from refused


def _folder(model: str) -> str:
    """Where the files of a checkpoint are: a folder, or a repository of the hub that is downloaded. Raises UsageError for neither."""
    from rigtui.models.resolve import resolve

    if Path(model).is_dir():
        return model
    try:
        return resolve(f"hf:{model}").path
    except RigtuiError:
        raise UsageError(f"{clean(model)} is no folder here and not downloaded; a preview reads the files of a checkpoint") from None


def _meant(args: argparse.Namespace) -> Meant:
    """The vLLM that was named, else the one found here, else the newest known."""
    from rigtui.engines.vllm.preview import Meant
    from rigtui.engines.vllm.releases import release
    from rigtui.runs.builds import installed_builds

    if args.vllm_version is not None:
        named = release(args.vllm_version)
        if named is None:
            raise UsageError(f"--vllm-version takes a version such as 0.19.1, not '{clean(args.vllm_version)}'")
        return Meant(named, "which you named")
    for build in installed_builds():
        if build.engine == "vllm" and build.gpu and (found := release(build.version)) is not None:
            return Meant(found, f"the one at {clean(build.argv[0])}")
    return Meant()
