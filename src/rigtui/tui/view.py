"""Small pieces of text the cockpit shows beside the plan: choices, remarks. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING

from msgspec.structs import replace

from rigtui.text import clean
from rigtui.tui import whatif
from rigtui.tui.shelf import SORT_WORDS, Section
from rigtui.tui.state import Cockpit, context_now
from rigtui.tui.widgets.choices import ChoiceRow
from rigtui.tui.widgets.model_rows import ModelRow, row_of, shown_name

if TYPE_CHECKING:
    from rigtui.models.library import LibraryEntry
    from rigtui.rig.rig import Rig


def choice_rows(state: Cockpit) -> tuple[ChoiceRow, ...]:
    """Use case, context and KV type as they are now."""
    use_case, plan, keys = state.chosen_use_case, state.plan, state.keys
    if use_case is None:
        return ()
    context = context_now(state)
    kv = state.overrides.kv_type or (plan.kv_type if plan else None)
    wanted = f"wants {use_case.context:,}" if use_case.context else "wants the model's own"
    return (
        ChoiceRow(
            name="use_case", label="use case", value=use_case.name, note=clean(use_case.description), keys=keys.shown("plan.use_case")
        ),
        ChoiceRow(
            name="context",
            label="context",
            value=f"{context:,}" if context else "–",
            note=f"{use_case.name} {wanted}",
            yours=state.overrides.context is not None,
            keys=" ".join(keys.shown(f"plan.context_{way}") for way in ("less", "more", "exact")),
        ),
        ChoiceRow(
            name="kv_type",
            label="KV type",
            value="–" if kv is None else kv[0] if kv[0] == kv[1] else f"{kv[0]}/{kv[1]}",
            yours=state.overrides.kv_type is not None,
            note="allowed: " + ", ".join(use_case.kv_types),
            keys=keys.shown("plan.kv_type"),
        ),
        *what_if_rows(state),
    )


def what_if_rows(state: Cockpit) -> tuple[ChoiceRow, ...]:
    """Slots, cards, headroom and micro-batch as they are now; without cards only what means something then."""
    own, cards = state.overrides, whatif.cards_now(state)
    slots = whatif.slots_now(state)
    rows = [
        ChoiceRow(
            name="slots",
            label="slots",
            value=f"{slots:,}",
            yours=own.parallel is not None,
            note="requests at once",
            keys=state.keys.shown("plan.what_if"),
            more=True,
        ),
    ]
    if cards:
        names = ",".join(str(card.index) for card in cards)
        headroom = whatif.headroom_now(state, cards)
        shown = f"{headroom[0]:,}" if len(set(headroom)) == 1 else ",".join(map(str, headroom))
        order = "in this order" if own.gpus and len(cards) > 1 else "may be used"
        rows += [
            ChoiceRow(name="cards", label="cards", value=names, yours=own.gpus is not None, note=order, more=True),
            ChoiceRow(name="headroom", label="headroom", value=shown, yours=own.fit_target_mib is not None, note="MiB free", more=True),
        ]
    micro = f"{whatif.ubatch_now(state):,}"
    ubatch = ChoiceRow(name="ubatch", label="ubatch", value=micro, yours=own.ubatch is not None, note="tokens a step", more=True)
    own_engine = state.engine != "auto"
    engine = state.engine if own_engine or state.plan is None else state.plan.engine
    runs_it = ChoiceRow(name="engine", label="engine", value=engine, yours=own_engine, note="what runs it", more=True)
    return (*rows, ubatch, runs_it)


def basis(state: Cockpit) -> str:
    """What the plan rests on: rigtui's arithmetic, the engine's own word, or an earlier run."""
    if state.plan is None:
        return ""
    if state.verifying:
        return f"{state.plan.basis}, the engine is being asked …"
    if state.verify_problem and state.plan.basis == "estimated":
        return f"estimated: {clean(state.verify_problem)}"
    return state.plan.basis


def profile_of(state: Cockpit) -> tuple[str, bool]:
    """The profile that was loaded or saved last, as long as its model is chosen, and whether anything was changed since; empty: none."""
    name, choice = state.saved or ("", None)
    return (clean(name), choice != state.choice) if choice is not None and choice[0] == state.selected else ("", False)


def models_subtitle(state: Cockpit) -> str:
    """How many models there are, or how the search goes."""
    if state.scanning:
        return f"searching, {state.scanned:,} seen"
    count = len(state.candidates)
    if not count:
        return ""
    return f"{count} model{'s' if count != 1 else ''}"


def models_title(state: Cockpit) -> str:
    """What the list is, and its order and groups where they are not the usual ones."""
    sort, group = state.shelf.sort, state.shelf.group
    order = "" if sort == "used" else f" · by {SORT_WORDS[sort]}"
    return f"Models{order}{' · by family' if group == 'family' else ''}"


def model_groups(state: Cockpit, sections: Sequence[Section], running: Sequence[str]) -> tuple[tuple[str, tuple[ModelRow, ...]], ...]:
    """The sections as titles and rows."""
    names = Counter(shown_name(entry) for section in sections for entry in section.entries)
    return tuple((section.title, tuple(_model_row(state, entry, running, names) for entry in section.entries)) for section in sections)


def _model_row(state: Cockpit, entry: LibraryEntry, running: Sequence[str], names: Counter[str]) -> ModelRow:
    found = state.placements.get(entry.path)
    row = row_of(
        entry,
        placement=found,
        current=found is not None and found.choice >= state.surveyed,
        favourite=entry.ref in state.shelf.favourites,
        running=entry.path in running,
    )
    if names[row.name] == 1:
        return row
    # Two files of one name in their metadata: where they lie tells them apart.
    path = PurePath(entry.path)
    return replace(row, name=f"{row.name} · {clean(f'{path.parent.name}/{path.name}')}")


def remark(state: Cockpit) -> str:
    """One line below the bars, for what the bars alone would not tell."""
    rig = state.rig
    if rig is None:
        return "Reading the cards …"
    if state.machine is not None:
        return f"Simulated: what if this were {clean(rig.name)}? Nothing is launched on it; {state.keys.shown('rig.other')} goes back."
    if on_cpu := _on_cpu(state, rig):
        return on_cpu
    if rig.platform == "wsl2":
        return "WSL: the driver names no processes here; unknown is what Windows and other WSL programs hold."
    return ""


def _on_cpu(state: Cockpit, rig: Rig) -> str:
    """Why no GPU is used at all; empty: one can be."""
    doctor = state.keys.shown("doctor.open")
    if (rig.problem or not rig.gpus) and state.candidates:
        return f"No GPU can be used, models run on the CPU; {doctor} says why."
    if rig.problem or not rig.gpus:
        head = f"No GPU can be used: {clean(rig.problem)}" if rig.problem else "This rig has no GPU"
        return f"{head}. Models run on the CPU; `{state.program} demo` shows a rig with cards."
    if state.plan is not None and not rig.simulated and any(warning.code == "cpu_build" for warning in state.plan.warnings):
        return f"The engine here sees no GPU, models run on the CPU; {doctor} says what mends it."
    return ""
