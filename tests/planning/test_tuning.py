"""The search for the best settings, on invented speeds: as good as trying everything, for a fraction of the trials."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from planning.toys import gpu, intent, rig, toy_model
from rigtui.intent.intent import Overrides, with_settings
from rigtui.planning.choose import choose
from rigtui.planning.tuning import Axis, Prospect, Search, Tried, axes, limit_of, search
from rigtui.planning.wants import wants

MODEL = toy_model()
ASKED = intent(kv=("f16", "q8_0"))
WANT = wants(MODEL, ASKED)
PLAN = choose(rig(gpu(0, 2400)), MODEL, ASKED, [])
UBATCH = Axis("ubatch", (128, 256, 512, 1024, 2048), ordered=True)
KV = Axis("kv_type", (None, ("f16", "f16"), ("q8_0", "q8_0")))
ORDER = Axis("gpus", (None, ("0",), ("0", "1"), ("1", "0")))
HEADROOM = Axis("fit_target_mib", (None, (256,), (512,)), ordered=True)
ALL = (ORDER, KV, UBATCH, HEADROOM)


def prospect(tried: Overrides) -> Prospect:
    """Every combination is a plan of its own, but what is left out is what it stands for."""
    own = (tried.gpus or ("1", "0"), tried.kv_type or ("f16", "f16"), tried.ubatch or 512, tried.fit_target_mib or (128,))
    return Prospect(PLAN, own)


LIMIT = limit_of(ALL, prospect)


def tuned(speed: Any, over: tuple[Axis, ...] = ALL, *, broken_off_after: int | None = None) -> tuple[Search, list[Overrides]]:
    """Try until nothing is left to try."""
    done: list[Tried] = []
    while (found := search(over, done, prospect, WANT, ASKED, limit=LIMIT)).next is not None:
        if broken_off_after == len(done):
            break
        done.append(Tried(settings=found.next, value=speed(*prospect(found.next).signature)))
    return found, [one.settings for one in done]


def speeds(order: float, kv: float, peak: int, headroom: float) -> Any:
    """Invented speeds with one best micro-batch; each setting counts by itself."""

    def speed(gpus: Any, kv_type: Any, ubatch: int, target: Any) -> float:
        value = 100.0 * {("0",): 1.0, ("0", "1"): order, ("1", "0"): 1.0}[gpus] * (kv if kv_type == ("q8_0", "q8_0") else 1.0)
        value *= 0.8 ** abs(UBATCH.values.index(ubatch) - peak)
        return value * headroom ** {(128,): 0, (256,): 1, (512,): 2}[target]

    return speed


@settings(max_examples=60)
@given(st.floats(0.5, 2), st.floats(0.5, 2), st.integers(0, 4), st.floats(0.5, 2))
def test_it_finds_what_a_sweep_finds_in_a_quarter_of_its_trials(order: float, kv: float, peak: int, headroom: float) -> None:
    speed = speeds(order, kv, peak, headroom)
    everything = set(product(ORDER.values[1:], KV.values[1:], UBATCH.values, ((128,), (256,), (512,))))
    best = max(speed(*one) for one in everything)
    found, trials = tuned(speed)
    assert len(trials) <= len(everything) // 4
    assert found.best is not None
    assert speed(*prospect(found.best).signature) >= 0.97 * best


def test_it_begins_with_rigtuis_own_settings_and_tries_nothing_twice() -> None:
    found, trials = tuned(speeds(1.5, 1.2, 3, 0.9))
    assert trials[0] == Overrides()
    assert len({prospect(one).signature for one in trials}) == len(trials)
    assert found.best == Overrides(gpus=("0", "1"), kv_type=("q8_0", "q8_0"), ubatch=1024)


def test_what_was_broken_off_goes_on_with_the_same_trials() -> None:
    speed = speeds(1.5, 1.2, 3, 0.9)
    _, whole = tuned(speed)
    for count in range(len(whole)):
        _, first = tuned(speed, broken_off_after=count)
        done = [Tried(settings=one, value=speed(*prospect(one).signature)) for one in first]
        assert search(ALL, done, prospect, WANT, ASKED, limit=LIMIT).next == whole[count]


def test_settings_that_do_not_work_lose_to_all_that_do() -> None:
    found, _ = tuned(lambda gpus, kv_type, ubatch, target: 0.0 if ubatch > 512 else 10.0)
    assert found.best is not None
    assert (found.best.ubatch or 512) <= 512
    nothing, trials = tuned(lambda *_: 0.0)
    assert nothing.best is None
    assert len(trials) <= LIMIT


def test_what_the_user_set_is_not_tried() -> None:
    pair = rig(gpu(0, 700, bandwidth=900), gpu(1, 700, bandwidth=300))

    def names(**own: Any) -> set[str]:
        asked = intent(kv=("f16", "q8_0"), **own)
        return {axis.name for axis in axes(pair, choose(pair, MODEL, asked, []), asked, wants(MODEL, asked))}

    assert names() == {"gpus", "kv_type", "ubatch", "fit_target_mib"}
    assert names(ubatch=256) == {"gpus", "kv_type", "fit_target_mib"}
    assert names(kv_type=("q8_0", "q8_0")) == {"gpus", "ubatch", "fit_target_mib"}
    assert names(gpus=("0", "1")) == {"kv_type", "ubatch", "fit_target_mib"}
    assert names(fit_target_mib=(200,)) == {"kv_type", "ubatch"}


def test_every_setting_it_can_try_is_one_a_user_could_set() -> None:
    pair = rig(gpu(0, 900, bandwidth=900), gpu(1, 900, bandwidth=300))
    plan = choose(pair, MODEL, ASKED, [])
    over = axes(pair, plan, ASKED, WANT)
    for values in product(*(axis.values for axis in over)):
        tried = Overrides(**dict(zip([axis.name for axis in over], values, strict=True)))
        assert choose(pair, MODEL, with_settings(ASKED, tried), []).devices
