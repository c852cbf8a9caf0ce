"""What the keys of the model list do, and the derivation for all models in the background: where would each go on this rig right now?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace
from textual import on

from rigtui.tui import shelf as sh
from rigtui.tui import state as st
from rigtui.tui import tasks
from rigtui.tui.messages import Placed, RigRead, ShelfRead
from rigtui.tui.plan_pace import needs_new_plan
from rigtui.tui.screens.base import CockpitBase
from rigtui.tui.view import model_groups, models_title
from rigtui.tui.widgets.picker import Groups, ModelPicker

if TYPE_CHECKING:
    from rigtui.rig.rig import Rig
    from rigtui.tui.shelf import Shelf

SURVEY_READINGS = 5
"""So many readings of the rig lie between two surveys that only its memory asks for, while no plan is asked for that would set the pace."""


class ModelActions(CockpitBase):
    """The part of the cockpit that lists models."""

    _asked_for: tuple[object, ...] | None = None
    """What the placements were asked for: models, use case, settings, builds."""
    _waiting = False
    """The choice changed since the last survey."""
    _placed_on: Rig | None = None
    _placing = 0
    """Request id of the last survey; answers to older ones are dropped."""
    _busy = False
    _readings = 0
    """Of the rig, since the last survey."""
    _listed: tuple[tuple[object, ...], Groups] = ((), ())
    """What the list was last made of, and the list: making it anew costs a key's worth of time with hundreds of models."""

    def survey(self) -> None:
        """Derive all models again where the choice changed, or what is free did."""
        state, rig, builds = self.state, self.state.ground, self.state.builds
        if rig is None or builds is None or state.scanning or state.chosen_use_case is None:
            return
        cards = tuple((gpu.uuid, gpu.name, gpu.error is None) for gpu in rig.gpus)
        asked_for = (rig.simulated, cards, state.candidates, state.chosen_use_case, state.overrides, state.engine, builds)
        if changed := asked_for != self._asked_for:
            self._asked_for, self._waiting = asked_for, True
            self.state = state = replace(state, survey=state.survey + 1)
        if self.deriving is not None:
            # The chosen model's plan goes first, its answer comes by here: two threads that compute take twice as long for each.
            if changed:
                self.workers.cancel_group(self, "place")
            return
        planned = self.pace.on is rig
        if not self._waiting:
            # While an engine loads the memory moves all the time; what is derived then is wrong before it is shown.
            moving = self._busy or any(run.phase in ("starting", "loading") for run in state.live_runs)
            due = planned or (not state.preview and self._readings >= SURVEY_READINGS)
            if moving or not due or not needs_new_plan(self._placed_on, rig):
                return
        self._waiting, self._placed_on, self._busy, self._readings = False, rig, True, 0
        self._placing += 1
        wanted = st.wanted_of_all(state)
        shown = [entry.path for section in self._sections() for entry in section.entries]
        # Where the chosen model goes is said by its plan, where that is of the same reading.
        own = state.placements.get(state.selected or "")
        answered = state.selected if planned and own is not None and own.choice == state.survey else None
        jobs = {path: wanted[path] for path in [state.selected or "", *shown] if path in wanted and path != answered}
        work = partial(tasks.place, self.services, self.post_message, self._placing, state.survey, rig, jobs, builds)
        self.background("place", work, exclusive=True)

    @on(RigRead)
    def _count_reading(self) -> None:
        self._readings += 1

    @on(Placed)
    def _placed(self, event: Placed) -> None:
        if event.stamp != self._placing:
            return
        self._busy = not event.done
        self.change(replace(self.state, placements=self.state.placements | event.placements, surveyed=self.state.survey))

    @on(ShelfRead)
    def _shelf_read(self, event: ShelfRead) -> None:
        self.change(replace(self.state, shelf=event.shelf, used=event.used))

    def _sections(self) -> tuple[sh.Section, ...]:
        state = self.state
        return sh.sections(sh.ordered(state.candidates, state.shelf, state.used_now, state.placements), state.shelf, state.used_now)

    def show_models(self, subtitle: str) -> None:
        """Bring the list up to the state."""
        state = self.state
        running = tuple(run.model_path for run in state.live_runs)
        key = (state.candidates, state.placements, state.surveyed, state.shelf, state.used_now, running)
        if key != self._listed[0]:
            self._listed = (key, model_groups(state, self._sections(), running))
        self.query_one(ModelPicker).show(self._listed[1], state.selected, state.shelf.sort, models_title(state), subtitle)

    def action_rescan(self) -> None:
        """Search the models again, and the engines."""
        self.background("prepare", partial(tasks.prepare, self.services, self.post_message))
        self.search_models()

    def action_add_folder(self) -> None:
        """Type a folder with models."""
        from rigtui.tui.screens.dialogs import LineScreen

        text = "A folder with GGUF files or safetensors folders; it is searched with everything below it."
        line = LineScreen(
            "Add a model folder",
            text,
            "",
            lambda folder: None if folder.strip() else "type a folder",
            follow=self.services.add_folder,
            example="such as ~/models",
        )
        self.app.push_screen(line, self._folder_added)

    def _folder_added(self, folder: str | None) -> None:
        if folder is not None:
            self.action_rescan()

    @on(ModelPicker.Picked)
    def _picked(self, event: ModelPicker.Picked) -> None:
        self.change(st.select(self.state, event.path), plan=True)

    @on(ModelPicker.Emptied)
    def _emptied(self, event: ModelPicker.Emptied) -> None:
        self.change(replace(self.state, hidden=event.empty))

    def action_filter(self) -> None:
        """Type to filter the models."""
        self.query_one(ModelPicker).open_filter()

    def action_favourite(self) -> None:
        """The chosen model becomes a favourite, or is none any more."""
        if self.state.candidate is not None:
            self._keep(sh.starred(self.state.shelf, self.state.candidate.ref))

    def action_sort(self) -> None:
        """The next order."""
        self._keep(sh.next_sort(self.state.shelf))

    def action_group(self) -> None:
        """The next grouping."""
        self._keep(sh.next_group(self.state.shelf))

    def _keep(self, shelf: Shelf) -> None:
        self.change(replace(self.state, shelf=shelf))
        self.keep("favourites", lambda: self.services.keep_shelf(self.state.shelf))
