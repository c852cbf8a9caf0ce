"""Which vLLMs are installed, and what each of them can do, in its own words.

To find one and its version costs no more than a look at some folders. What it can do it says itself in `vllm serve --help`, which takes
ten seconds and more since it loads torch: it is asked only when a plan is to be made for it, and once, for the answer is kept under the
program's and the package's date and size.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from msgspec.structs import replace

from rigtui import paths
from rigtui.engines import probe
from rigtui.engines.answers import Answers, Cache
from rigtui.engines.engine import Build, Found
from rigtui.engines.vllm import places
from rigtui.errors import RigtuiError
from rigtui.text import clean

ENGINE = "vllm"
_ANSWER_S = 180.0
"""A cold start reads a gigabyte of libraries."""
_ENVIRONMENT = {"NO_COLOR": "1", "COLUMNS": "100", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
# "  --max-model-len MAX_MODEL_LEN", "  --tensor-parallel-size N, -tp N", "  --enforce-eager, --no-enforce-eager".
_OPTION = re.compile(r"^ {2}-{1,2}[A-Za-z].*$", re.MULTILINE)
_FLAG = re.compile(r"(?:^ {2}|, )(?P<flag>-{1,2}[A-Za-z][\w.-]*)")
_VERSION = re.compile(r"^(?P<version>\d+\.\d[\w.+!-]{0,60})$", re.MULTILINE)
_NOT_CUDA = re.compile(r"cpu|rocm|xpu|tpu|neuron|hpu|npu|musa|metal", re.IGNORECASE)


def survey(named: str | None = None) -> Found:
    """The builds: the one the user `named`, then PATH, the active environment, and the other environments of this machine.

    None of them is started: `learn` asks one. Raises MissingError when what was named is not there.
    """
    cache = _cache()
    programs = [places.named(named)] if named is not None else []
    seen = {os.path.realpath(program) for program in programs}
    programs += [program for program in places.installed() if os.path.realpath(program) not in seen]
    builds, problems = [], []
    for program in programs:
        try:
            builds.append(_build(program, cache))
        except OSError as error:
            problems.append(f"{clean(str(program))} cannot be read: {error.strerror or error}")
    return Found(builds=tuple(builds), problems=tuple(problems))


def learn(build: Build) -> Build:
    """`build` with what it says that it can do, asked now if it was not asked before (seconds to a minute).

    Raises RigtuiError when it does not work.
    """
    if build.options:
        return build
    cache = _cache()
    program = Path(build.argv[0])
    answers = cache.answers(_identity(program, places.metadata(program)), lambda: _ask(build))
    cache.save()
    return _with(build, answers)


def parse_options(text: str) -> frozenset[str]:
    """Every flag that the output of `vllm serve --help=all` names."""
    return frozenset(found["flag"] for line in _OPTION.finditer(text) for found in _FLAG.finditer(line.group()))


def _cache() -> Cache:
    return Cache(paths.cache_dir() / "vllm-builds.msgpack")


def _build(program: Path, cache: Cache) -> Build:
    folder = places.metadata(program)
    bare = Build(engine=ENGINE, label="", version=places.version_in(folder) if folder else "", argv=(str(program),))
    answers = cache.known(_identity(program, folder))
    return _with(bare, answers or Answers(version=bare.version, options=frozenset(), devices=()))


def _identity(program: Path, folder: Path | None) -> tuple[object, ...]:
    """Changes whenever another version may be there. Raises OSError."""
    status = program.stat()
    package = (folder.name, folder.stat().st_mtime_ns) if folder else None
    return str(program), status.st_size, status.st_mtime_ns, package


def _with(build: Build, answers: Answers) -> Build:
    version = answers.version or build.version
    # What follows the plus names the backend, and CUDA's where there is none.
    local = version.partition("+")[2]
    other = _NOT_CUDA.search(local)
    backend = "CUDA" if other is None else "CPU only" if other.group().lower() == "cpu" else other.group()
    label = f"vLLM {version.partition('+')[0] or '(version not known yet)'} ({backend})"
    return replace(build, version=version, label=label, options=answers.options, gpu=other is None)


def _ask(build: Build) -> Answers:
    name = clean(build.argv[0])
    try:
        text = probe.ask(name, (*build.argv, "serve", "--help=all"), _ANSWER_S, _ENVIRONMENT)
    except RigtuiError as error:
        if "ignored explicit argument" not in str(error):
            raise
        # Up to 0.9 `--help` prints all there is.
        text = probe.ask(name, (*build.argv, "serve", "--help"), _ANSWER_S, _ENVIRONMENT)
    options = parse_options(text)
    if not {"--max-model-len", "--port"} <= options:
        raise RigtuiError(f"{name} is not a vLLM that rigtui knows: its `serve --help` names no --max-model-len and --port")
    version = build.version
    if not version:
        match = _VERSION.search(probe.ask(name, (*build.argv, "--version"), _ANSWER_S, _ENVIRONMENT))
        if match is None:
            raise RigtuiError(f"{name} does not say its version in a way rigtui knows; use a released vLLM")
        version = match["version"]
    return Answers(version=version, options=options, devices=())
