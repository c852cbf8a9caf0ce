"""The page of the profiles and their results."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from msgspec.structs import replace
from textual.widgets import Input, TextArea

from rigtui.errors import RigtuiError, UsageError
from rigtui.export.exported import FORMATS
from rigtui.tui import export_file
from rigtui.tui.exporting import SHARED
from rigtui.tui.plot_text import METRICS, plot
from tui.fakes.models import MODELS, candidates, model
from tui.fakes.profiles import result
from tui.fakes.rigs import two_cards
from tui.fakes.runs import run_state
from tui.fakes.world import World, failing


async def opened(screen) -> None:
    await screen.press("P")
    await screen.until(lambda: "writer" in screen.text())


async def test_the_list_says_what_is_not_downloaded_and_the_table_what_was_measured(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "38.2" in screen.text())
        lines = screen.text().splitlines()
        assert "not downloaded" in next(line for line in lines if "gpt-oss-120b" in line)
        assert "context 32768 · kv_type q8_0" in screen.text()
        dates = [line.split()[0] for line in lines if "2026-" in line]
        assert dates == ["2026-03-01", "2026-02-20", "2026-02-11"], "newest first"
        newest = next(line for line in lines if "2026-03-01" in line)
        for words in ("b6500", "32,768", "q8_0", "38.2", "1,204", "0.21", "13.3/13.5"):
            assert words in newest
        assert "failed: out_of_vram" in screen.text()
        assert max(map(len, lines)) <= 80
        assert not screen.app.screen.max_scroll_x and not screen.app.screen.max_scroll_y


@pytest.mark.parametrize("runs", [(), (run_state("one"),)], ids=["idle", "running"])
async def test_every_key_of_the_page_is_said_at_80_columns(cockpit, runs):
    world = World(two_cards())
    world.runs = runs
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "v draws them" in screen.part("#results"))
        assert "e edits · E in $EDITOR" in screen.part("#profile")
        hints = screen.text().splitlines()[-1]
        for hint in ("Enter load", "c copy", "n rename", "Del remove", "a new", "x export", "T tune", "Esc back"):
            assert hint in hints
        assert len(hints) <= 80


async def test_loading_one_makes_its_model_use_case_and_settings_the_choices(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await screen.press("down")
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await screen.until(lambda: screen.state.plan.use_case == "coding")
        assert screen.state.selected == MODELS[0].path
        assert screen.state.plan.context_per_slot == 32768 and screen.state.plan.kv_type == ("q8_0", "q8_0")
        assert not screen.state.changed, "nothing of this is a change"
        await screen.press("l")
        await screen.until(lambda: screen.world.launched)
        assert screen.world.launched[0][1].profile == "coder"


async def test_the_profile_that_was_loaded_is_named_and_that_something_was_changed(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        assert "profile" not in screen.part("#plan")
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: "Plan · profile coder · > more" in screen.part("#plan"))
        await screen.press("k")
        await screen.until(lambda: "Plan · profile coder, changed · > more" in screen.part("#plan"))
        await screen.press("r")
        await screen.until(lambda: "Plan · profile coder · > more" in screen.part("#plan"))
        await screen.press("down")
        await screen.until(lambda: "Plan · > more" in screen.part("#plan"))


async def test_changes_to_a_loaded_profile_are_saved_under_its_name_after_asking(cockpit):
    world = World(two_cards())
    world.taken = {"coder"}
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: "Plan · profile coder" in screen.part("#plan"))
        await screen.press("k", "p")
        await screen.until(lambda: screen.app.screen.query(Input))
        assert screen.app.screen.query_one(Input).value == "coder"
        await screen.press("enter")
        await screen.until(lambda: "there is a profile coder already" in screen.text())
        assert world.saved == []
        await screen.press("escape", "escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        await screen.press("down", "p")
        await screen.until(lambda: len(screen.app.screen_stack) == 2 and screen.app.screen.query(Input))
        assert screen.app.screen.query_one(Input).value.startswith(MODELS[1].name), "of another model it is another profile"


async def test_a_long_name_of_a_profile_leaves_the_plans_title_whole(cockpit):
    world = World(two_cards())
    world.profiles.stored = {name: replace(world.profiles.stored["coder"], name=name) for name in ["[bold]" + "long" * 20]}
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("P")
        await screen.until(lambda: "longlong" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "Plan · profile [bold]" in screen.part("#plan"))
        await screen.press("k")
        await screen.until(lambda: ", changed · > more" in screen.part("#plan"))


async def test_a_model_outside_the_folders_comes_along_and_stays(cockpit):
    far = model("far-away-7B-Q8_0", 7.0, "llama", "Q8_0", 8192)
    world = World(two_cards())
    read = world.profiles.load
    world.profiles.load = lambda name: replace(read(name), model=candidates(far)[0])
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: screen.state.plan and screen.state.plan.model.path == far.path)
        await screen.press("f5")
        await screen.settled()
        assert screen.state.selected == far.path


async def test_one_whose_model_is_not_here_is_not_loaded_and_says_so(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await opened(screen)
        await screen.press("down", "down")
        await screen.until(lambda: "Enter load" not in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "is not downloaded" in screen.told)
        await screen.press("delete")
        assert screen.app.screen._removed == [], "what ships with rigtui stays"


@pytest.mark.parametrize("key", ["T", "x", "enter"])
async def test_what_needs_a_model_that_is_not_here_says_so_and_how_to_get_it(cockpit, key):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("down", "down")
        await screen.until(lambda: "T tune" not in screen.text())
        await screen.press(key)
        await screen.until(lambda: "is not downloaded; get it with: hf download ggml-org/gpt-oss-120b-GGUF" in screen.told)
        assert len(screen.app.screen_stack) == 2


async def test_a_slow_disk_holds_up_no_key(cockpit):
    world, gate = World(two_cards()), threading.Event()
    read, write = world.profiles.text, world.profiles.write
    world.profiles.text = lambda name: gate.wait(120) and read(name)
    world.profiles.write = lambda name, text: gate.wait(120) and write(name, text)
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("e", "down")
        await screen.until(lambda: screen.app.screen.under_cursor(screen.app.screen._rows).profile.name == "writer")
        gate.set()
        await screen.until(lambda: 'name = "coder"' in screen.text())
        gate.clear()
        await screen.press("ctrl+s", *"# x")
        await screen.until(lambda: "# x[profile]" in screen.text())
        gate.set()
        await screen.until(lambda: "without what was typed since" in screen.part("#wrong"))
        await screen.press("ctrl+s")
        await screen.until(lambda: "stored in" in screen.told)
        assert [text[:3] for _, text in world.profiles.written] == ["[pr", "# x"]


async def test_copy_and_rename_ask_for_a_name_that_is_not_taken(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("c")
        await screen.until(lambda: screen.app.screen.query(Input))
        assert screen.app.screen.query_one(Input).value == "coder-2"
        screen.app.screen.query_one(Input).value = "coder"
        await screen.press("enter")
        assert "this name is taken" in screen.text()
        screen.app.screen.query_one(Input).value = "coder-2"
        await screen.press("enter")
        await screen.until(lambda: "coder-2" in screen.text() and "copied to" in screen.told)
        await screen.press("n")
        await screen.enter("zebra")
        await screen.until(lambda: "zebra" in screen.text() and "coder-2 " not in screen.text())
        assert set(world.profiles.stored) == {"coder", "zebra", "gpt-oss-120b", "writer"}


async def test_what_is_removed_can_be_brought_back_also_after_the_page_was_left(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("delete")
        await screen.until(lambda: "removed, z brings it back" in screen.text())
        assert "Enter load" not in screen.text() and world.profiles.removed == []
        await screen.press("z")
        await screen.until(lambda: "removed, z" not in screen.text())
        await screen.press("down", "delete", "up", "delete", "escape")
        await screen.until(lambda: "writer and coder are removed; P, z brings them back" in screen.told)
        assert world.profiles.removed == ["writer", "coder"]
        await screen.press("P")
        await screen.until(lambda: "Profiles · 1" in screen.text() and "z undo" in screen.text())
        await screen.press("z")
        await screen.until(lambda: "Profiles · 2" in screen.text() and "coder is back, in" in screen.told)
        assert screen.app.screen.under_cursor(screen.app.screen._rows).profile.name == "coder"
        await screen.press("z")
        await screen.until(lambda: "Profiles · 3" in screen.text() and "z undo" not in screen.text())
        await screen.press("escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1)
        assert set(world.profiles.stored) == {"coder", "gpt-oss-120b", "writer"}


async def test_a_removed_profile_whose_name_is_taken_again_stays_removed_and_can_still_come_back(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("delete", "escape")
        await screen.until(lambda: "coder is removed; P, z brings" in screen.text())
        world.profiles.stored["coder"] = replace(world.profiles.stored["writer"], name="coder")
        await opened(screen)
        await screen.press("z")
        await screen.until(lambda: "there is a profile coder already" in screen.told)
        del world.profiles.stored["coder"]
        await screen.press("z")
        await screen.until(lambda: "coder is back, in" in screen.told)


async def test_the_plan_no_longer_names_a_profile_that_was_removed(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: "Plan · profile coder" in screen.part("#plan"))
        await opened(screen)
        await screen.press("delete", "escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 1 and "profile coder" not in screen.part("#plan"))
        await screen.press("p")
        await screen.until(lambda: screen.app.screen.query(Input))
        assert screen.app.screen.query_one(Input).value.startswith(MODELS[0].name)


async def test_leaving_the_program_deletes_what_was_removed_too(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("delete", "ctrl+q")
    assert world.profiles.removed == ["coder"]


async def test_export_shows_the_section(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await opened(screen)
        await screen.press("x")
        await screen.until(lambda: "[coder]" in screen.text())


def measured(*decodes: float | None) -> tuple:
    return tuple(
        result(
            f"2026-02-{at + 1:02}T00:00:00Z",
            f"llama-server b65{0 if at < len(decodes) // 2 else 1}0",
            value,
            failure=None if value else "oom",
        )
        for at, value in enumerate(decodes)
    )


def drawn(results, width=60, height=9, metric=METRICS[0]) -> list[str]:
    return [line.plain for line in plot(results, metric, width, height)]


def test_a_plot_has_a_column_for_every_run_and_names_each_build_below_its_first():
    lines = drawn(measured(10.0, 20.0, None, 40.0))
    assert len(lines) == 9 and max(map(len, lines)) <= 60
    assert lines[1].startswith("     40.0│") and lines[-3].count("×") == 1
    bottom, top = lines[-3].split("│")[1], lines[1].split("│")[1]
    assert bottom[0] == "█" and top.split() == ["███████"], "the highest alone reaches the top"
    assert lines[-1].split() == ["b6500", "b6510"]
    assert lines[-1].index("b6510") - lines[-1].index("b6500") == 2 * 8


def test_a_plot_keeps_to_its_width_and_shows_the_newest_runs():
    lines = drawn(measured(*[1.0] * 200, 5.0), width=40)
    assert max(map(len, lines)) <= 40 and lines[1].rstrip()[-1] == "█"


def test_what_nobody_measured_is_said():
    assert "No run has measured this" in "\n".join(drawn(measured(None, None)))
    assert "No run has measured this" in "\n".join(drawn(()))


async def test_the_results_are_drawn_metric_by_metric_and_then_a_table_again(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "v draws them" in screen.text())
        for words in ("decode, tok/s, by run", "prefill, tok/s, by run", "context per request", "peak of all cards"):
            await screen.press("v")
            await screen.until(lambda words=words: words in screen.text())
            assert max(map(len, screen.text().splitlines())) <= 80
        await screen.press("v")
        await screen.until(lambda: "38.2" in screen.text())


async def test_a_profile_is_edited_here_and_what_is_wrong_is_said_before_it_is_stored(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("e")
        await screen.until(lambda: 'name = "coder"' in screen.text() and "^s stores it" in screen.text())
        area = screen.app.screen.query_one(TextArea)
        area.text = "[profile]\nname = 'coder'\n"
        await screen.press("ctrl+s")
        await screen.until(lambda: "`profile.model` is missing" in screen.text())
        assert world.profiles.written == []
        area.text = "[profile]\nname = 'coder'\nmodel = '[red]x'\n"
        await screen.press("ctrl+s")
        await screen.until(lambda: "stored in" in screen.told)
        assert world.profiles.written == [("coder", area.text)]
        await screen.press("e", "escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)


async def test_what_was_typed_into_a_profile_is_not_thrown_away_unasked(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("e")
        await screen.until(lambda: 'name = "coder"' in screen.text())
        await screen.press("x", "escape")
        await screen.until(lambda: "Discard your changes?" in screen.text())
        await screen.press("escape")
        await screen.until(lambda: "x[profile]" in screen.text() and "Discard" not in screen.text())
        await screen.press("escape")
        await screen.until(lambda: "Discard your changes?" in screen.text())
        await screen.press("down", "enter")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        assert screen.world.profiles.written == []


async def test_where_no_editor_can_be_opened_that_is_said(cockpit):
    async with cockpit(World(two_cards())) as screen:
        await opened(screen)
        await screen.press("E")
        await screen.until(lambda: "an editor cannot be opened from here; e edits on this screen" in screen.told)


async def test_the_cockpits_choices_become_a_new_profile_from_the_page(cockpit):
    world = World(two_cards())
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("a")
        await screen.until(lambda: "Save as a profile" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: world.saved and "saved as" in screen.told)
        assert len(screen.app.screen_stack) == 2, "the page is still there"


async def test_an_export_is_read_first_and_replaces_a_file_only_when_told_to(cockpit):
    world = World(two_cards())
    world.exports["~/models.conf"] = "mine"
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("x")
        await screen.until(lambda: "[coder]" in screen.text() and "w writes a file" in screen.text())
        assert world.exports == {"~/models.conf": "mine"}
        await screen.press("w", "enter")
        await screen.until(lambda: "is already there" in screen.text())
        await screen.press("down", "enter")
        await screen.until(lambda: "Keep it" not in screen.text() and "is already there" in screen.text())
        assert world.exports == {"~/models.conf": "mine"}
        assert screen.app.screen.query_one(Input).value == "~/models.conf", "another file can be named"
        await screen.press("enter")
        await screen.until(lambda: "Keep it" in screen.text())
        await screen.press("enter")
        await screen.until(lambda: "written to ~/models.conf" in screen.told)
        assert world.exports["~/models.conf"].startswith("[coder]")


async def test_an_export_that_cannot_be_written_says_why_where_the_file_was_named(cockpit):
    world = World(two_cards())
    world.write_export = failing(RigtuiError("/etc/models.conf cannot be written: Permission denied"))
    async with cockpit(world, size=(80, 24)) as screen:
        await screen.press("x")
        await screen.until(lambda: "w writes a file" in screen.text())
        await screen.press("w")
        await screen.enter("/etc/models.conf")
        await screen.until(lambda: "Permission denied" in screen.text())
        assert screen.app.screen.query_one(Input).value == "/etc/models.conf" and "Write the export" in screen.text()


async def test_every_format_of_an_export_is_offered_and_one_that_cannot_be_written_says_why(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("x")
        await screen.until(lambda: "Export · models.conf" in screen.text() and "f shows sh" in screen.text())
        await screen.press("f")
        await screen.until(lambda: "exec llama-server" in screen.text() and "f shows llama-swap" in screen.text())
        await screen.press("w", "enter")
        await screen.until(lambda: "written to ~/rigtui.sh" in screen.told)
        assert world.exports["~/rigtui.sh"].startswith("#!/bin/sh")
        for name, after in pairwise([*FORMATS, SHARED, "models.conf"][2:]):
            await screen.press("f")
            await screen.until(lambda name=name, after=after: f"Export · {name}" in screen.text() and f"f shows {after}" in screen.text())
        assert 'name = "coder"' in screen.text()
        await screen.press("w", "enter")
        await screen.until(lambda: "written to ~/coder.toml" in screen.told)
        assert world.exports["~/coder.toml"] == world.profiles.text("coder")
        await screen.press("escape", "escape", "x")
        await screen.until(lambda: "Export · models.conf" in screen.text())
        await screen.press("f")
        await screen.until(lambda: "not started by a command" in screen.text())
        assert "writes a file" not in screen.text()
        await screen.press("w", "y")
        assert "Write the export" not in screen.text() and list(world.exports) == ["~/rigtui.sh", "~/coder.toml"]


async def test_a_profile_that_never_ran_says_what_is_missing_or_what_to_press(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("down")
        await screen.until(lambda: "It never ran here. Enter loads it, l launches it then" in screen.part("#results"))
        await screen.press("down")
        await screen.until(lambda: "get it with: hf download ggml-org/gpt-oss-120b-GGUF" in screen.part("#results"))


async def test_a_profile_saved_from_a_run_shows_what_its_model_measured(cockpit):
    world = World(two_cards())
    world.profiles.of_models["writer"] = (result("2026-03-02T08:00:00Z", "llama-server b6500 (CUDA)", 41.5),)
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.press("down")
        await screen.until(lambda: "41.5" in screen.part("#results"))
        assert "It never ran under this name. What runs of its model measured here:" in screen.part("#results")
        assert "loads it" not in screen.part("#results")
        await screen.press("v")
        await screen.until(lambda: "decode, tok/s, by run and build" in screen.part("#results"))


async def test_a_run_that_was_killed_after_it_was_measured_keeps_its_figures(cockpit):
    world = World(two_cards())
    world.profiles.measured["coder"] = (result("2026-03-01T19:20:21Z", "llama-server b6500 (CUDA)", 38.2, failure="killed"),)
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await screen.until(lambda: "failed: killed" in screen.part("#results"))
        assert "38.2" in screen.part("#results") and "1,204" in screen.part("#results")
        await screen.press("v")
        await screen.until(lambda: "█" in screen.part("#results"))


def test_a_file_of_an_export_is_not_replaced_unasked(home):
    assert export_file.write("~/a/models.conf", "[x]\n", False) == f"{home / 'a' / 'models.conf'}, in the new folder {home / 'a'}"
    script = home / "a" / "run.sh"
    assert export_file.write(str(script), "#!/bin/sh\n", False) == str(script)
    assert script.stat().st_mode & 0o111, "a script can be started"
    with pytest.raises(UsageError, match="already there"):
        export_file.write("~/a/models.conf", "[y]\n", False)
    export_file.write("~/a/models.conf", "[y]\n", True)
    assert (home / "a" / "models.conf").read_text() == "[y]\n"
    with pytest.raises(RigtuiError, match="is a folder"):
        export_file.write("~/a", "", True)
