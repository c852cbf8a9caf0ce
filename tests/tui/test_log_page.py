"""The page of a log: what is kept, what is shown, where the cursor goes, and the line that explains a failure."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from textual.widgets import Input

from rigtui.tui.log_book import KEPT, LogBook
from rigtui.tui.services import LineChunk, LogLine
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World

FAILURE = "ggml_backend_cuda_buffer_type_alloc_buffer: cudaMalloc failed: out of memory"


def book(*texts: str, level=None) -> LogBook:
    made = LogBook()
    made.add(LineChunk(tuple(LogLine(text, level) for text in texts)))
    return made


def test_following_goes_along_and_a_moved_cursor_stays_on_its_line():
    lines = book("one", "two")
    lines.add(LineChunk((LogLine("three"),)))
    assert (lines.here.text, lines.following) == ("three", True)
    lines.move(1)
    lines.add(LineChunk((LogLine("four"),)))
    assert (lines.here.text, lines.following) == ("two", False)
    lines.move(99)
    assert (lines.here.text, lines.following) == ("four", True)


def test_a_filter_needs_all_words_and_the_level_leaves_out_what_is_less():
    lines = book("load tensors", "LOAD model", level="info")
    lines.add(LineChunk((LogLine("cannot load", "error"), LogLine("slow", "warn"), LogLine("no level"))))
    lines.show_only(least=None, words="load mod")
    assert lines.texts(9) == ["LOAD model"]
    lines.show_only(least="warn", words="")
    assert lines.texts(9) == ["cannot load", "slow"]
    lines.show_only(least="error", words="slow")
    assert lines.texts(9) == [] and lines.here is None
    lines.show_only(least=None, words="")
    assert lines.texts(2) == ["slow", "no level"]


def test_what_is_let_go_or_came_too_fast_is_counted():
    lines = LogBook()
    for at in range(13):
        lines.add(LineChunk(tuple(LogLine(f"{at} {number}") for number in range(2000))))
    assert KEPT <= lines.total <= KEPT * 5 // 4
    assert lines.dropped == 13 * 2000 - lines.total
    lines.add(LineChunk((LogLine("new"),), dropped=1240))
    assert lines.texts(2) == ["… 1,240 lines left out here; engine.log has them all", "new"]


@given(
    some.lists(some.tuples(some.sampled_from("abc"), some.sampled_from([None, "warn", "error"])), max_size=40),
    some.integers(0, 50),
    some.text("abc ", max_size=3),
)
def test_the_cursor_is_always_on_a_shown_line(lines, to, words):
    made = LogBook()
    made.add(LineChunk(tuple(LogLine(text, level) for text, level in lines)))
    made.move(to)
    made.show_only(least="warn", words=words)
    made.find(lambda line: line.text == "b", 1)
    assert made.here is None if not len(made) else 0 <= made.cursor < len(made)


def test_the_explanation_is_found_behind_a_filter_and_the_one_of_the_attempt_before_it_next():
    lines = book("start", f"E {FAILURE}", "again", f"E {FAILURE} (2)", "bye")
    lines.show_only(least=None, words="bye")
    assert lines.explain([FAILURE]) and lines.cursor == 3
    assert lines.explain([FAILURE]) and lines.cursor == 1
    assert not lines.explain(["never said"]) and lines.cursor == 1


def failed_world() -> World:
    world = World(two_cards())
    world.runs = (run_state("a", "failed"),)
    world.lines += [LogLine(f"0.00.{at:03}.001 I load_tensors: layer {at}", "info") for at in range(200)]
    world.lines += [LogLine(f"0.01.000.000 E {FAILURE}", "error"), LogLine("0.01.000.001 I srv: cleaning up before exit", "info")]
    return world


async def opened(screen) -> None:
    await screen.press("n")
    await screen.until(lambda: screen.state.run)
    await screen.press("o")
    await screen.until(lambda: "cleaning up" in screen.text())


async def test_it_follows_and_finds_why_it_failed_at_the_smallest_size(cockpit):
    world = failed_world()
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        assert "· ended" in screen.text() and "following" not in screen.text()
        world.lines.append(LogLine("newest of all"))
        await screen.until(lambda: "newest of all" in screen.text())
        await screen.press("e")
        await screen.until(lambda: "ended, at 201 of 203" in screen.text())
        assert FAILURE in screen.part("#log-line")
        await screen.press("y")
        assert screen.app.clipboard.endswith(FAILURE)
        await screen.press("end")
        await screen.until(lambda: "ended, at" not in screen.text())
        assert "following" not in screen.text()
        assert max(map(len, screen.text().splitlines())) <= 80


async def test_it_follows_a_run_until_that_ends(cockpit):
    world = failed_world()
    world.runs = (run_state("a", "ready"),)
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        assert "following" in screen.text()
        await screen.press("up")
        await screen.until(lambda: "paused at 201 of 202" in screen.text())
        await screen.press("end")
        await screen.until(lambda: "following" in screen.text())
        world.runs = (run_state("a", "stopped"),)
        await screen.until(lambda: "· ended" in screen.text() and "following" not in screen.text())


async def test_the_key_to_what_explains_a_failure_says_where_nothing_does(cockpit):
    world = failed_world()
    world.runs = (run_state("a", "ready"),)
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("e")
        await screen.until(lambda: "nothing failed here" in screen.told)


async def test_it_is_searched_filtered_and_cut_to_a_level(cockpit):
    async with cockpit(failed_world(), size=(100, 30)) as screen:
        await opened(screen)
        await screen.press("v")
        await screen.until(lambda: "warnings and errors" in screen.text() and "cleaning" not in screen.text())
        await screen.press("v", "v", "f", *"layer", "space", *"19")
        await screen.until(lambda: "only “layer 19”" in screen.text())
        assert len(screen.app.screen._book) == 12
        await screen.press("escape")
        await screen.until(lambda: "only “" not in screen.text())
        await screen.press("slash", *"layer 7"[:5], "space", "7", "enter")
        await screen.until(lambda: "ended, at" in screen.text() and "layer 7" in screen.part("#log-line"))
        first = screen.part("#log-line")
        await screen.press("n")
        await screen.until(lambda: screen.part("#log-line") != first)
        await screen.press("N")
        await screen.until(lambda: screen.part("#log-line") == first)
        await screen.press("Y")
        assert screen.app.clipboard.count("\n") == 201
        await screen.press("escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)


async def test_a_filter_that_hides_every_line_is_named_with_its_key(cockpit):
    async with cockpit(failed_world(), size=(100, 30)) as screen:
        await opened(screen)
        await screen.press("f", *"nowhere", "enter")
        await screen.until(lambda: "is shown: only “nowhere” (f changes it)" in screen.part("#log-line"))
        await screen.press("f", "escape")
        await screen.until(lambda: "is shown" not in screen.part("#log-line"))


async def test_the_mouse_moves_the_cursor_and_foreign_text_is_data(cockpit):
    world = failed_world()
    world.lines += [LogLine("[red]not red[/] [/x] 世界 " + "w" * 400)]
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "[red]not red[/] [/x]" in screen.text())
        await screen.pilot.click("#log-view", offset=(10, 3))
        await screen.until(lambda: "ended, at" in screen.text())
        assert not screen.app.screen.query_one(Input).display
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y
