"""Every action of the screen, once: key bindings, hints, palette and help are made from this list."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct
from textual.binding import Binding, BindingType


class Action(Struct, frozen=True, kw_only=True):
    """Something a key does."""

    id: str
    """Stable name, `group.verb`; a keymap refers to it."""
    keys: str
    """Textual's names, comma separated; the first is the one shown."""
    shown: str
    """The key as people read it."""
    method: str
    """The action method, with arguments where it takes some."""
    hint: str
    """One or two words for the hint line."""
    help: str
    """One sentence for help and palette."""
    rank: int = 9
    """Place in the hint line; 9 stays out of it."""
    screen: str = "cockpit"
    """`cockpit` or a page's name; `page` for what works on every page, `app` for what works everywhere."""


ACTIONS: tuple[Action, ...] = (
    Action(
        id="engine.launch",
        keys="l",
        shown="l",
        method="launch",
        hint="launch",
        help="Launch the engine as the plan says. With an engine running it asks: replace it, or run beside it.",
        rank=1,
    ),
    Action(
        id="engine.stop",
        keys="s",
        shown="s",
        method="stop",
        hint="stop",
        help="Stop the run that is shown. Leaving rigtui never stops one.",
        rank=1,
    ),
    Action(
        id="engine.ask",
        keys="a",
        shown="a",
        method="ask",
        hint="ask",
        help="Ask the running model one test question and watch the answer arrive.",
        rank=2,
    ),
    Action(
        id="engine.copy",
        keys="y",
        shown="y",
        method="copy_curl",
        hint="copy curl",
        help="Copy a curl command for the running model.",
        rank=4,
    ),
    Action(id="engine.log", keys="o", shown="o", method="open_log", hint="log", help="Everything the engine said, full screen.", rank=4),
    Action(
        id="engine.next",
        keys="n",
        shown="n",
        method="next_run",
        hint="next run",
        help="Show the next of the runs on this rig.",
        rank=5,
    ),
    Action(
        id="model.filter",
        keys="slash",
        shown="/",
        method="filter",
        hint="filter",
        help="Filter the models as you type; Escape shows all again.",
        rank=3,
    ),
    Action(
        id="model.folder",
        keys="f",
        shown="f",
        method="add_folder",
        hint="add folder",
        help="Add a folder with models; it is kept in config.toml.",
        rank=6,
    ),
    Action(
        id="model.rescan",
        keys="f5",
        shown="F5",
        method="rescan",
        hint="search again",
        help="Search the model folders and the engines again.",
    ),
    Action(
        id="plan.use_case",
        keys="u",
        shown="u",
        method="use_case(1)",
        hint="use case",
        help="The next use case: how much context, how many requests at once.",
        rank=3,
    ),
    Action(
        id="plan.use_case_back",
        keys="U,shift+u",
        shown="U",
        method="use_case(-1)",
        hint="use case",
        help="The use case before.",
    ),
    Action(
        id="plan.context_less",
        keys="left_square_bracket",
        shown="[",
        method="context(-1)",
        hint="context",
        help="Less context: the next power of two below.",
    ),
    Action(
        id="plan.context_more",
        keys="right_square_bracket",
        shown="]",
        method="context(1)",
        hint="context",
        help="More context: the next power of two above, up to what the model was trained for.",
    ),
    Action(
        id="plan.context_exact",
        keys="equals_sign",
        shown="=",
        method="context_exact",
        hint="exact",
        help="Type the context per request in tokens.",
    ),
    Action(
        id="plan.kv_type",
        keys="k",
        shown="k",
        method="kv_type(1)",
        hint="KV type",
        help="The next KV cache type: smaller ones leave room for more context, at some loss of quality.",
        rank=4,
    ),
    Action(id="plan.kv_type_back", keys="K,shift+k", shown="K", method="kv_type(-1)", hint="KV type", help="The KV cache type before."),
    Action(
        id="plan.what_if",
        keys="w",
        shown="w",
        method="what_if",
        hint="what if",
        help="Try other slots, cards and their order, headroom or micro-batch: arrows turn, Enter sets, Backspace gives it back.",
        rank=4,
    ),
    Action(
        id="plan.reset",
        keys="r",
        shown="r",
        method="reset",
        hint="undo mine",
        help="Take back your own changes; rigtui decides again.",
        rank=2,
    ),
    Action(
        id="profile.save",
        keys="p",
        shown="p",
        method="save_profile",
        hint="save profile",
        help="Keep model, use case and your changes under a name.",
        rank=5,
    ),
    Action(
        id="profile.export",
        keys="x",
        shown="x",
        method="export",
        hint="export",
        help="Show the choices as a section of models.conf.",
        rank=5,
    ),
    Action(
        id="cards.open",
        keys="v",
        shown="v",
        method="open_cards",
        hint="VRAM",
        help="Who holds the memory of every card, since when, and the command that frees it. A click on the bars opens it, too.",
        rank=5,
    ),
    Action(
        id="cards.copy",
        keys="y",
        shown="y",
        method="copy",
        hint="copy command",
        help="Copy the command that frees this memory.",
        rank=1,
        screen="cards",
    ),
    Action(
        id="doctor.open",
        keys="d",
        shown="d",
        method="open_doctor",
        hint="doctor",
        help="Is this rig ready: driver, cards, engines, disk and system, each with the command that mends it.",
        rank=6,
    ),
    Action(
        id="doctor.copy",
        keys="y",
        shown="y",
        method="copy",
        hint="copy command",
        help="Copy the command that mends this.",
        rank=1,
        screen="doctor",
    ),
    Action(
        id="doctor.again",
        keys="r,f5",
        shown="r",
        method="again",
        hint="examine again",
        help="Look at everything again.",
        rank=2,
        screen="doctor",
    ),
    Action(
        id="profiles.open",
        keys="P,shift+p",
        shown="P",
        method="open_profiles",
        hint="profiles",
        help="Your profiles and the ones rigtui ships: load, copy, rename, remove, export, and what their runs measured.",
        rank=5,
    ),
    Action(
        id="profiles.load",
        keys="enter",
        shown="Enter",
        method="load",
        hint="load",
        help="Make this profile's model, use case and settings the choices of the cockpit.",
        rank=1,
        screen="profiles",
    ),
    Action(
        id="profiles.duplicate",
        keys="c",
        shown="c",
        method="duplicate",
        hint="copy",
        help="Store the profile once more under another name, to change the copy.",
        rank=3,
        screen="profiles",
    ),
    Action(
        id="profiles.rename",
        keys="n",
        shown="n",
        method="rename",
        hint="rename",
        help="Give the profile another name; its results go with it.",
        rank=4,
        screen="profiles",
    ),
    Action(
        id="profiles.remove",
        keys="delete,backspace",
        shown="Del",
        method="remove",
        hint="remove",
        help="Remove the profile; it is deleted when this page is left, until then z brings it back.",
        rank=4,
        screen="profiles",
    ),
    Action(
        id="profiles.undo",
        keys="z",
        shown="z",
        method="undo",
        hint="undo",
        help="Bring back the profile that was removed last.",
        rank=1,
        screen="profiles",
    ),
    Action(
        id="profiles.export",
        keys="x",
        shown="x",
        method="export",
        hint="export",
        help="Show the profile as a section of models.conf, to copy.",
        rank=3,
        screen="profiles",
    ),
    Action(id="page.close", keys="escape,q", shown="Esc", method="close", hint="back", help="Back to the cockpit.", rank=0, screen="page"),
    Action(
        id="app.theme",
        keys="t",
        shown="t",
        method="change_theme",
        hint="theme",
        help="Choose the colours.",
        rank=8,
        screen="app",
    ),
    Action(
        id="app.help",
        keys="question_mark,f1",
        shown="?",
        method="help",
        hint="help",
        help="What every key does.",
        rank=0,
        screen="app",
    ),
    Action(
        id="app.quit",
        keys="q,ctrl+q",
        shown="q",
        method="leave",
        hint="quit",
        help="Leave. Engines keep running; rigtui finds them again.",
        rank=0,
        screen="app",
    ),
)


def bindings(*screens: str) -> list[BindingType]:
    """The bindings of these screens (or of the app)."""
    return [
        Binding(action.keys, action.method, action.hint, show=False, key_display=action.shown, tooltip=action.help, id=action.id)
        for action in ACTIONS
        if action.screen in screens
    ]


def hints(allowed: Iterable[str], width: int) -> list[Action]:
    """The actions for the hint line: of those with these ids, the most needed ones that fit `width` cells, in the order of the list."""
    wanted = set(allowed)
    chosen: list[Action] = []
    room = width - 1
    for action in sorted((a for a in ACTIONS if a.id in wanted and a.rank < 9), key=lambda a: a.rank):
        need = len(action.shown) + len(action.hint) + 3
        if need <= room:
            chosen.append(action)
            room -= need
    return sorted(chosen, key=ACTIONS.index)
