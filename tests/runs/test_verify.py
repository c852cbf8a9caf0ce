"""A plan verified by its engine, here a program that says what a real one said; and engines that crash, hang or talk nonsense."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from planning.toys import gpu, intent, rig
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp import dryrun, dryrun_store
from rigtui.engines.llamacpp.dryrun import CancelledError
from rigtui.errors import RigtuiError
from rigtui.intent.intent import Intent
from rigtui.models.gguf import read_gguf
from rigtui.models.model import Model
from rigtui.planning.choose import choose
from rigtui.planning.plan import Plan
from rigtui.rig.rig import Rig
from rigtui.runs import verify
from rigtui.text import MIB
from runs.support import wait_until
from tools.make_gguf import tiny_llama

LOG = Path(__file__).parents[1] / "logs" / "llamacpp" / "dryrun_tiny_2gpu.jsonl"
OPTIONS = frozenset({"--fit-target", "--log-jsonl", "--log-verbosity", "--device", "--offline", "--load-mode", "--metrics"})
SAYS = f"import shutil, sys, time; shutil.copyfileobj(open({str(LOG)!r}), sys.stdout); sys.stdout.flush(); time.sleep(600)"
PAIR = rig(
    gpu(0, 64, name="NVIDIA GeForce RTX 3090"),
    gpu(1, 64, name="NVIDIA GeForce RTX 3060"),
)
ASKED = intent(context=8192, gpus=("0", "1"), fit_target_mib=(4, 60), ubatch=64)


@pytest.fixture
def tiny(tmp_path: Path) -> Model:
    return read_gguf(tiny_llama(tmp_path / "tiny.gguf", layers=6))


@pytest.fixture
def engine(tmp_path: Path) -> Callable[[str], Build]:
    """A build whose server is this Python program; it leaves its arguments in `asked`."""

    def make(program: str) -> Build:
        script = tmp_path / "llama-server"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nopen({str(tmp_path / 'asked')!r}, 'w').write('\\n'.join(sys.argv))\n{program}\n"
        )
        script.chmod(0o755)
        return Build(engine="llama.cpp", label="llama-server 7 (CUDA)", version="7", argv=(str(script),), options=OPTIONS)

    return make


def planned(model: Model, build: Build, on: Rig = PAIR, wanted: Intent = ASKED) -> Plan:
    return choose(on, model, wanted, [build], known=verify.known())


def test_a_plan_is_verified_and_stays_so(tiny: Model, engine: Callable[[str], Build], tmp_path: Path) -> None:
    build = engine(SAYS)
    before = planned(tiny, build)
    plan, problem = verify.verified(before, PAIR, tiny, ASKED, [build])
    assert (before.basis, plan.basis, problem) == ("estimated", "verified", None)
    assert [device.layers for device in plan.devices] == [6, 0]
    assert plan.devices[1].output
    words = (tmp_path / "asked").read_text().splitlines()
    assert words[words.index("--fit-target") + 1] == "4,60"
    assert words[words.index("--port") + 1] == "0"
    assert "--load-mode" not in words
    # Kept on disk: the same question needs no engine any more.
    assert planned(tiny, engine("raise SystemExit(1)")) == plan


def test_what_the_engine_takes_before_it_allocates_is_learned(tiny: Model, engine: Callable[[str], Build]) -> None:
    fuller = rig(gpu(0, 104, name="NVIDIA GeForce RTX 3090"), gpu(1, 94, name="NVIDIA GeForce RTX 3060"))
    build = engine(SAYS)
    verify.verify(planned(tiny, build, on=fuller), tiny, ASKED, build)
    assert verify.known().runtime == {"GPU-0": 40 * MIB, "GPU-1": 30 * MIB}


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", "ended before it said"),
        (
            "print('error: invalid argument: --nonsense', file=sys.stderr); raise SystemExit(1)",
            "would do: error: invalid argument: --nonsense",
        ),
        ("import os; os.abort()", "was killed by signal 6 before it said"),
        ("print('\\x1b[2J' + 'x' * 100000)", "ended before it said"),
        (f"lines = open({str(LOG)!r}).read().splitlines()\nprint('\\n'.join(lines[:200]))", "ended before it said"),
        ('print(\'{"type":"log","time":1,"level":"error","msg":"no such device\\\\n"}\')', "no such device"),
        (f"print(open({str(LOG)!r}).read().replace('CUDA1', 'CUDA7'))", "other devices or tensors"),
    ],
)
def test_an_engine_that_gives_no_answer_leaves_the_estimate(program: str, why: str, tiny: Model, engine: Callable[[str], Build]) -> None:
    build = engine(program)
    before = planned(tiny, build)
    plan, problem = verify.verified(before, PAIR, tiny, ASKED, [build])
    assert plan == before
    assert problem is not None
    assert why in problem
    assert "\x1b" not in problem


def test_an_engine_that_hangs_is_ended(tiny: Model, engine: Callable[[str], Build], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dryrun, "TIMEOUT_S", 0.3)
    build = engine("import time; time.sleep(600)")
    with pytest.raises(RigtuiError, match="came to no end"):
        verify.verify(planned(tiny, build), tiny, ASKED, build)


def test_a_dry_run_is_called_off_in_its_middle(tiny: Model, engine: Callable[[str], Build], tmp_path: Path) -> None:
    build = engine("import time; time.sleep(600)")
    with pytest.raises(CancelledError):
        verify.verify(planned(tiny, build), tiny, ASKED, build, cancelled=(tmp_path / "asked").exists)
    wait_until(lambda: not _runs(build.argv[0]), "all of the engine to be gone")


def _runs(program: str) -> bool:
    """Whether a process of that program is left."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if program.encode() in entry.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_one_dry_run_at_a_time(tiny: Model, engine: Callable[[str], Build], tmp_path: Path) -> None:
    build = engine("import time; time.sleep(600)")
    plan, off = planned(tiny, build), threading.Event()

    def first() -> None:
        with pytest.raises(CancelledError):
            verify.verify(plan, tiny, ASKED, build, cancelled=off.is_set)

    thread = threading.Thread(target=first)
    thread.start()
    while not (tmp_path / "asked").exists():
        time.sleep(0.01)
    with pytest.raises(RigtuiError, match="another dry run"):
        verify.verify(plan, tiny, ASKED, build)
    off.set()
    thread.join()


