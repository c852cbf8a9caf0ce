"""The partition with the most KV blocks: against every other one, and against vLLM's own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from rigtui.engines.vllm.footprint import Demand, demand
from rigtui.engines.vllm.partition import best, even, least_blocks
from rigtui.engines.vllm.settings import Settings
from rigtui.text import MIB
from tools.toy_checkpoints import toy

BUDGETS = st.lists(st.integers(600, 6000), min_size=1, max_size=4)
MODELS = st.builds(
    toy,
    st.integers(4, 14),
    head=st.sampled_from([10 * MIB, 100 * MIB, 600 * MIB]),
    tied=st.booleans(),
    states=st.booleans(),
    kv_heads=st.sampled_from([1, 2, 8]),
)


def every(layers: int, stages: int) -> Iterator[tuple[int, ...]]:
    """All partitions with at least one layer a stage."""
    for cuts in combinations(range(1, layers), stages - 1):
        yield tuple(b - a for a, b in zip((0, *cuts), (*cuts, layers), strict=True))


def needs(model: object, stages: int, *, eager: bool = True) -> Demand:
    return demand(model, Settings(stages=stages, context=4096, sequences=4, batched_tokens=512, eager=eager))  # type: ignore[arg-type]


@settings(max_examples=200)
@given(MODELS, BUDGETS, st.booleans())
def test_no_other_partition_keeps_more(model: object, budgets_mib: list[int], eager: bool) -> None:
    budgets = [size * MIB for size in budgets_mib]
    want = needs(model, len(budgets), eager=eager)
    most = max(least_blocks(want, budgets, partition) for partition in every(want.model.layers, len(budgets)))
    found = best(want, budgets)
    if found is None:
        assert most < 0
    else:
        assert sum(found) == want.model.layers
        assert least_blocks(want, budgets, found) == most
        assert most >= least_blocks(want, budgets, even(want.model.layers, len(budgets)))


def test_it_beats_the_even_split_wherever_cards_differ() -> None:
    """20 layers of 100 MiB on 3,000 and 1,600 MiB: the even split leaves the small card nothing."""
    want = needs(toy(20), 2)
    budgets = [3000 * MIB, 1600 * MIB]
    found = best(want, budgets)
    assert found is not None
    assert found[0] > found[1]
    assert least_blocks(want, budgets, found) > least_blocks(want, budgets, even(20, 2))


def test_a_heavy_head_takes_layers_off_the_last_stage_of_alike_cards() -> None:
    want = needs(toy(20, head=800 * MIB, tied=False), 3)
    found = best(want, [2500 * MIB] * 3)
    assert found is not None
    assert found[1] > found[0]
    assert found[1] > found[2]


def test_the_even_split_is_vllms_own() -> None:
    """distributed/utils.py: what is left over goes to the stages before the last."""
    assert even(64, 4) == (16, 16, 16, 16)
    assert even(65, 4) == (16, 16, 17, 16)
    assert even(66, 4) == (16, 17, 17, 16)
    assert even(67, 4) == (17, 17, 17, 16)
    assert even(5, 2) == (3, 2)


def test_more_stages_than_layers_have_no_partition() -> None:
    assert best(needs(toy(3), 4), [4000 * MIB] * 4) is None
