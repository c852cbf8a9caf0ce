"""The screen's services on this machine: the rest of rigtui behind the functions the screen calls."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from rigtui.engines.rooms import HOW_TO_GET, room
from rigtui.errors import DoesNotFitError, MissingError, RigtuiError
from rigtui.intent.profile import profile_of
from rigtui.planning import given_up
from rigtui.rig.process_facts import ProcessFacts, process_facts
from rigtui.rig.sampler import LOADING_S, REST_S, Sampler
from rigtui.runs import lost, memory, pending, verify, watch
from rigtui.runs.builds import builds_for, installed_builds
from rigtui.runs.live import LiveReader
from rigtui.runs.measure import Endpoint
from rigtui.runs.reading import current_rig
from rigtui.runs.state import LaunchRequest, RunState
from rigtui.tui import export_file, rig_files, tip_store
from rigtui.tui.chat import Chat
from rigtui.tui.kept_theme import keep_theme
from rigtui.tui.log_tail import PAGE_BYTES, PAGE_LINES, LogTail
from rigtui.tui.model_folders import add_folder
from rigtui.tui.profile_wiring import LocalProfiles
from rigtui.tui.services import Launch, Others, ScanReport, Services, Turn
from rigtui.tui.shelf_file import keep_shelf, read_shelf
from rigtui.tui.state import default_name

if TYPE_CHECKING:
    from rigtui.doctor.check import Check
    from rigtui.engines.engine import Build
    from rigtui.intent.intent import Intent, UseCase
    from rigtui.models.library import LibraryEntry
    from rigtui.models.model import Model
    from rigtui.planning.plan import Plan
    from rigtui.rig.rig import Gpu, Rig
    from rigtui.tui.exporting import ExportText

ENDED_SHOWN = 1
"""Ended runs that stay on screen: the last one, so that it can be seen why it ended."""


class Local:
    """This machine, or the rig of a rig file, seen through the command line's global options."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._args = args
        self._folders: tuple[str, ...] = tuple(getattr(args, "model_folders", ()))
        self._fixed: Rig | None = current_rig(args) if args.rig_file else None
        self.profiles = LocalProfiles(args)
        self._sampler = Sampler(engines=watch.engines_on_this_rig)

    def watch_rig(self, tell: Callable[[Rig], object]) -> Callable[[], None]:
        """What the cards hold, rigtui's own engines told apart; a rig file never changes and is told once."""
        if self._fixed is not None:
            tell(self._fixed)
            return lambda: None
        self._sampler.subscribe(tell)
        self._sampler.start()
        return self._sampler.stop

    def hurry(self, loading: bool) -> None:
        """Read more often while an engine loads."""
        self._sampler.interval_s = LOADING_S if loading else REST_S

    def gpus(self) -> tuple[Gpu, ...]:
        """The cards as they were last read."""
        rig = self._fixed or self._sampler.latest
        return rig.gpus if rig else ()

    def process(self, pid: int) -> ProcessFacts:
        """Whose a process is; a rig file's processes are not of this machine."""
        return ProcessFacts() if self._fixed is not None else process_facts(pid)

    def examine(self) -> tuple[Check, ...]:
        """Every check of the doctor's."""
        from rigtui.doctor.check_up import check_up

        return check_up(self._args)

    def use_cases(self) -> tuple[UseCase, ...]:
        """All of them."""
        from rigtui.intent.use_cases import load_use_cases

        return tuple(load_use_cases().values())

    def folders(self) -> tuple[str, ...]:
        """The folders the user named; read again every time, one may just have been added."""
        from rigtui.intent.config import load_config

        return (*self._folders, *load_config().models.folders)

    def model_folders(self) -> tuple[str, ...]:
        """Where models are looked for, for people."""
        from rigtui.models.places import places

        return tuple(place.label for place in places(self.folders())) or ("~/models (not there yet)",)

    def scan(self, report: ScanReport, cancelled: Callable[[], bool]) -> tuple[LibraryEntry, ...]:
        """Models in the user's folders and in the places other programs keep them."""
        from rigtui.models.library import scan

        return scan(self.folders(), report, cancelled)

    def last_used(self) -> dict[str, str]:
        """When each model was last run, from this rig's run directories, which keep the last ones of every model."""
        return {run.model_path: run.started for run in sorted(watch.all_runs(), key=lambda run: run.started)}

    def derive(self, rig: Rig, model: Model, intent: Intent, builds: tuple[Build, ...]) -> Plan:
        """The plan on this reading; what loading runs will still take counts as taken."""
        return memory.derive(self._with_pending(rig), model, intent, builds).plan

    def derive_others(self, rig: Rig, model: Model, intent: Intent, builds: tuple[Build, ...]) -> tuple[Plan, ...]:
        """What would work instead, the best first."""
        return memory.others(self._with_pending(rig), model, intent, builds)

    def _with_pending(self, rig: Rig) -> Rig:
        """A rig that is tried, or that of a rig file, has no runs of ours."""
        return rig if rig.simulated else pending.beside(rig, watch.live_runs())

    def can_verify(self, plan: Plan, builds: tuple[Build, ...]) -> bool:
        """On this machine's own cards, where the plan's engine offers a dry run."""
        # A plan for another file than the one that is shown was made from an earlier run: there is nothing to ask.
        idle = self._fixed is None and not self.profiles.tuning.locked() and all(reason.code != given_up.CODE for reason in plan.reasons)
        return idle and verify.can_verify(plan, next((build for build in builds if build.engine == plan.engine), None))

    def verify(self, plan: Plan, model: Model, intent: Intent, builds: tuple[Build, ...], cancelled: Callable[[], bool]) -> None:
        """Let the engine say what it would do with the plan."""
        build = next(build for build in builds if build.engine == plan.engine)
        verify.verify(plan, model, intent, build, cancelled=cancelled)

    def runs(self) -> tuple[RunState, ...]:
        """The live runs, and the last one that ended."""
        known = watch.all_runs()
        if not self._args.read_only:
            lost.keep(known)
        # The one that was seen alive last: one that began earlier may end later, or lose its supervisor.
        ended = sorted((run for run in known if not run.live), key=lambda run: run.heartbeat)[-ENDED_SHOWN:]
        return tuple(run for run in known if run.live or run in ended)

    def request(self, run: str) -> LaunchRequest | None:
        """What a run was launched with."""
        try:
            return watch.directory_of(watch.find_run(run)).read_request()
        except RigtuiError:
            return None

    def open_log(self, run: str) -> LogTail:
        """The end of a run's log."""
        state = watch.find_run(run)
        return LogTail(watch.directory_of(state), room(state.engine).readable)

    def open_lines(self, run: str) -> LogTail:
        """A run's log for its page."""
        state = watch.find_run(run)
        return LogTail(watch.directory_of(state), room(state.engine).readable, first_bytes=PAGE_BYTES, most_lines=PAGE_LINES)

    def launches_unasked(self, candidate: LibraryEntry) -> bool:
        """A model of a folder that the program itself brought, which any machine can run."""
        return any(candidate.path.startswith(f"{folder}{os.sep}") for folder in self._folders)

    def launch(
        self, candidate: LibraryEntry, intent: Intent, shown: Plan, others: Others, say: Callable[[str], object] = lambda _text: None
    ) -> Launch:
        """Derive again and launch. Raises RigtuiError when it does not fit any more or no engine is there."""
        from rigtui.runs.launch import launch

        if candidate.model is None:
            raise RigtuiError(candidate.error or f"{candidate.name} cannot be used")
        verify.wait_until_over()
        builds = builds_for(candidate.model, intent, say=say)
        rig = current_rig(self._args, replace=others == "replace")
        derived = memory.derive(rig, candidate.model, intent, builds, here=True)
        plan = derived.plan
        if plan.status == "no_fit":
            why = "; ".join(reason.text for reason in plan.reasons) or "it needs more memory than there is"
            raise DoesNotFitError(f"{candidate.name} does not fit the rig as it is now: {why}")
        build = next((build for build in builds if build.engine == plan.engine), None)
        if build is None:
            raise MissingError(HOW_TO_GET[plan.engine])
        request = LaunchRequest(
            plan=plan,
            intent=intent,
            build=build,
            model=candidate.model.name,
            profile=intent.profile,
            fingerprint=derived.model.fingerprint,
            given_up=derived.given_up,
            embedding=intent.use_case.embedding or derived.model.embedding_model,
            simulated=self._args.rig_file is not None,
            constraints=derived.constraints,
            rig_file=os.path.abspath(self._args.rig_file) if self._args.rig_file else None,  # noqa: PTH100 only made whole
            replace=others == "replace",
            beside=others == "beside",
        )
        launched = launch(request)
        if launched.attached:
            return Launch(launched.state.run, "this runs already; here it is")
        return Launch(launched.state.run, difference(shown, plan))

    def stop(self, run: str) -> None:
        """Ask a run to stop; the run's state says when it has."""
        watch.request_stop(watch.find_run(run))

    def take_step(self, run: str, number: int) -> None:
        """Ask a run to take another step of its ladder."""
        watch.request_step(watch.find_run(run), number)

    def ask(self, run: RunState, turns: tuple[Turn, ...]) -> Chat:
        """The running model's answer, asked for with the key it was launched with."""
        return Chat(Endpoint(run.host, run.port), run.model_id, turns, self._api_key(run))

    def open_live(self, run: RunState) -> LiveReader:
        """How a run works now."""
        return LiveReader(run, self._api_key(run))

    def _api_key(self, run: RunState) -> str | None:
        """The key it was launched with. Raises RigtuiError when its file cannot be read."""
        request = self.request(run.run)
        key = None
        if request is not None and request.api_key_file is not None:
            try:
                with open(request.api_key_file, encoding="utf-8") as stream:
                    key = stream.readline(4096).strip() or None
            except (OSError, UnicodeDecodeError) as error:
                raise RigtuiError(f"the API key file {request.api_key_file} cannot be read: {error}") from error
        return key

    def save_profile(self, name: str, candidate: LibraryEntry, intent: Intent, overwrite: bool) -> str:
        """Keep the choices as a profile of the user's."""
        from rigtui.intent.profiles import directories, save

        return str(save(profile_of(intent, name, candidate.ref), directories(self._args.profiles_dir)[0], overwrite=overwrite))

    def export(self, candidate: LibraryEntry, intent: Intent, plan: Plan) -> tuple[ExportText, ...]:
        """The choices in every format; paths in a models.conf are relative to the model's folder."""
        from rigtui.export import models_conf, writers
        from rigtui.export.exported import Exported
        from rigtui.intent.profile import dump
        from rigtui.tui.exporting import in_every_format

        profile = profile_of(intent, intent.profile or default_name(candidate, intent), candidate.ref)
        entries = [Exported(profile, plan)]
        options = models_conf.ConfOptions(gpus=self.gpus())

        def write(name: str) -> str:
            return models_conf.write(entries, options) if name == "models.conf" else writers.write(name, entries)

        return in_every_format(write, profile.name, dump(profile).decode("utf-8"))


