"""The page of a tuning: trials run while it is there, and no engine is left when it is not."""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec.structs import replace

from rigtui.errors import RigtuiError
from rigtui.intent.intent import Overrides
from rigtui.tui.services import TuningView
from rigtui.tui.tune_text import MEASURES, trial_plot, trial_table
from tui.fakes.rigs import two_cards
from tui.fakes.tunings import TRIALS, FakeTuner
from tui.fakes.world import World


async def opened(screen) -> FakeTuner:
    await screen.press("P")
    await screen.until(lambda: "writer" in screen.text())
    await screen.press("down", "T")
    await screen.until(lambda: "Tune writer" in screen.text() and "micro-batch" in screen.text())
    return screen.world.profiles.tuned


async def run_some(screen, count: int) -> None:
    """Begin, and let some trials come to their end."""
    tuner = screen.world.profiles.tuned
    await screen.press("enter")
    tuner.gate.release(count)
    await screen.until(lambda: tuner.done == count and f"{count} of at most 6 trials" in screen.text())
    if count < len(TRIALS):
        await screen.until(lambda: tuner.engine and "loading" in screen.text())


async def test_trials_run_one_after_the_other_and_the_best_is_named_and_saved(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        tuner = await opened(screen)
        assert "Enter start" in screen.text() and not tuner.engine, "nothing is launched unasked"
        await run_some(screen, 2)
        assert "GPU 0, GPU 1 in this order" in screen.text() and "s stop" in screen.text() and "Enter start" not in screen.text()
        tuner.gate.release(2)
        await screen.until(lambda: "Done." in screen.text())
        assert "+9% against rigtui's own settings" in screen.part("#tuning")
        assert max(map(len, screen.text().splitlines())) <= 80
        await screen.press("end")
        await screen.until(lambda: "failed, out_of_vram" in screen.text())
        await screen.press("p")
        await screen.until(lambda: "written to /config/profiles/writer.toml" in screen.told)
        assert tuner.saved == [TRIALS[2].settings]


async def test_a_tuning_that_was_stopped_goes_on_after_what_was_measured(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        tuner = await opened(screen)
        await run_some(screen, 1)
        await screen.press("s")
        await screen.until(lambda: "goes on after 1 trial." in screen.text())
        assert not tuner.engine
        await screen.press("enter")
        await screen.until(lambda: tuner.engine)
        tuner.gate.release()
        await screen.until(lambda: "2 of at most 6" in screen.text())


async def test_leaving_the_page_waits_until_the_engine_of_the_trial_is_gone(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        tuner = await opened(screen)
        await run_some(screen, 1)
        await screen.press("escape")
        await screen.until(lambda: len(screen.app.screen_stack) == 2)
        assert not tuner.engine


async def test_leaving_rigtui_ends_the_trial_too(cockpit):
    world = World(two_cards())
    async with cockpit(world, size=(80, 24)) as screen:
        await opened(screen)
        await run_some(screen, 1)
        await screen.press("ctrl+q")
    assert not world.profiles.tuned.engine


async def test_anew_begins_with_no_trials(cockpit):
    async with cockpit(World(two_cards())) as screen:
        first = await opened(screen)
        await run_some(screen, 4)
        await screen.until(lambda: "Done." in screen.text())
        await screen.press("n")
        await screen.until(lambda: screen.world.profiles.tuned is not first and screen.world.profiles.tuned.engine)
        assert "0 of at most 6" in screen.text()


async def test_a_second_press_begins_nothing_while_the_first_is_being_opened(cockpit):
    world, gate, begun = World(two_cards()), threading.Event(), []
    open_tuner = world.profiles.tuner

    def slow(name: str, again: bool, say: Callable[[str], object]) -> FakeTuner:
        if again:
            begun.append(name)
            gate.wait(120)
        return open_tuner(name, again, say)

    world.profiles.tuner = slow
    async with cockpit(world) as screen:
        first = await opened(screen)
        await run_some(screen, 4)
        await screen.until(lambda: "Done." in screen.text())
        await screen.press("n", "n", "n")
        await screen.until(lambda: begun)
        assert "n anew" not in screen.text()
        gate.set()
        await screen.until(lambda: world.profiles.tuned is not first and world.profiles.tuned.engine)
        assert begun == ["writer"]


async def test_why_nothing_can_be_tuned_is_said_on_the_page(cockpit):
    def refused(*_: object) -> FakeTuner:
        raise RigtuiError("gemma does not fit this rig as it is now")

    world = World(two_cards())
    world.profiles.tuner = refused
    async with cockpit(world) as screen:
        await screen.press("P")
        await screen.until(lambda: "writer" in screen.text())
        await screen.press("T")
        await screen.until(lambda: "gemma does not fit this rig as it is now" in screen.text())
        assert "Enter start" not in screen.text()


async def test_a_trial_that_cannot_be_launched_ends_the_tuning_and_says_why(cockpit):
    world = World(two_cards())

    def broken(told, watching, given_up) -> None:
        raise RigtuiError("writer runs already as 4f1c; stop it first")

    world.profiles.tuned.run = broken
    async with cockpit(world) as screen:
        await opened(screen)
        await screen.press("enter")
        await screen.until(lambda: "runs already as 4f1c" in screen.text() and "Enter start" in screen.text())


async def test_the_plot_steps_through_what_was_measured(cockpit):
    async with cockpit(World(two_cards()), size=(80, 24)) as screen:
        await opened(screen)
        await run_some(screen, 2)
        for measure in (*MEASURES[1:], MEASURES[0]):
            await screen.press("v")
            await screen.until(lambda measure=measure: f"{measure.name}, by trial" in screen.text())


def view(**more: object) -> TuningView:
    return replace(TuningView(axes=("ubatch",), limit=6, trials=TRIALS, best=TRIALS[2].settings), **more)


def test_the_table_begins_with_the_best_and_the_plot_names_it_below_its_column():
    numbers = [line.plain[:2].strip() for line in trial_table(view(), 160)][1:]
    assert numbers == ["3", "2", "1", "4"]
    last = trial_plot(view(), MEASURES[0], 80, 9)[-1].plain
    assert last.split() == ["1", "2", "3", "best", "4"]
    assert "×" in "\n".join(line.plain for line in trial_plot(view(), MEASURES[0], 80, 9)), "the failed one is seen"


def test_no_line_is_wider_than_the_page():
    long = replace(TRIALS[1], settings=Overrides(gpus=tuple(f"GPU-{at}" for at in range(12)), kv_type=("q8_0", "q8_0"), ubatch=2048))
    for width in (60, 74, 114):
        for line in (*trial_table(view(trials=(*TRIALS, long)), width), *trial_plot(view(), MEASURES[1], width, 9)):
            assert line.cell_length <= width


async def test_where_nothing_can_be_measured_tuning_is_not_offered_and_its_key_says_why(cockpit):
    world = World(two_cards())
    world.profiles.untunable = "tuning measures this machine"
    async with cockpit(world) as screen:
        await screen.press("P")
        await screen.until(lambda: "writer" in screen.text())
        await screen.press("down")
        await screen.until(lambda: "Enter load" in screen.text())
        assert "T tune" not in screen.text()
        await screen.press("T")
        await screen.until(lambda: "tuning measures this machine" in screen.told)
        assert not world.profiles.tuned.engine and "Tune writer" not in screen.text()
