"""The page of the doctor: is this rig ready, and which command mends what is not."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from rigtui.doctor.check import WORDS
from rigtui.text import clean, counted
from rigtui.tui import tasks
from rigtui.tui.bindings import bindings
from rigtui.tui.messages import Examined, Noted
from rigtui.tui.rows import hang, wrapped
from rigtui.tui.screens.page import Page

if TYPE_CHECKING:
    from rigtui.doctor.check import Check
    from rigtui.tui.services import Services

COLORS = {"ok": "$success", "warn": "$warning", "fail": "$error", "unknown": "$foreground-muted"}
WORST_FIRST = ("fail", "warn", "unknown", "ok")


def check_row(check: Check, width: int) -> Content:
    """One line: the status as a word, and as much of the text as there is room for."""
    line = Content.assemble((f"{WORDS[check.status]:<9}", f"{COLORS[check.status]} bold"), clean(check.text))
    return line if line.cell_length <= width else line.truncate(width, ellipsis=True)


def check_lines(check: Check, width: int) -> list[Content]:
    """All of one check."""
    lines = wrapped(clean(check.text), width)
    if check.mend:
        lines += hang(Content.styled("$ ", "$accent bold"), clean(check.mend), width, "bold")
    return lines


def summary(checks: tuple[Check, ...]) -> str:
    """How it stands, in a few words."""
    counts = [(sum(check.status == status for check in checks), status) for status in WORST_FIRST]
    return ", ".join(counted(count, WORDS[status]) if status == "warn" else f"{count} {WORDS[status]}" for count, status in counts if count)


class DoctorPage(Page):
    """Every check in a list; below it the one under the cursor."""

    PLACE = "doctor"
    BINDINGS = bindings("doctor", "page")

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self._checks: tuple[Check, ...] = ()
        self._examining = False

    def parts(self) -> ComposeResult:
        """List and details."""
        yield OptionList(id="checks", classes="panel list", markup=False)
        with VerticalScroll(id="check", classes="panel details", can_focus=False) as details:
            details.border_title = "What mends it"
            yield Static("", id="check-text", classes="details-text", markup=False)

    def on_mount(self) -> None:
        """Examine at once."""
        self.query_one(OptionList).focus()
        self.action_again()

    def on_resize(self) -> None:
        """Lines are cut to the width."""
        self.call_after_refresh(self._list)

    def action_again(self) -> None:
        """Look at everything again."""
        if not self._examining:
            self._examining = True
            self._title("examining …")
            self.query_one("#check-text", Static).update("" if self._checks else "Examining driver, cards, engines and the system …")
            self.background("doctor", partial(tasks.examine, self.services, self.post_message))
        self.show_hints()

    def _title(self, text: str) -> None:
        self.query_one(OptionList).border_title = f"Doctor · {text}"

    @on(Examined)
    def _examined(self, event: Examined) -> None:
        self._examining = False
        self._checks = event.checks
        self._list()

    @on(Noted)
    def _failed(self, event: Noted) -> None:
        if event.failed:
            self._examining = False
            self._title("could not be examined")
            self.show_hints()

    def _list(self) -> None:
        rows = self.query_one(OptionList)
        width = rows.scrollable_content_region.width - 2
        if width <= 0 or not self._checks:
            return
        at = rows.highlighted
        rows.set_options(Option(check_row(check, width)) for check in self._checks)
        worst = min(range(len(self._checks)), key=lambda index: WORST_FIRST.index(self._checks[index].status))
        rows.highlighted = at if at is not None and at < len(self._checks) else worst
        self._title("examining …" if self._examining else summary(self._checks))
        self._show_details()

    @property
    def _here(self) -> Check | None:
        return self.under_cursor(self._checks)

    @on(OptionList.OptionHighlighted)
    def _show_details(self) -> None:
        check = self._here
        if check is not None:
            self.query_one("#check-text", Static).update(Content("\n").join(check_lines(check, max(20, self.size.width - 6))))
        self.show_hints()

    def useful(self) -> tuple[str, ...]:
        """Copy where there is a command; examine again when it is done."""
        check = self._here
        found = ["doctor.copy"] if check is not None and check.mend else []
        return (*found, *(() if self._examining else ("doctor.again",)))

    def action_copy(self) -> None:
        """Copy what mends this."""
        check = self._here
        if check is not None and check.mend:
            self.copy(check.mend)
