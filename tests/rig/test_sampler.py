from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

import nvml_stub as stubs
from rigtui.rig.division import Engines
from rigtui.rig.rig import Rig
from rigtui.rig.sampler import Sampler, read_rig

DEADLINE_S = 120.0
TOY = Rig(name="toy", platform="linux")


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


@pytest.fixture
def sampler():
    made: list[Sampler] = []

    def make(*args, **kwargs) -> Sampler:
        made.append(Sampler(*args, **kwargs))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_it_reads_at_once_and_again_at_the_interval(sampler):
    told: list[Rig] = []
    one = sampler(0.01, read=lambda _: TOY)
    assert one.latest is None
    one.subscribe(told.append)
    one.start()
    wait_for(lambda: len(told) >= 3)
    assert one.latest is TOY


def test_it_tells_the_reading_which_engines_run(sampler):
    seen: list[Engines] = []
    one = sampler(0.01, engines=lambda: Engines(frozenset({7})), read=lambda engines: seen.append(engines) or TOY)
    one.start()
    wait_for(lambda: seen)
    assert seen[0].pids == {7}


def test_stop_does_not_wait_for_the_interval(sampler):
    one = sampler(3600, read=lambda _: TOY)
    one.start()
    wait_for(lambda: one.latest)
    thread = next(t for t in threading.enumerate() if t.name == "rig-sampler")
    one.stop(wait_s=DEADLINE_S)
    assert not thread.is_alive()


def test_stop_does_not_wait_for_a_driver_that_hangs(sampler):
    hanging, release = threading.Event(), threading.Event()

    def hang(_: Engines) -> Rig:
        hanging.set()
        release.wait(DEADLINE_S)
        return TOY

    one = sampler(3600, read=hang)
    one.start()
    assert hanging.wait(DEADLINE_S)
    one.stop(wait_s=0.01)  # comes back although the reading goes on
    assert one.latest is None
    release.set()


def test_a_shorter_interval_holds_at_once(sampler):
    told: list[Rig] = []
    one = sampler(3600, read=lambda _: TOY)
    one.subscribe(told.append)
    one.start()
    wait_for(lambda: told)
    assert told == [TOY]
    one.interval_s = 0.01
    wait_for(lambda: len(told) >= 3)
    assert one.latest is TOY


def test_it_can_be_started_again(sampler):
    told: list[Rig] = []
    one = sampler(3600, read=lambda _: TOY)
    one.subscribe(told.append)
    one.start()
    wait_for(lambda: len(told) == 1)
    one.stop(wait_s=DEADLINE_S)
    assert told == [TOY]
    one.start()
    wait_for(lambda: len(told) > 1)
    assert told == [TOY, TOY]


def test_who_left_is_told_no_more(sampler):
    left: list[Rig] = []
    stayed: list[Rig] = []
    one = sampler(0.01, read=lambda _: TOY)
    leave = one.subscribe(left.append)
    one.subscribe(stayed.append)
    leave()
    leave()
    one.start()
    wait_for(lambda: stayed)
    assert left == []


def test_neither_a_reading_nor_a_subscriber_that_fails_ends_it(sampler):
    told: list[Rig] = []
    answers = iter([TOY, RuntimeError("ctypes went mad"), TOY])

    def read(_: Engines) -> Rig:
        answer = next(answers, TOY)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def fail(_: Rig) -> None:
        raise ValueError

    one = sampler(0.01, read=read)
    one.subscribe(fail)
    one.subscribe(told.append)
    one.start()
    wait_for(lambda: len(told) >= 3)
    assert told[0].problem is None
    assert "ctypes went mad" in told[1].problem
    assert (told[1].name, told[2].problem) == ("toy", None)


def test_it_shows_what_changes_on_the_cards(sampler, nvml_stub, reader):
    stub = nvml_stub(stubs.MIXED)
    one = sampler(0.01, read=reader().read)
    one.start()
    wait_for(lambda: one.latest and len(one.latest.gpus) == 2)
    stub.write(stubs.DRIVER + stubs.RTX_5070_TI)
    wait_for(lambda: len(one.latest.gpus) == 1)
    assert [gpu.name for gpu in one.latest.gpus] == ["NVIDIA GeForce RTX 5070 Ti"]


def test_readings_of_one_process_share_an_open_driver(nvml_stub, monkeypatch):
    import pynvml

    nvml_stub(stubs.MIXED)
    opened: list[int] = []
    original = pynvml.nvmlInit
    monkeypatch.setattr(pynvml, "nvmlInit", lambda: opened.append(1) or original())
    monkeypatch.setattr("rigtui.rig.sampler._shared", None)
    first, second = read_rig(), read_rig()
    assert len(first.gpus) == len(second.gpus) == 2
    assert opened == [1]
    assert first.taken_at < second.taken_at
