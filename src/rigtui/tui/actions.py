"""Every action of the screen, once: key bindings, hints, palette, help and the user's keymap are made from this list. Pure."""

from __future__ import annotations

from msgspec import Struct


class Action(Struct, frozen=True):
    """Something a key does."""

    id: str
    """Stable name, `group.verb`; a keymap refers to it."""
    keys: str
    """Textual's names, comma separated; the first is the one shown."""
    method: str
    """The action method, with arguments where it takes some."""
    hint: str
    """One or two words for the hint line."""
    help: str
    """One sentence for help and palette."""
    rank: int = 9
    """Place in the hint line: low ones stay where it is narrow, what stands in its row of the choices goes early; 9 stays out of it."""
    screen: str = "cockpit"
    """Where it works: one of PLACES."""


PLACES = {
    "cockpit": "Cockpit",
    "models": "Models: the list",
    "choices": "Choices: what can be turned",
    "cards": "VRAM: who holds it",
    "doctor": "Doctor",
    "profiles": "Profiles",
    "tune": "Tune: trials of a profile",
    "runs": "Runs",
    "compare": "Compare",
    "log": "Log",
    "page": "Every page",
    "card_choice": "Cards, their order and their headroom",
    "text": "A text",
    "edit": "A profile's text",
    "export": "An export",
    "dialog": "Dialogs",
    "line": "An entry",
    "app": "Everywhere",
}
"""Where an action can work -> its title in the help. `page` is for what works on every page over the cockpit, `app` everywhere."""

