"""The model picker: a list with a filter that works as you type."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.events import Key
from textual.message import Message
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from rigtui.models.library import LibraryEntry
from rigtui.text import clean
from rigtui.tui.rows import joined, middle, padded, size


def size_of(candidate: LibraryEntry) -> str:
    """`18.4 GiB`, or that it cannot be used."""
    return size(candidate.model.weights_bytes) if candidate.model else "unusable"


def shown_name(candidate: LibraryEntry) -> str:
    """The model's name, with its quantization where the name does not say it: two files of one model must read differently."""
    name, model = clean(candidate.name), candidate.model
    if model is None or not model.quantization or model.quantization.lower() in name.lower():
        return name
    return f"{name} {clean(model.quantization)}"


def option_text(candidate: LibraryEntry, width: int, two_lines: bool) -> Content:
    """A model in its row: name and size, and below what kind of model it is where there is room."""
    right = size_of(candidate)
    room = max(6, width - len(right) - 1)
    name = middle(shown_name(candidate), room)
    style = "" if candidate.model else "$foreground-muted"
    head = Content.assemble((padded(name, room), style), (f" {right}", "$foreground-muted"))
    if not two_lines:
        return head
    return Content.assemble(head, "\n", (_facts(candidate, width), "$foreground-muted" if candidate.model else "$warning"))


def _facts(candidate: LibraryEntry, width: int) -> str:
    """As many facts as there is room for, or why it cannot be used."""
    model = candidate.model
    if model is None:
        problem = "  " + clean(candidate.error or "cannot be used")
        return problem if len(problem) <= width else problem[: width - 1] + "…"
    trained = f"{model.context_trained >> 10}k trained" if model.context_trained else ""
    experts = f"{model.experts.count} experts" if model.experts else ""
    facts = (model.architecture, trained, experts)
    return "  " + joined((clean(fact) for fact in facts), width - 2)


def matches(candidate: LibraryEntry, words: str) -> bool:
    """Every word of the filter is somewhere in the name, quantization, architecture or path."""
    model = candidate.model
    text = " ".join((candidate.name, candidate.path, model.quantization if model else "", model.architecture if model else "")).lower()
    return all(word in text for word in words.lower().split())


class ModelPicker(Vertical):
    """Pick a model. Give it candidates with `show`."""

    class Picked(Message):
        """The cursor is on another model."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self.border_title = "Models"
        self._candidates: tuple[LibraryEntry, ...] = ()
        self._selected: str | None = None
        self._drawn: tuple[tuple[LibraryEntry, ...], int, bool] | None = None

    def compose(self) -> ComposeResult:
        """The filter line, hidden until asked for, and the list."""
        filter_line = Input(placeholder="filter: name, quantization, family", id="model-filter", select_on_focus=False)
        filter_line.display = False
        yield filter_line
        yield OptionList(id="model-list", markup=False)

    @property
    def _list(self) -> OptionList:
        return self.query_one("#model-list", OptionList)

    @property
    def _filter(self) -> Input:
        return self.query_one("#model-filter", Input)

    def show(self, candidates: tuple[LibraryEntry, ...], selected: str | None, subtitle: str = "") -> None:
        """Show these models with the cursor on `selected`."""
        self._candidates, self._selected = candidates, selected
        # Setting it repaints the border, whether or not it is another text.
        if subtitle != self.border_subtitle:
            self.border_subtitle = subtitle
        self._draw()

    def open_filter(self) -> None:
        """Show the filter line and type into it."""
        self._filter.display = True
        self._filter.focus()

    def close_filter(self) -> None:
        """All models again."""
        self._filter.value = ""
        self._filter.display = False
        self._list.focus()

    def on_resize(self) -> None:
        """Names are shortened to the width."""
        self._draw()

    def _draw(self) -> None:
        options = self._list
        width = options.scrollable_content_region.width - 2
        if width <= 0:
            return
        shown = tuple(c for c in self._candidates if matches(c, self._filter.value))
        two_lines = self.app.size.height >= 30
        if (shown, width, two_lines) != self._drawn:
            self._drawn = (shown, width, two_lines)
            with self.prevent(OptionList.OptionHighlighted):
                options.set_options(Option(option_text(candidate, width, two_lines), id=str(at)) for at, candidate in enumerate(shown))
        at = next((at for at, candidate in enumerate(shown) if candidate.path == self._selected), None)
        if at is not None and options.highlighted != at:
            with self.prevent(OptionList.OptionHighlighted):
                options.highlighted = at

    @on(OptionList.OptionHighlighted, "#model-list")
    def _highlighted(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        shown = self._drawn[0] if self._drawn else ()
        if event.option_index < len(shown) and shown[event.option_index].path != self._selected:
            self.post_message(self.Picked(shown[event.option_index].path))

    @on(Input.Changed, "#model-filter")
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        self._draw()
        shown = self._drawn[0] if self._drawn else ()
        usable = [candidate.path for candidate in shown if candidate.model is not None]
        if usable and self._selected not in usable:
            self.post_message(self.Picked(usable[0]))

    @on(Input.Submitted, "#model-filter")
    def _entered(self, event: Input.Submitted) -> None:
        event.stop()
        self._list.focus()

    def on_key(self, event: Key) -> None:
        """Escape leaves the filter, the arrows walk the list while typing."""
        if event.key == "escape" and self._filter.display:
            event.stop()
            self.close_filter()
        elif event.key in ("down", "up") and self._filter.has_focus:
            event.stop()
            if event.key == "down":
                self._list.action_cursor_down()
            else:
                self._list.action_cursor_up()