@pytest.mark.parametrize("options", [OPTIONS - {"--log-jsonl"}, OPTIONS - {"--fit-target"}])
def test_a_build_without_dry_run_is_named(options: frozenset[str], tiny: Model) -> None:
    build = Build(engine="llama.cpp", label="llama-server b4000 (CUDA)", version="4000", argv=("/nowhere",), options=options)
    before = planned(tiny, build)
    assert verify.verified(before, PAIR, tiny, ASKED, [build]) == (
        before,
        "llama-server b4000 (CUDA) offers no dry run (it needs --fit-target and --log-jsonl); a newer llama-server does",
    )


def test_an_engine_that_is_gone_is_one_sentence(tiny: Model) -> None:
    build = Build(engine="llama.cpp", label="llama-server", version="7", argv=("/nowhere/llama-server",), options=OPTIONS)
    with pytest.raises(RigtuiError, match="could not start"):
        verify.verify(planned(tiny, build), tiny, ASKED, build)


def test_a_damaged_store_is_begun_anew(tiny: Model, engine: Callable[[str], Build]) -> None:
    build = engine(SAYS)
    verify.verify(planned(tiny, build), tiny, ASKED, build)
    path = dryrun_store._file()
    path.write_bytes(path.read_bytes()[:-20] + b"\xff\xff")
    assert verify.known().seen == ()
    assert planned(tiny, build).basis == "estimated"
