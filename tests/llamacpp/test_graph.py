"""Compute buffers: the allocator's rules in small numbers, and what must hold for every model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rigtui.engines.llamacpp.compute import alone, computation, is_measured
from rigtui.engines.llamacpp.graph.allocator import Tape
from rigtui.engines.llamacpp.graph.pieces import Joined, Piece, by_number
from rigtui.engines.llamacpp.graph.schedule import tapes
from rigtui.engines.llamacpp.graph.tensors import Cells, Graph, Tensor
from rigtui.engines.llamacpp.placement import HOST, Placement
from rigtui.engines.llamacpp.settings import Settings
from rigtui.text import MIB
from tools.make_gguf import model
from tools.specs import NAMES

FLOATS = 256
"""So many are 1,024 bytes."""


def weight(graph: Graph, device: int, *ne: int) -> Tensor:
    return graph.stored(device, ne, (4 * ne[0] * ne[1], 0, 0), weight=True)


def joined(graph: Graph, gpus: int) -> Joined:
    return Joined([(Piece(graph), by_number({gpus: HOST} | {gpu: gpu for gpu in range(gpus)}))])


def peak(graph: Graph, gpus: int = 1, copies: int = 1, cells: int = 0) -> list[int]:
    return [tape.peak(cells, cells) for tape in tapes(joined(graph, gpus), gpus, copies)]


def test_a_sum_takes_the_place_of_what_nothing_else_needs() -> None:
    graph = Graph()
    x = graph.mul_mat(weight(graph, 0, 8, FLOATS), graph.input(8, 1))
    graph.expand(graph.like("add", graph.like("scale", x), weight(graph, 0, FLOATS, 1)))
    copied_input = 128  # 32 bytes, aligned
    assert peak(graph)[0] == 1024 + copied_input


def test_what_is_needed_later_stays_where_it_is() -> None:
    graph = Graph()
    x = graph.mul_mat(weight(graph, 0, 8, FLOATS), graph.input(8, 1))
    graph.expand(graph.like("add", graph.like("scale", x), x))
    assert peak(graph)[0] == 2 * 1024 + 128


def test_the_smallest_hole_that_holds_it_is_taken() -> None:
    tape = Tape(1)
    tape.sizes = [(size, 0, 0) for size in (30, 10, 20, 10, 15, 20)]
    tape.steps = [0, 1, 2, 3, ~0, ~2, 4, 5]  # holes of 30 and 20: 15 goes into the smaller, 20 into the other
    assert tape.peak(0, 0) == 70


def test_weights_in_ram_are_copied_to_the_first_card() -> None:
    graph = Graph()
    graph.expand(graph.mul_mat(weight(graph, HOST, 8, FLOATS), graph.input(8, 32)))
    gpu, _ = peak(graph)
    assert gpu == 4 * 8 * FLOATS + 4 * 8 * 32 + 32 * 1024


def test_few_rows_are_computed_where_the_weights_are() -> None:
    graph = Graph()
    graph.expand(graph.mul_mat(weight(graph, HOST, 8, FLOATS), graph.input(8, 31)))
    assert peak(graph) == [0, 4 * 8 * 31 + 31 * 1024]


def test_several_copies_of_inputs_are_kept() -> None:
    one, four = Graph(), Graph()
    for graph in (one, four):
        graph.expand(graph.mul_mat(weight(graph, 0, 1024, FLOATS), graph.input(1024, 1)))
    assert peak(four, copies=4)[0] - peak(one)[0] == 3 * 4096


def test_sizes_grow_with_the_cells_of_the_cache() -> None:
    graph = Graph()
    graph.expand(graph.like("copied", graph.input(Cells.FULL, 16)))
    recorded = tapes(joined(graph, 0), 0, 1)[0]
    assert recorded.peak(1024, 0) == 2 * recorded.peak(512, 0)


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 5)), min_size=1, max_size=60))
def test_never_less_than_what_is_alive_at_once(tensors: list[tuple[int, int]]) -> None:
    tape, alive, most, waiting = Tape(1), 0, 0, []
    for number, (size, lives) in enumerate(tensors):
        tape.sizes.append((size, 0, 0))
        tape.steps.append(number)
        alive += size
        most = max(most, alive)
        waiting.append([lives, number])
        for item in list(waiting):
            item[0] -= 1
            if item[0] < 0:
                waiting.remove(item)
                tape.steps.append(~item[1])
                alive -= tensors[item[1]][0]
    assert most <= tape.peak(0, 0) <= sum(size for size, _ in tensors)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_known_is_never_estimated_lower(name: str) -> None:
    known = model(name)
    unknown = replace(known, architecture="nobody-knows", fingerprint="other")
    assert is_measured(known)
    assert not is_measured(unknown)
    settings = Settings(slots=2)
    for pipeline in (False, True):
        least = alone(known, settings, 8192, pipeline=pipeline)
        assert alone(unknown, settings, 8192, pipeline=pipeline) >= least - 32 * MIB


@pytest.mark.parametrize("name", NAMES)
def test_more_never_costs_less(name: str) -> None:
    known = model(name)
    base = Settings()
    assert alone(known, replace(base, ubatch=1024), 8192, pipeline=False) >= alone(known, base, 8192, pipeline=False)
    assert alone(known, base, 16384, pipeline=False) >= alone(known, base, 8192, pipeline=False)
    assert alone(known, base, 8192, pipeline=True) >= alone(known, base, 8192, pipeline=False)


@pytest.mark.parametrize(
    "name", ["qwen3.5-9b-q4_k_m", "deepseek-v2-lite-q4_k_m", "qwen3-30b-a3b-q4_k_m", "lfm2-1.2b-q4_k_m", "phi-2-q4_k_m"]
)
def test_a_file_that_lacks_a_tensor_is_estimated(name: str) -> None:
    whole = model(name)
    for lacking in sorted({tensor.name.split(".", 2)[2] for tensor in whole.tensors if tensor.layer == 1}):
        broken = replace(whole, tensors=tuple(t for t in whole.tensors if not t.name.endswith(lacking)), fingerprint=lacking)
        assert alone(broken, Settings(), 4096, pipeline=False) > 0


def test_every_device_of_a_long_row_needs_the_same() -> None:
    known = model("qwen3-32b-q4_k_m")
    home = tuple(layer * 4 // 65 for layer in range(65))
    found = computation(known, Settings(), (), 8192)
    sizes = [found.buffer(Placement(home), device, 8192, pipeline=True) for device in range(4)]
    assert max(sizes) - min(sizes) < MIB


def test_layers_in_ram_cost_the_first_card_and_no_other() -> None:
    known = model("qwen3-32b-q4_k_m")
    found = computation(known, Settings(), (), 8192)
    spilled = Placement((HOST,) * 20 + (0,) * 20 + (1,) * 25)
    whole = Placement((0,) * 40 + (1,) * 25)
    assert found.buffer(spilled, 0, 8192, pipeline=False) > found.buffer(whole, 0, 8192, pipeline=False)
    assert found.buffer(spilled, 1, 8192, pipeline=False) <= found.buffer(whole, 1, 8192, pipeline=False) + 24 * MIB


def test_what_a_tensor_without_bytes_leaves_in_a_hole_keeps_that_hole_from_the_open_end() -> None:
    """As ggml-alloc.c does it: a hole of no size after the one that holds it, and only the next in the list is looked at when joining."""
    before, empty, after, last, large = range(5)
    steps = [before, empty, after, last, ~after, ~before, ~empty, ~last, large]
    tape = Tape(128)
    tape.sizes = [(size, 0, 0) for size in (128, 0, 128, 128, 512)]
    tape.steps = [step for step in steps if step not in (empty, ~empty)]
    assert tape.peak(0, 0) == 512
    tape.steps, tape.known = steps, {}
    assert tape.peak(0, 0) == 384 + 512


def test_a_micro_batch_is_no_larger_than_the_context_asked_for_however_far_that_is_padded() -> None:
    known, base = model("stablelm-zephyr-3b-q4_k_m"), Settings(slots=4, ubatch=512)
    assert base.context_allocated(512) == 1024
    larger = replace(base, ubatch=2048)
    assert alone(known, larger, 512, pipeline=False) == alone(known, base, 512, pipeline=False)
    assert alone(known, larger, 1024, pipeline=False) > alone(known, base, 1024, pipeline=False)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ubatch", [128, 2048])
def test_bounds_hold_wherever_the_layers_lie(name: str, ubatch: int) -> None:
    known = model(name)
    found, count = computation(known, Settings(ubatch=ubatch), (), 8192), known.layers
    for first, second, in_ram in ((1, 2, 0), (count // 3, count // 2, 0), (count // 2, count - 1, 0), (count // 2, count - 2, 2)):
        home = (HOST,) * in_ram + (0,) * (first - in_ram) + (1,) * (second - first) + (2,) * (count + 1 - second)
        placement, pipeline = Placement(home), not in_ram
        for device in range(3):
            least, most = found.bounds(placement, device, 8192, pipeline=pipeline)
            for projected in (False, True):
                buffer = found.buffer(placement, device, 8192, pipeline=pipeline, projected=projected)
                assert least <= buffer
                assert most is None or buffer <= most


@pytest.mark.parametrize(("in_ram", "lost"), [(18, False), (19, True), (20, True), (21, False)])
def test_flash_attention_is_lost_where_a_gpus_states_follow_attention_in_ram(in_ram: int, lost: bool) -> None:
    known = model("nemotron-h-8b-q4_k_m")  # block 18 is attention, 20 has the next state
    placement = Placement((HOST,) * in_ram + (0,) * (known.layers + 1 - in_ram))
    assert computation(known, Settings(), (), 8192).has_flash(placement) != lost


@pytest.mark.parametrize(("name", "always", "lost"), [("lfm2-1.2b-q4_k_m", False, True), ("lfm2-1.2b-q4_k_m", True, False)])
def test_states_in_ram_draw_attention_there_unless_it_is_told_to_be_in_one_piece(name: str, always: bool, lost: bool) -> None:
    known = model(name)
    found = computation(known, Settings(kv_offload=False, flash_always=always), (), 8192)
    assert found.has_flash(Placement((0,) * (known.layers + 1))) != lost


@pytest.mark.parametrize("name", ["gemma-3-4b-q4_k_m", "qwen3-0.6b-q4_k_m", "mixtral-8x7b-q4_k_m"])
def test_a_cache_in_ram_is_measured_on_the_card_and_then_attended_to_in_ram(name: str) -> None:
    known = model(name)
    home = Placement((0,) * (known.layers + 1))
    for flash, differs in ((True, False), (False, True)):
        found = computation(known, Settings(kv_offload=False, flash_attention=flash), (), 8192)
        measured, real = (found.buffer(home, 0, 8192, pipeline=False, projected=projected) for projected in (True, False))
        measured_in_ram, in_ram = (found.host_buffer(home, 1, 8192, pipeline=False, projected=projected) for projected in (True, False))
        assert (measured > real) == differs
        assert (measured_in_ram < in_ram) == differs


def test_what_is_not_rotated_needs_no_positions() -> None:
    known = model("granite-4.0-h-tiny-q4_k_m")
    assert alone(replace(known, rotates=False), Settings(), 8192, pipeline=True) < alone(known, Settings(), 8192, pipeline=True)


@pytest.mark.parametrize("name", ["bge-large-f16", "llama-3.1-8b-q4_k_m", "mamba2-2.7b-q4_k_m"])
def test_a_card_that_is_given_nothing_needs_nothing(name: str) -> None:
    known = model(name)
    found = computation(known, Settings(), (), 512)
    assert found.buffer(Placement((0,) * (known.layers + 1)), 1, 512, pipeline=False) == 0
