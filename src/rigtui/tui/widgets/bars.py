"""The live bars: one line per card, two where there is room, drawn as strips and only the lines that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from rigtui.tui.colors import bar_colors
from rigtui.tui.widgets.bar_lines import Layout, Palette, lay_out, legend_lines, row_lines

if TYPE_CHECKING:
    from rigtui.tui.segments import BarRow


class RigBars(Widget):
    """What every card has now and after the plan. Give it rows with `show`."""

    DEFAULT_CSS = "RigBars { height: auto; }"

    class Opened(Message):
        """The bars were clicked: who holds this memory?"""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name
        super().__init__(id=id)
        self._rows: tuple[BarRow, ...] = ()
        self._remark = ""
        self._lines: list[list[Segment]] = []
        self._strips: list[Strip] = []
        self._base = Style()

    def on_mount(self) -> None:
        """Redraw in the new colours when the theme changes."""
        self.app.theme_changed_signal.subscribe(self, lambda _theme: self._draw())

    def show(self, rows: tuple[BarRow, ...], remark: str = "") -> None:
        """Show these rows and a remark below them; nothing is painted when they are what is shown already."""
        if (rows, remark) != (self._rows, self._remark):
            self._rows, self._remark = rows, remark
            self._draw()

    def _palette(self) -> Palette:
        variables = self.app.theme_variables
        colors = {kind: Color.parse(value) for kind, value in bar_colors(variables).items()}
        text, surface = _opaque(variables["foreground"], "#e6e9ef"), _opaque(variables["surface"], "#1e222a")
        return Palette(
            kinds=colors,
            text=text,
            muted=text.blend(surface, 0.4),
            error=_opaque(variables["error"], "#e5566d"),
            surface=surface,
            fills=self.app.no_color or self.app.has_class("-few-colors"),
            plain=self.app.no_color,
        )

    def _lines_for(self, width: int) -> list[list[Segment]]:
        """What is drawn in `width` cells."""
        height = self.app.size.height
        roomy = 2 * len(self._rows) + 1 <= height // 3
        palette, layout = self._palette(), lay_out(self._rows, width, details=roomy)
        lines = [line for row in self._rows for line in row_lines(row, layout, palette)]
        if self._rows and (palette.fills or not layout.details):
            lines += legend_lines(self._rows, layout, palette)
        return lines + (self._remark_lines(palette, layout) if self._remark else [])

    def _draw(self) -> None:
        width = self.size.width
        if not width:
            return
        old, old_base, self._lines, self._base = self._lines, self._base, self._lines_for(width), self.rich_style
        if len(old) != len(self._lines) or old_base != self._base:
            self._strips = [self._strip(line, width) for line in self._lines]
            self.refresh(layout=True)
            return
        changed = [y for y, line in enumerate(self._lines) if line != old[y]]
        for y in changed:
            self._strips[y] = self._strip(self._lines[y], width)
        if changed:
            # One region, also where a line between did not change: each costs as much as some lines.
            self.refresh(Region(0, changed[0], width, changed[-1] + 1 - changed[0]))

    def _strip(self, line: list[Segment], width: int) -> Strip:
        return Strip(line).apply_style(self._base).adjust_cell_length(width, self._base)

    def _remark_lines(self, palette: Palette, layout: Layout) -> list[list[Segment]]:
        from textwrap import wrap

        style = Style() if palette.plain else Style(color=palette.muted.rich_color, italic=True)
        indent = " " * (layout.name + 3) if self._rows and layout.width >= 100 else " "
        return [[Segment(f"{indent}{text}", style)] for text in wrap(self._remark, max(20, layout.width - len(indent) - 1))]

    def on_click(self) -> None:
        """Open what stands behind the bars."""
        self.post_message(self.Opened())

    def on_resize(self) -> None:
        """Columns follow the width."""
        self._lines = []
        self._draw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:  # noqa: ARG002 - Textual's signature
        """As many lines as there are to draw: asked for a width that may be another than that of the last picture."""
        return len(self._lines_for(width)) or max(1, len(self._rows))

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)


def _opaque(value: str, fallback: str) -> Color:
    """A theme's colour as one that can be mixed; ANSI and automatic colours have no numbers to mix."""
    try:
        color = Color.parse(value)
    except ValueError:
        return Color.parse(fallback)
    return Color.parse(fallback) if color.ansi is not None else color.with_alpha(1.0)
