"""The page of the profiles: the list, what each is, and what its runs measured."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult, SuspendNotSupported
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.errors import RigtuiError
from rigtui.text import clean
from rigtui.tui import profile_tasks as tasks
from rigtui.tui.actions import BY_ID
from rigtui.tui.bindings import bindings, key_words, keys_of, offered
from rigtui.tui.messages import ExportReady, Noted, NotRestored, ProfileLoaded, ProfilesRead, ProfileStored, ProfileText, ResultsRead
from rigtui.tui.plot_text import METRICS, plot
from rigtui.tui.profile_text import about_profile, not_measured, profile_row, removed_text, results_table
from rigtui.tui.rows import literal, middle, wrapped
from rigtui.tui.screens.dialogs import LineScreen
from rigtui.tui.screens.edit import EditScreen
from rigtui.tui.screens.export import ExportScreen
from rigtui.tui.screens.page import Page

if TYPE_CHECKING:
    from rigtui.tui.services import LoadedProfile, ProfileRow, RemovedProfile, Services

NEED_THE_MODEL = ("profiles.load", "profiles.export", "profiles.tune")
"""Actions that do nothing for a profile whose model is not here."""


class ProfilesPage(Page):
    """Profiles in a list; below it the one under the cursor with its results."""

    PLACE = "profiles"
    BINDINGS = bindings("profiles", "page")

    def __init__(
        self,
        services: Services,
        use: Callable[[LoadedProfile], object],
        create: Callable[[], object],
        gone: list[RemovedProfile],
        forget: Callable[[Sequence[str]], object],
    ) -> None:
        """`use` makes a profile the choice of the cockpit, `create` keeps its choices as a new one; `gone`: what was deleted since the
        program began, which can be brought back; `forget` is told the names of what is deleted now."""
        super().__init__(services)
        self._gone, self._forget = gone, forget
        self._store, self._use, self._create = services.profiles, use, create
        self._plotted: int | None = None
        """Which of the metrics is drawn; None: the table."""
        self._rows: tuple[ProfileRow, ...] = ()
        self._removed: list[str] = []
        self._wanted: str | None = None
        self._results: dict[str, ResultsRead] = {}

    def parts(self) -> ComposeResult:
        """List, and what belongs to the profile under the cursor."""
        rows = OptionList(id="profiles", classes="panel list", markup=False)
        rows.border_title = "Profiles · reading …"
        yield rows
        with VerticalScroll(id="profile", classes="panel details", can_focus=False) as about:
            about.border_title = "Profile"
            yield Static("", id="profile-text", classes="details-text", markup=False)
        with VerticalScroll(id="results", classes="panel") as results:
            results.border_title = "Results"
            yield Static("", id="results-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Read them."""
        self.query_one(OptionList).focus()
        self._read()

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self.call_after_refresh(self._list)

    async def on_unmount(self) -> None:
        """What was removed is deleted now, and can be brought back as long as the program runs."""
        if not self._removed:
            return
        # Background work of this page ends with it, this has to be done: leaving waits for it, the screens that stay do not.
        removed, problems = await asyncio.to_thread(tasks.remove, self._store, tuple(self._removed))
        for problem in problems:
            self.app.notify(clean(problem), title=tasks.TITLE, severity="error", timeout=12, markup=False)
        if removed:
            names = tuple(one.name for one in removed)
            self._gone += removed
            self._forget(names)
            self.app.notify(removed_text(names, keys_of(self)), title=tasks.TITLE, timeout=12, markup=False)

    def _do(self, work: Callable[..., None], *values: str) -> None:
        self.background("profiles", partial(work, self._store, self.post_message, *values))

    def _read(self) -> None:
        self._do(tasks.read)

    @on(ProfilesRead)
    def _profiles_read(self, event: ProfilesRead) -> None:
        # The user's own first, each part in its order.
        self._rows = tuple(sorted(event.rows, key=lambda row: row.shipped))
        self._removed = [name for name in self._removed if any(row.profile.name == name for row in event.rows)]
        self._list()
        for problem in event.problems:
            self.post_message(Noted(f"left out: {problem}", title=tasks.TITLE, failed=True))

    def _list(self) -> None:
        listed = self.query_one(OptionList)
        width = listed.scrollable_content_region.width - 2
        if width <= 0:
            return
        here = self._wanted or (self._here.profile.name if self._here is not None else None)
        at = listed.highlighted
        names = [row.profile.name for row in self._rows]
        listed.border_title = (
            f"Profiles · {len(names)}" if names else f"Profiles · none yet: {keys_of(self).shown('profile.save')} in the cockpit keeps one"
        )
        listed.set_options(Option(profile_row(row, width, removed=self._mark(row))) for row in self._rows)
        if names:
            listed.highlighted = names.index(here) if here in names else min(at or 0, len(names) - 1)
            self._wanted = None
        self._show_details()

    def _mark(self, row: ProfileRow) -> str:
        undo = keys_of(self).shown("profiles.undo")
        return f"removed, {undo} brings it back" if row.profile.name in self._removed else ""

    @property
    def _here(self) -> ProfileRow | None:
        return self.under_cursor(self._rows)

    @on(OptionList.OptionHighlighted)
    def _show_details(self) -> None:
        row = self._here
        if row is not None:
            name, width = row.profile.name, max(20, self.size.width - 6)
            if name not in self._results:
                self._results[name] = ResultsRead(name, ())
                self._do(tasks.results, name)
            self.query_one("#profile-text", Static).update(Content("\n").join(about_profile(row, width)))
            read = self._results[name]
            lines = wrapped(clean(read.problem), width, "$error") if read.problem else self._measured(row, read, width)
            self.query_one("#results-text", Static).update(Content("\n").join(lines))
        self.show_hints()
        self._show_titles()

    def _show_titles(self) -> None:
        """Whose the panels are, and the keys for what stands in them: a narrow line of keys has no room for all."""
        row, works = self._here, offered(self, self.useful())
        words = {"profiles.edit": "edits", "profiles.edit_outside": "in $EDITOR", "profiles.plot": "draws them"}
        said = {one: key_words(self, one, text) for one, text in words.items() if one in works}
        name = literal(middle(clean(row.profile.name), max(8, self.size.width - 40))) if row is not None else "Profile"
        edits = [said[one] for one in ("profiles.edit", "profiles.edit_outside") if one in said]
        self.query_one("#profile").border_title = " · ".join([name, *edits])
        self.query_one("#results").border_title = " · ".join(["Results", *([said["profiles.plot"]] if "profiles.plot" in said else [])])

    def _measured(self, row: ProfileRow, read: ResultsRead, width: int) -> list[Content]:
        found, said = read.results, []
        if not found:
            found = read.others
            said = not_measured(row, keys_of(self), width, others=bool(found))
        if not found or self._plotted is None:
            return [*said, *(results_table(found, width) if found else ())]
        height = self.query_one("#results").scrollable_content_region.height - len(said)
        return [*said, *plot(found, METRICS[self._plotted], width, height)]

    @on(ResultsRead)
    def _results_read(self, event: ResultsRead) -> None:
        self._results[event.name] = event
        self._show_details()

    def useful(self) -> tuple[str, ...]:
        """What can be done with the profile under the cursor."""
        found = ["profiles.new", *(["profiles.undo"] if self._removed or self._gone else [])]
        row = self._here
        if row is not None and row.profile.name not in self._removed:
            found += [one for one in NEED_THE_MODEL if row.model_state == "here" and not (one == "profiles.tune" and self._store.untunable)]
            found += ["profiles.duplicate", "profiles.edit", "profiles.edit_outside"]
            read = self._results.get(row.profile.name)
            found += ["profiles.plot"] if read is not None and (read.results or read.others) else []
            found += [] if row.shipped else ["profiles.rename", "profiles.remove"]
        return tuple(found)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs a model that is not here, or cannot be done from here, is not offered, but its keys say why."""
        row, refused = self._here, [BY_ID[one].method for one in offered(self, NEED_THE_MODEL)]
        if row is not None and row.profile.name not in self._removed and action in refused:
            return True
        return super().check_action(action, parameters)

    def _with_model(self) -> ProfileRow | None:
        """The profile under the cursor; where its model is not here, None, and what is to be done is told."""
        row = self._here
        if row is None or row.model_state == "here":
            return row
        self.post_message(Noted(row.missing or f"the model {row.profile.model} is {row.model_state}", title=tasks.TITLE, failed=True))
        return None

    @on(OptionList.OptionSelected)
    def _entered(self) -> None:
        if (row := self._here) is not None and row.profile.name not in self._removed:
            self.action_load()

    def action_load(self) -> None:
        """Make it the choice."""
        if (row := self._with_model()) is not None:
            self._do(tasks.load, row.profile.name)

    @on(ProfileLoaded)
    def _loaded(self, event: ProfileLoaded) -> None:
        self._use(event.loaded)
        self.dismiss(None)

    def action_duplicate(self) -> None:
        """Type a name for the copy."""
        self._ask_name("Copy a profile", "The copy's name.", tasks.duplicate)

    def action_rename(self) -> None:
        """Type another name."""
        self._ask_name("Rename a profile", "Its new name; the results go with it.", tasks.rename)

    def _ask_name(self, title: str, text: str, work: Callable[..., None]) -> None:
        row = self._here
        if row is None:
            return
        old = row.profile.name
        taken = {one.profile.name for one in self._rows if work is tasks.rename or not one.shipped or one.profile.name == old}

        def wrong(name: str) -> str | None:
            return "type a name" if not name.strip() else "this name is taken" if name.strip() in taken else None

        proposed = old if work is tasks.rename else next(name for at in count(2) if wrong(name := f"{old}-{at}") is None)
        self.app.push_screen(LineScreen(title, text, proposed, wrong, follow=partial(work, self._store, self.post_message, old)))

    @on(ProfileStored)
    def _stored(self, event: ProfileStored) -> None:
        self.post_message(Noted(event.text, title=tasks.TITLE))
        self.stored(event.name)

    def action_remove(self) -> None:
        """Mark it as removed; it is deleted when the page is left, and can be brought back even then."""
        if (row := self._here) is not None:
            self._removed.append(row.profile.name)
            self._list()

    def action_undo(self) -> None:
        """The last one that was removed is back."""
        if self._removed:
            self._wanted = self._removed.pop()
            self._list()
        elif self._gone:
            self.background("profiles", partial(tasks.restore, self._store, self.post_message, self._gone.pop()))

    @on(NotRestored)
    def _not_restored(self, event: NotRestored) -> None:
        # Behind the others: it is not to be in their way.
        self._gone.insert(0, event.removed)
        self.post_message(Noted(event.problem, title=tasks.TITLE, failed=True))

    def action_plot(self) -> None:
        """The next metric, then the table again."""
        following = 0 if self._plotted is None else self._plotted + 1
        self._plotted = following if following < len(METRICS) else None
        self._show_details()

    def action_new(self) -> None:
        """Keep the cockpit's choices."""
        self._create()

    def stored(self, name: str) -> None:
        """A profile of this name was kept elsewhere: it is listed, with the cursor on it."""
        self._wanted = name
        self._results.pop(name, None)
        self._read()

    def action_edit(self) -> None:
        """Change its text here."""
        if (row := self._here) is not None:
            self._do(tasks.text, row.profile.name)

    @on(ProfileText)
    def _text_read(self, event: ProfileText) -> None:
        name, text = event.name, event.text
        if any(clean(line) != line.replace("\t", "    ") for line in text.splitlines()):
            # Neither may they reach the terminal, nor may the text be changed unasked.
            key = keys_of(self).shown("profiles.edit_outside")
            self.post_message(Noted(f"its text has control characters; {key} opens it in your editor", title=tasks.TITLE, failed=True))
            return
        self.app.push_screen(EditScreen(f"Edit {clean(name)}", text, lambda new: self._store.write(name, new)), self._edited)

    def _edited(self, where: str | None) -> None:
        if where is not None:
            self.post_message(Noted(f"stored in {where}", title=tasks.TITLE))
            self._read()

    def action_edit_outside(self) -> None:
        """Change it in the user's own editor, which gets the terminal meanwhile."""
        if (row := self._here) is None:
            return
        where, problem = None, ""
        try:
            with self.app.suspend():
                # Caught inside: Textual 8.2.8 does not take the terminal back from what is raised out of here.
                try:
                    where = self._store.edit_outside(row.profile.name)
                except RigtuiError as error:
                    problem = str(error)
        except SuspendNotSupported:
            problem = f"an editor cannot be opened from here; {keys_of(self).shown('profiles.edit')} edits on this screen"
        if problem:
            self.post_message(Noted(problem, title=tasks.TITLE, failed=True))
        self._edited(where)

    def action_tune(self) -> None:
        """Its tuning; what was saved or measured there is seen here afterwards."""
        from rigtui.tui.screens.tune import TunePage

        if self._store.untunable:
            self.post_message(Noted(self._store.untunable, title=tasks.TITLE, failed=True))
        elif (row := self._with_model()) is not None:
            name = row.profile.name
            self.app.push_screen(TunePage(self.services, name), lambda _: self.stored(name))

    def action_export(self) -> None:
        """Show it as other tools take it."""
        if (row := self._with_model()) is not None:
            self._do(tasks.export, row.profile.name)

    @on(ExportReady)
    def _export_ready(self, event: ExportReady) -> None:
        self.app.push_screen(ExportScreen(event.texts, self.services.write_export))
