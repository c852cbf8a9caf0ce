"""Everything outside the screen, in memory: what it says, and what it was asked for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rigtui.doctor.check import Check
from rigtui.engines.engine import Build
from rigtui.engines.live import Live
from rigtui.errors import ExistsError, RigtuiError, UsageError
from rigtui.intent.intent import Intent
from rigtui.models.library import LibraryEntry
from rigtui.models.model import Model
from rigtui.planning.plan import Plan
from rigtui.rig.process_facts import ProcessFacts
from rigtui.rig.rig import Rig
from rigtui.runs.state import LaunchRequest, RunState
from rigtui.tui.exporting import ExportText, in_every_format
from rigtui.tui.services import Launch, LogLine, Others, SavedRig, Services, Turn
from rigtui.tui.shelf import Shelf
from rigtui.tui.tips import TIPS
from tui.fakes.checks import CHECKS
from tui.fakes.models import BUILD, MODELS, USE_CASES, candidates
from tui.fakes.plans import plan_for
from tui.fakes.profiles import FakeProfiles
from tui.fakes.runs import FakeAnswer, FakeLines, FakeLive, FakeLog, run_state


def failing(error: Exception) -> Callable[..., Any]:
    """A service that fails with this, whatever it is asked."""

    def fail(*_: object) -> Any:
        raise error

    return fail


class World:
    """What the fake services say, and what they were asked for."""

    def __init__(self, rig: Rig, models: tuple[LibraryEntry, ...] = candidates(*MODELS)) -> None:
        self.rig = rig
        self.models = models
        self.runs: tuple[RunState, ...] = ()
        self.exports: dict[str, str] = {}
        self.rigs: tuple[SavedRig, ...] = ()
        self.saved_rigs: dict[str, Rig] = {}
        self.history: tuple[RunState, ...] = ()
        self.requests: dict[str, LaunchRequest] = {}
        self.log: tuple[str, ...] = ()
        self.lines: list[LogLine] = []
        """Of the log's page; whatever is appended comes at the next look."""
        self.live: Live | None = None
        self.launched: list[tuple[str, Intent, Others]] = []
        self.stopped: list[str] = []
        self.asked: list[tuple[Turn, ...]] = []
        self.steps_taken: list[tuple[str, int]] = []
        self.saved: list[tuple[str, str, Intent]] = []
        self.hurried: list[bool] = []
        self.taken: set[str] = set()
        self.folders: list[str] = []
        self.themes: list[str] = []
        self.others: tuple[Plan, ...] = ()
        self.shelf = Shelf()
        self.used: dict[str, str] = {}
        self.processes: dict[int, ProcessFacts] = {}
        self.profiles = FakeProfiles()
        self.checks = CHECKS
        self.examined = 0
        self.own: set[str] = set()
        """Paths of the models that the program brought along."""
        self.launch_problem: str | None = None
        self.launch_says = ""
        self.launch_gate = threading.Event()
        self.launch_gate.set()
        self.tips: frozenset[str] = frozenset(TIPS)
        self.verifiable = False
        self.verified: list[Intent] = []
        """What dry runs have answered."""
        self.verify_calls = 0
        self.called_off = 0
        self.verify_gate = threading.Event()
        self.verify_problem: str | None = None
        self.begins_with: str | None = None
        self.derive_gate = threading.Event()
        self.derive_gate.set()

    def watch_rig(self, tell: Callable[[Rig], object]) -> Callable[[], None]:
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                tell(self.rig)
                ended.wait(0.05)

        threading.Thread(target=loop, daemon=True).start()
        return ended.set

    def derive(self, rig: Rig, chosen: Model, intent: Intent, builds: tuple[Build, ...]) -> Plan:
        self.derive_gate.wait(120)
        plan = plan_for(rig, chosen, intent, builds)
        return replace(plan, basis="verified") if intent in self.verified else plan

    def verify(self, plan: Plan, chosen: Model, intent: Intent, builds: tuple[Build, ...], cancelled: Callable[[], bool]) -> None:
        self.verify_calls += 1
        while not self.verify_gate.wait(0.01):
            if cancelled():
                self.called_off += 1
                raise RigtuiError("called off")
        if self.verify_problem:
            raise RigtuiError(self.verify_problem)
        self.verified.append(intent)

    def launch(self, candidate: LibraryEntry, intent: Intent, plan: Plan, others: Others, say: Callable[[str], object]) -> Launch:
        if self.launch_says:
            say(self.launch_says)
        self.launch_gate.wait(120)
        if self.launch_problem:
            raise RigtuiError(self.launch_problem)
        self.launched.append((candidate.path, intent, others))
        self.runs = (() if others == "replace" else self.runs) + (
            run_state("new1", "loading", model=candidate.name, model_path=candidate.path),
        )
        return Launch("new1")

    def ask(self, run: RunState, turns: tuple[Turn, ...]) -> FakeAnswer:
        self.asked.append(turns)
        return FakeAnswer()

    def export(self, candidate: LibraryEntry, intent: Intent, plan: Plan) -> tuple[ExportText, ...]:
        def write(name: str) -> str:
            if name == "sh":
                raise RigtuiError("this test's engine is not started by a command")
            return f"[{Path(candidate.path).stem}]\nMODEL={Path(candidate.path).name}\nCTX_SIZE={plan.context}\n"

        return in_every_format(write, "shared", '[profile]\nname = "shared"\n')

    def write_export(self, path: str, text: str, replaces: bool) -> str:
        if path in self.exports and not replaces:
            raise ExistsError(f"{path} is already there")
        self.exports[path] = text
        return path

    def load_rig(self, path: str) -> Rig:
        raise UsageError(f"cannot read {path}: No such file or directory")

    def save_rig(self, name: str, rig: Rig) -> str:
        self.saved_rigs[name] = rig
        return f"/config/rigs/{name}.toml"

    def stop(self, run: str) -> None:
        self.stopped.append(run)
        self.runs = tuple(replace(one, phase="stopped") if one.run == run else one for one in self.runs)

    def keep_shelf(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def examine(self) -> tuple[Check, ...]:
        self.examined += 1
        return self.checks

    def save(self, name: str, candidate: LibraryEntry, intent: Intent, overwrite: bool) -> str:
        if name in self.taken and not overwrite:
            raise ExistsError(f"there is a profile {name} already", "choose another name")
        self.saved.append((name, candidate.path, intent))
        return f"/config/profiles/{name}.toml"

    def keep_tips(self, tips: frozenset[str]) -> None:
        self.tips = tips

    def services(self) -> Services:
        """The services of this world."""
        return Services(
            watch_rig=self.watch_rig,
            hurry=self.hurried.append,
            read_use_cases=lambda: USE_CASES,
            find_builds=lambda: (BUILD,),
            scan=lambda report, cancelled: self.models,
            model_folders=lambda: ("~/models", "~/.cache/huggingface/hub", "~/.lmstudio/models"),
            read_shelf=lambda: self.shelf,
            keep_shelf=self.keep_shelf,
            last_used=lambda: self.used,
            keep_theme=self.themes.append,
            add_folder=self.folders.append,
            derive=self.derive,
            derive_others=lambda rig, model, intent, builds: self.others,
            read_rigs=lambda: self.rigs,
            load_rig=self.load_rig,
            save_rig=self.save_rig,
            can_verify=lambda plan, builds: self.verifiable and plan.basis == "estimated",
            verify=self.verify,
            read_runs=lambda: self.runs,
            read_history=lambda: (*self.history, *self.runs),
            read_request=self.requests.get,
            open_log=lambda run: FakeLog(self.log),
            open_lines=lambda run: FakeLines(self.lines),
            open_live=lambda run: FakeLive(lambda: self.live),
            launches_unasked=lambda candidate: candidate.path in self.own,
            launch=self.launch,
            stop=self.stop,
            ask=self.ask,
            take_step=lambda run, number: self.steps_taken.append((run, number)),
            save_profile=self.save,
            profiles=self.profiles,
            examine=self.examine,
            read_process=lambda pid: self.processes.get(pid, ProcessFacts()),
            export=self.export,
            write_export=self.write_export,
            read_tips=lambda: self.tips,
            keep_tips=self.keep_tips,
            begins_with=self.begins_with,
            run_interval_s=0.05,
            place_delay_s=0.0,
            verify_delay_s=0.02,
            live_interval_s=0.05,
        )