ACTIONS: tuple[Action, ...] = (
    Action(
        "engine.launch",
        "l",
        "launch",
        "launch",
        "Launch the engine as the plan says. With an engine running it asks: replace it, or run beside it.",
        rank=1,
    ),
    Action("engine.stop", "s", "stop", "stop", "Stop the run that is shown. Leaving rigtui never stops one.", rank=1),
    Action("engine.ask", "a", "ask", "ask", "Talk to the running model: each answer as it arrives, with what it cost.", rank=2),
    Action("engine.copy", "y", "copy_curl", "copy curl", "Copy a curl command for the running model.", rank=4),
    Action(
        "engine.log",
        "o",
        "open_log",
        "log",
        "Everything the engine said: followed, searched, filtered, and the line that explains a failure.",
        rank=4,
    ),
    Action(
        "engine.runs",
        "R,shift+r",
        "open_runs",
        "runs",
        "All runs on this rig: their attempts, how they work now, and their peaks beside the plan.",
        rank=5,
    ),
    Action("engine.next", "n", "next_run", "next run", "Show the next of the runs on this rig."),
    Action("model.filter", "slash", "filter", "filter", "Filter the models as you type; Escape shows all again.", rank=3),
    Action("model.favourite", "asterisk", "favourite", "favourite", "Make the model a favourite, or no more; they come first.", rank=8),
    Action("model.sort", "S,shift+s", "sort", "sort", "Order the models by last use, name, size or speed on this rig.", rank=8),
    Action("model.group", "g", "group", "group", "Group the models by folder, by family, or not at all.", rank=8),
    Action("model.folder", "f", "add_folder", "add folder", "Add a folder with models; it is kept in config.toml.", rank=6),
    Action("model.rescan", "f5", "rescan", "search again", "Search the model folders and the engines again."),
    Action("plan.use_case", "u", "use_case(1)", "use case", "The next use case: how much context, how many requests at once.", rank=8),
    Action("plan.use_case_back", "U,shift+u", "use_case(-1)", "use case", "The use case before."),
    Action("plan.context_less", "left_square_bracket", "context(-1)", "context", "Less context: the next power of two below."),
    Action(
        "plan.context_more",
        "right_square_bracket",
        "context(1)",
        "context",
        "More context: the next power of two above, up to what the model was trained for.",
    ),
    Action("plan.context_exact", "equals_sign", "context_exact", "exact", "Type the context per request in tokens."),
    Action(
        "plan.kv_type",
        "k",
        "kv_type(1)",
        "KV type",
        "A smaller KV cache: room for more context, at some loss of quality; after the smallest f16, then rigtui decides again.",
        rank=8,
    ),
    Action("plan.kv_type_back", "K,shift+k", "kv_type(-1)", "KV type", "The KV cache type before."),
    Action(
        "plan.what_if",
        "w",
        "what_if",
        "what if",
        "Try other slots, cards and their order, headroom or micro-batch: arrows turn, Enter sets, Backspace gives it back.",
        rank=8,
    ),
    Action("plan.scroll", "greater_than_sign", "scroll_plan(1)", "plan", "Read on in the plan, wherever the keys go."),
    Action("plan.scroll_back", "less_than_sign", "scroll_plan(-1)", "plan", "Back in the plan."),
    Action("plan.compare", "c", "compare", "compare", "Put this plan beside kept ones and beside what would work instead.", rank=5),
    Action("plan.take_1", "1", "take_alternative(1)", "instead 1", "Take the plan that the panel names first under `instead`."),
    Action("plan.take_2", "2", "take_alternative(2)", "instead 2", "Take the second one; undo gives the decision back."),
    Action("plan.take_3", "3", "take_alternative(3)", "instead 3", "Take the third one."),
    Action("plan.take_4", "4", "take_alternative(4)", "instead 4", "Take the fourth one."),
    Action(
        "rig.other",
        "G,shift+g",
        "other_rig",
        "other rig",
        "Plan for another rig: a card more or less, a saved rig, a rig file; and back to this machine.",
        rank=7,
    ),
    Action("plan.reset", "r", "reset", "undo mine", "Take back your own changes; rigtui decides again.", rank=2),
    Action("tips.hide", "h", "hide_tips", "hide", "Hide the first steps above the keys for good.", screen="cockpit"),
    Action("profile.save", "p", "save_profile", "save profile", "Keep model, use case and your changes under a name.", rank=5),
    Action(
        "profile.export",
        "x",
        "export",
        "export",
        "Show the choices in other tools' formats, as a shell script, or as a profile to share.",
        rank=2,
    ),
    Action(
        "cards.open",
        "v",
        "open_cards",
        "VRAM",
        "Who holds the memory of every card, since when, and the command that frees it. A click on the bars opens it, too.",
        rank=2,
    ),
    Action("cards.copy", "y", "copy", "copy command", "Copy the command that frees this memory.", rank=1, screen="cards"),
    Action(
        "doctor.open",
        "d",
        "open_doctor",
        "doctor",
        "Is this rig ready: driver, cards, engines, disk and system, each with the command that mends it.",
        rank=6,
    ),
    Action("doctor.copy", "y", "copy", "copy command", "Copy the command that mends this.", rank=1, screen="doctor"),
    Action("doctor.again", "r,f5", "again", "examine again", "Look at everything again.", rank=2, screen="doctor"),
    Action(
        "profiles.open",
        "P,shift+p",
        "open_profiles",
        "profiles",
        "Your profiles and the ones rigtui ships: load, tune, copy, rename, remove, export, and what their runs measured.",
        rank=5,
    ),
    Action(
        "profiles.load",
        "enter",
        "load",
        "load",
        "Make this profile's model, use case and settings the choices of the cockpit.",
        rank=1,
        screen="profiles",
    ),
    Action(
        "profiles.duplicate",
        "c",
        "duplicate",
        "copy",
        "Store the profile once more under another name, to change the copy.",
        rank=3,
        screen="profiles",
    ),
    Action("profiles.rename", "n", "rename", "rename", "Give the profile another name; its results go with it.", rank=4, screen="profiles"),
    Action(
        "profiles.remove",
        "delete,backspace",
        "remove",
        "remove",
        "Remove the profile; it is deleted when this page is left, until then z brings it back.",
        rank=4,
        screen="profiles",
    ),
    Action("profiles.new", "a", "new", "new", "Keep the cockpit's choices as a new profile.", rank=5, screen="profiles"),
    Action("profiles.edit", "e", "edit", "edit", "Change the profile's text here.", rank=3, screen="profiles"),
    Action(
        "profiles.edit_outside", "E,shift+e", "edit_outside", "$EDITOR", "Change the profile in your own editor.", rank=6, screen="profiles"
    ),
    Action(
        "profiles.plot",
        "v",
        "plot",
        "plot",
        "Draw the results: speed, context and peaks, run by run; then the table again.",
        rank=2,
        screen="profiles",
    ),
    Action("profiles.undo", "z", "undo", "undo", "Bring back the profile that was removed last.", rank=1, screen="profiles"),
    Action(
        "profiles.export",
        "x",
        "export",
        "export",
        "Show the profile in other tools' formats or as a shell script, to copy or to write to a file.",
        rank=3,
        screen="profiles",
    ),
    Action(
        "profiles.tune",
        "T,shift+t",
        "tune",
        "tune",
        "Try what the profile leaves open (cards, KV type, micro-batch, headroom) and keep what serves best.",
        rank=3,
        screen="profiles",
    ),
    Action("tune.start", "enter", "start", "start", "Run the trials that are left, one after the other.", rank=1, screen="tune"),
    Action("tune.stop", "s", "stop", "stop", "Stop the trial that is going on; what was measured stays.", rank=1, screen="tune"),
    Action("tune.save", "p", "save", "save best", "Write the best settings into the profile.", rank=2, screen="tune"),
    Action("tune.plot", "v", "plot", "plot", "Draw the whole request, decode, prefill or the first token.", rank=3, screen="tune"),
    Action("tune.anew", "n", "anew", "anew", "Begin anew; the trials so far stay in the results.", rank=4, screen="tune"),
    Action("runs.show", "enter", "show", "show", "Show this run in the cockpit.", rank=1, screen="runs"),
    Action("runs.log", "o", "log", "log", "Everything its engine said.", rank=1, screen="runs"),
    Action("runs.stop", "s", "stop", "stop", "Stop this run.", rank=2, screen="runs"),
    Action("runs.copy", "y", "copy", "copy URL", "Copy the base URL for clients.", rank=3, screen="runs"),
    Action("compare.left", "left", "column(-1)", "column", "The plan to the left.", screen="compare"),
    Action("compare.right", "right", "column(1)", "column", "The plan to the right.", rank=2, screen="compare"),
    Action("compare.keep", "p", "keep", "keep this plan", "Keep the present plan to compare others with it.", rank=1, screen="compare"),
    Action("compare.take", "enter", "take", "choose it", "Make this plan the choice.", rank=1, screen="compare"),
    Action("compare.drop", "delete,backspace", "drop", "let go", "Keep this plan no more.", rank=2, screen="compare"),
    Action("log.pause", "space", "pause", "pause", "Stand still, or follow the newest lines again.", rank=1, screen="log"),
    Action(
        "log.why",
        "e",
        "why",
        "why it failed",
        "Go to the line that explains the failure; again for the one of the attempt before.",
        rank=1,
        screen="log",
    ),
    Action("log.search", "slash", "search", "search", "Search; Enter finds the next.", rank=2, screen="log"),
    Action("log.next", "n", "find(1)", "next", "The next line with what was searched for.", rank=3, screen="log"),
    Action("log.previous", "N,shift+n", "find(-1)", "previous", "The line before with it.", rank=4, screen="log"),
    Action("log.filter", "f", "filter", "filter", "Show only lines with these words.", rank=2, screen="log"),
    Action("log.level", "v", "level", "level", "All lines, warnings and errors, or errors only.", rank=2, screen="log"),
    Action("log.copy", "y", "copy", "copy line", "Copy the line under the cursor.", rank=3, screen="log"),
    Action("log.copy_all", "Y,shift+y", "copy_all", "copy all", "Copy what is shown, at most the last 2,000 lines.", rank=5, screen="log"),
    Action("log.up", "up,k", "move(-1)", "up", "The line above.", screen="log"),
    Action("log.down", "down,j", "move(1)", "down", "The line below.", screen="log"),
    Action("log.page_up", "pageup", "page(-1)", "page up", "A page back.", screen="log"),
    Action("log.page_down", "pagedown", "page(1)", "page down", "A page on.", screen="log"),
    Action("log.top", "home", "ends(-1)", "first", "The first line that is kept.", screen="log"),
    Action("log.end", "end", "ends(1)", "last", "The last line; new ones are followed again.", screen="log"),
    Action("page.close", "escape,q", "close", "back", "Back to the cockpit.", rank=0, screen="page"),
    Action("app.theme", "t", "change_theme", "theme", "Choose the colours.", rank=8, screen="app"),
    Action(
        "app.screenshot",
        "f12",
        "save_screen",
        "SVG screenshot",
        "Save a picture of the screen as SVG, in your folder of pictures or downloads.",
        screen="app",
    ),
    Action("app.help", "question_mark,f1", "help", "help", "What every key does.", rank=0, screen="app"),
    Action("app.quit", "q,ctrl+q", "leave", "quit", "Leave. Engines keep running; rigtui finds them again.", rank=0, screen="app"),
    Action("models.up", "up", "cursor(-1)", "up", "The model above.", screen="models"),
    Action("models.down", "down", "cursor(1)", "down", "The model below.", screen="models"),
    Action("models.page_up", "pageup", "page(-1)", "page up", "As many models up as are seen at once.", screen="models"),
    Action("models.page_down", "pagedown", "page(1)", "page down", "As many models down as are seen at once.", screen="models"),
    Action("models.first", "home", "cursor(-1000000)", "first", "The first model.", screen="models"),
    Action("models.last", "end", "cursor(1000000)", "last", "The last model.", screen="models"),
    Action("choices.up", "up", "cursor(-1)", "up", "The row above.", screen="choices"),
    Action("choices.down", "down", "cursor(1)", "down", "The row below; below the last one stand the further choices.", screen="choices"),
    Action("choices.less", "left", "turn(-1)", "less", "The next value below.", rank=0, screen="choices"),
    Action("choices.more", "right,space", "turn(1)", "more", "The next value above.", rank=0, screen="choices"),
    Action("choices.type", "enter", "open", "type", "Type an exact value, or choose the cards.", rank=0, screen="choices"),
    Action("choices.back", "escape", "back", "back", "Back to the models.", rank=0, screen="choices"),
    Action(
        "choices.give_back", "backspace,delete", "give_back", "give back", "Let rigtui decide this one again.", rank=0, screen="choices"
    ),
    Action("card_choice.take", "space", "take", "in or out", "Take the card in or out.", screen="card_choice"),
    Action("card_choice.earlier", "plus,shift+up", "move(-1)", "earlier", "Move the card up in the order.", screen="card_choice"),
    Action("card_choice.later", "minus,shift+down", "move(1)", "later", "Move the card down in the order.", screen="card_choice"),
    Action("card_choice.less", "left", "headroom(-1)", "less headroom", "Leave less free on this card.", screen="card_choice"),
    Action("card_choice.more", "right", "headroom(1)", "more headroom", "Leave more free on this card.", screen="card_choice"),
    Action("edit.store", "ctrl+s", "store", "store", "Store the text, if it is valid.", screen="edit"),
    Action("export.format", "f", "format", "format", "The next format.", screen="export"),
    Action("export.write", "w", "write", "write", "Write it to a file.", screen="export"),
    Action("text.close", "enter", "close", "close", "Done reading.", screen="text"),
    Action("text.copy", "y", "copy", "copy", "Copy the text.", screen="text"),
    Action("dialog.close", "escape,q", "close", "close", "Close without a choice.", screen="dialog"),
    Action("line.close", "escape", "close", "close", "Close without an entry.", screen="line"),
)
BY_ID = {action.id: action for action in ACTIONS}


def called(method: str, parameters: tuple[object, ...]) -> str:
    """A call as the registry spells it: `context(-1)`."""
    return f"{method}({', '.join(map(str, parameters))})" if parameters else method
