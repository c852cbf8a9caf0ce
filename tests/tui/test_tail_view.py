"""The end of a log in the engine panel: wrapped, bounded, at its end while nobody scrolls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from rigtui.tui.widgets.tail_view import TailView, wrapped


class Shown(App[None]):
    """A view of at most ten lines alone on the screen."""

    def compose(self) -> ComposeResult:
        yield TailView(10, id="tail")

    def rows(self) -> list[str]:
        """What stands on the screen."""
        view = self.query_one(TailView)
        return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


@given(st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), max_size=80), st.integers(2, 30))
def test_wrapping_loses_nothing_but_spaces_at_the_edge(line: str, width: int) -> None:
    rows = list(wrapped(line, width))
    assert "".join(rows) == line
    assert all(cell_len(row.rstrip()) <= width for row in rows)


async def test_the_newest_lines_are_shown_and_no_more_are_kept_than_asked() -> None:
    app = Shown()
    async with app.run_test(size=(20, 4)) as pilot:
        view = app.query_one(TailView)
        view.write(f"line {number}" for number in range(50))
        await pilot.pause()
        assert app.rows() == ["line 46", "line 47", "line 48", "line 49"]
        view.scroll_home(animate=False)
        await pilot.pause()
        assert app.rows()[0] == "line 40"


async def test_a_reader_who_scrolled_back_keeps_the_row_while_more_comes() -> None:
    app = Shown()
    async with app.run_test(size=(20, 4)) as pilot:
        view = app.query_one(TailView)
        view.write(f"line {number}" for number in range(10))
        await pilot.pause()
        view.scroll_to(y=3, animate=False)
        await pilot.pause()
        view.write(["line 10", "line 11"])
        await pilot.pause()
        assert app.rows()[0] == "line 3"


async def test_another_width_wraps_the_lines_anew() -> None:
    app = Shown()
    async with app.run_test(size=(12, 4)) as pilot:
        view = app.query_one(TailView)
        view.write(["one two three four"])
        await pilot.pause()
        assert app.rows()[:2] == ["one two", "three four"]
        await pilot.resize_terminal(40, 4)
        await pilot.pause()
        assert app.rows()[:2] == ["one two three four", ""]


async def test_a_cleared_view_is_empty() -> None:
    app = Shown()
    async with app.run_test(size=(20, 4)) as pilot:
        view = app.query_one(TailView)
        view.write(["a line"])
        view.clear()
        await pilot.pause()
        assert not any(app.rows())