def difference(shown: Plan, launched: Plan) -> str:
    """What a plan that was derived again does differently, one sentence; empty: nothing that matters."""
    changes = []
    if launched.status != shown.status:
        changes.append(f"it is {launched.status} now instead of {shown.status}")
    if launched.context != shown.context:
        changes.append(f"the context is {launched.context:,} tokens instead of {shown.context:,}")
    before, after = ([(device.device, device.layers) for device in plan.devices] for plan in (shown, launched))
    if before != after:
        changes.append("the layers lie differently")
    return f"the rig changed since the plan was made: {', '.join(changes)}" if changes else ""


def services(args: argparse.Namespace) -> Services:
    """The services for the command line's global options."""
    here = Local(args)
    return Services(
        watch_rig=here.watch_rig,
        hurry=here.hurry,
        read_use_cases=here.use_cases,
        find_builds=installed_builds,
        scan=here.scan,
        model_folders=here.model_folders,
        begins_with=getattr(args, "begins_with", None),
        read_shelf=read_shelf,
        keep_shelf=keep_shelf,
        last_used=here.last_used,
        keep_theme=keep_theme,
        add_folder=add_folder,
        derive=here.derive,
        derive_others=here.derive_others,
        read_rigs=rig_files.read,
        load_rig=rig_files.load,
        save_rig=rig_files.save,
        can_verify=here.can_verify,
        verify=here.verify,
        read_runs=here.runs,
        read_history=lambda: tuple(watch.all_runs()),
        read_request=here.request,
        open_log=here.open_log,
        open_lines=here.open_lines,
        open_live=here.open_live,
        launches_unasked=here.launches_unasked,
        launch=here.launch,
        stop=here.stop,
        take_step=here.take_step,
        ask=here.ask,
        save_profile=here.save_profile,
        read_process=here.process,
        examine=here.examine,
        profiles=here.profiles,
        export=here.export,
        write_export=export_file.write,
        read_tips=tip_store.read,
        keep_tips=tip_store.keep,
    )
