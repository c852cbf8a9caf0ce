"""The list of models: titles and rows of one or two lines, drawn only as far as they are seen, so that hundreds cost no more than ten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from msgspec import Struct
from textual.content import Content
from textual.events import Click, Leave, MouseMove
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.visual import Visual

from rigtui.tui.bindings import bindings
from rigtui.tui.rows import middle
from rigtui.tui.widgets.model_rows import ModelRow, row_lines

if TYPE_CHECKING:
    from rigtui.tui.shelf import Sort

ROOMY_HEIGHT = 30
"""From this height of the terminal on every row has two lines."""


class Title(Struct, frozen=True):
    """The title of a group."""

    text: str


Item = Title | ModelRow


class ModelList(ScrollView, can_focus=True):
    """Give it items with `show`; it tells of every move of the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"model-list--cursor", "model-list--hover", "model-list--title"}
    BINDINGS = bindings("models")

    class Moved(Message):
        """The cursor is on another model."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._items: tuple[Item, ...] = ()
        self._sort: Sort = "used"
        self._cursor: str | None = None
        self._hover: str | None = None
        self._lines: list[tuple[Item, int]] = []
        """Item and line of it, for every line from the top."""
        self._two_lines = False
        """Whether every model has two of `_lines`: the terminal may have another height by the time they are drawn."""
        self._key: tuple[object, ...] = ()
        self._strips: dict[tuple[Item, int, str, int], Strip] = {}

    def on_mount(self) -> None:
        """New colours, new strips."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._anew())

    def show(self, items: tuple[Item, ...], cursor: str | None, sort: Sort) -> None:
        """Show these items with the cursor on the model at path `cursor`; nothing is painted when that is what is shown already."""
        moved = cursor != self._cursor
        if (items, sort) == (self._items, self._sort) and not moved:
            return
        self._items, self._sort, self._cursor = items, sort, cursor
        self._lay_out()
        if moved:
            self._follow()

    @property
    def rows(self) -> tuple[ModelRow, ...]:
        """The models shown, from the top."""
        return tuple(item for item in self._items if isinstance(item, ModelRow))

    @property
    def roomy(self) -> bool:
        """There is room for two lines for every model, with words beside the figures."""
        return self.app.size.height >= ROOMY_HEIGHT

    def _lay_out(self) -> None:
        """Which line shows what."""
        lines: list[tuple[Item, int]] = []
        self._two_lines = self.roomy
        for item in self._items:
            tall = isinstance(item, ModelRow) and (self._two_lines or item.path == self._cursor)
            lines += [(item, 0), (item, 1)] if tall else [(item, 0)]
        self._lines = lines
        self._strips = {key: strip for key, strip in self._strips.items() if len(self._strips) < 2 * len(lines) + 8}
        self.virtual_size = Size(self.scrollable_content_region.width, len(lines))
        self.refresh()

    def _anew(self) -> None:
        self._strips.clear()
        self._lay_out()

    def notify_style_update(self) -> None:
        """Colours or focus changed."""
        self._strips.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        """Names are shortened to the width."""
        self._anew()
        self._follow()

    def _follow(self) -> None:
        """Bring the cursor's row into view, with the title above it."""
        own = [at for at, (item, _) in enumerate(self._lines) if isinstance(item, ModelRow) and item.path == self._cursor]
        if not own:
            return
        first = own[0] - 1 if own[0] and isinstance(self._lines[own[0] - 1][0], Title) else own[0]
        self.scroll_to_region(Region(0, first, 1, own[-1] + 1 - first), animate=False, force=True, immediate=True)

    def render_line(self, y: int) -> Strip:
        """One line."""
        at, width = self.scroll_offset.y + y, self.scrollable_content_region.width
        if at >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        item, line = self._lines[at]
        state = self._state_of(item)
        key = (item, line, state, width)
        if key not in self._strips:
            self._strips[key] = self._strip(item, line, state, width)
        return self._strips[key]

    def _state_of(self, item: Item) -> str:
        if isinstance(item, Title):
            return "title"
        if item.path == self._cursor:
            return "cursor"
        return "hover" if item.path == self._hover else ""

    def _strip(self, item: Item, line: int, state: str, width: int) -> Strip:
        style = self.get_visual_style(*([f"model-list--{state}"] if state else []))
        if isinstance(item, Title):
            content = Content(f" {middle(item.text, width - 1)}")
        else:
            content = row_lines(item, width, roomy=self._two_lines, open_=state == "cursor", sort=self._sort)[line]
        strips = Visual.to_strips(self, content, width, 1, style)
        return strips[0].adjust_cell_length(width, style.rich_style) if strips else Strip.blank(width, style.rich_style)

    def action_cursor(self, step: int) -> None:
        """Another model, as far as there are any."""
        rows = self.rows
        if not rows:
            return
        paths = [row.path for row in rows]
        at = paths.index(self._cursor) + step if self._cursor in paths else 0
        self._go(paths[max(0, min(len(paths) - 1, at))])

    def action_page(self, step: int) -> None:
        """As many models on as are seen at once."""
        self.action_cursor(step * max(1, self.size.height // (2 if self._two_lines else 1) - 1))

    def _go(self, path: str) -> None:
        if path != self._cursor:
            self._cursor = path
            self._lay_out()
            self._follow()
            self.post_message(self.Moved(path))

    def _row_at(self, y: int) -> ModelRow | None:
        at = self.scroll_offset.y + y
        item = self._lines[at][0] if 0 <= at < len(self._lines) else None
        return item if isinstance(item, ModelRow) else None

    def on_click(self, event: Click) -> None:
        """A click picks."""
        at = event.get_content_offset(self)
        row = self._row_at(at.y) if at is not None else None
        if row is not None:
            self._go(row.path)

    def on_mouse_move(self, event: MouseMove) -> None:
        """Show what a click would pick."""
        row = self._row_at(event.y)
        self._hover_over(row.path if row else None)

    def on_leave(self, event: Leave) -> None:  # noqa: ARG002 - Textual's signature
        """The mouse is elsewhere."""
        self._hover_over(None)

    def _hover_over(self, path: str | None) -> None:
        if path != self._hover:
            self._hover = path
            self.refresh()


def items_of(groups: Sequence[tuple[str, Sequence[ModelRow]]]) -> tuple[Item, ...]:
    """Titles and rows in one sequence."""
    items: list[Item] = []
    for title, rows in groups:
        items += [Title(title)] if title else []
        items += rows
    return tuple(items)
