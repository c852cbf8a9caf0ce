from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rigtui.rig.division import Engines, divide
from rigtui.rig.rig import Gpu, GpuProcess
from rigtui.text import MIB

UUID = "GPU-1"


def card(*processes: GpuProcess, free: int = 600, reserved: int | None = 100, listed: bool = True) -> Gpu:
    """A card of 1,000 MiB."""
    return Gpu(
        index=0,
        name="toy",
        uuid=UUID,
        total_bytes=1000 * MIB,
        free_bytes=free * MIB,
        reserved_bytes=None if reserved is None else reserved * MIB,
        processes=processes if listed else None,
    )


def process(pid: int, kind: str, mib: int | None) -> GpuProcess:
    return GpuProcess(pid=pid, name=f"p{pid}", kind=kind, bytes=None if mib is None else mib * MIB)


def parts(gpu: Gpu) -> dict[str, int | None]:
    names = ("reserved", "desktop", "others", "engines", "unknown", "free")
    sizes = {name: getattr(gpu, f"{name}_bytes") for name in names}
    return {name: None if size is None else size // MIB for name, size in sizes.items()}


def test_every_process_counts_where_it_belongs():
    gpu = divide(
        card(process(1, "graphics", 50), process(2, "compute", 80), process(3, "compute", 120), process(4, "graphics", 30)),
        "linux",
        Engines(pids=frozenset({3})),
    )
    assert parts(gpu) == {"reserved": 100, "desktop": 80, "others": 80, "engines": 120, "unknown": 20, "free": 600}
    assert [p.engine for p in gpu.processes] == [False, False, True, False]


def test_an_engine_that_draws_is_still_an_engine():
    gpu = divide(card(process(3, "graphics", 200)), "linux", Engines(pids=frozenset({3})))
    assert (parts(gpu)["engines"], parts(gpu)["desktop"]) == (200, 0)


def test_nobody_there_is_zero_and_not_unknown():
    gpu = divide(card(free=900), "linux")
    assert parts(gpu) == {"reserved": 100, "desktop": 0, "others": 0, "engines": 0, "unknown": 0, "free": 900}


def test_an_older_driver_leaves_its_reserved_part_in_unknown():
    gpu = divide(card(reserved=None, free=900), "linux")
    assert parts(gpu) == {"reserved": None, "desktop": 0, "others": 0, "engines": 0, "unknown": 100, "free": 900}


def test_bytes_that_the_driver_hides_are_unknown():
    gpu = divide(card(process(1, "graphics", 50), process(2, "compute", None)), "linux")
    assert parts(gpu) == {"reserved": 100, "desktop": 50, "others": None, "engines": 0, "unknown": 250, "free": 600}


def test_wsl_without_a_list_trusts_the_engines_log():
    for listed in (True, False):  # an empty list under WSL says as little as none
        gpu = divide(card(listed=listed), "wsl2", Engines(pids=frozenset({7}), bytes_by_uuid={UUID: 220 * MIB}))
        assert parts(gpu) == {"reserved": 100, "desktop": None, "others": None, "engines": 220, "unknown": 80, "free": 600}
        assert gpu.processes is None


def test_wsl_with_a_list_without_bytes_names_the_engine_and_takes_its_log():
    gpu = divide(card(process(7, "compute", None)), "wsl2", Engines(pids=frozenset({7}), bytes_by_uuid={UUID: 220 * MIB}))
    assert parts(gpu)["engines"] == 220
    assert parts(gpu)["unknown"] == 80
    assert gpu.processes[0].engine


def test_an_engine_nobody_can_measure_is_unknown_not_zero():
    assert parts(divide(card(listed=False), "wsl2", Engines(pids=frozenset({7}))))["engines"] is None


def test_an_engine_elsewhere_leaves_this_card_at_zero():
    gpu = divide(card(listed=False), "wsl2", Engines(pids=frozenset({7}), bytes_by_uuid={"GPU-2": MIB}))
    assert parts(gpu)["engines"] == 0


def test_a_list_that_claims_more_than_is_held_is_cut_at_the_desktop_first():
    gpu = divide(
        card(process(1, "graphics", 200), process(2, "compute", 100), process(3, "compute", 150)), "linux", Engines(pids=frozenset({3}))
    )
    assert parts(gpu) == {"reserved": 100, "desktop": 50, "others": 100, "engines": 150, "unknown": 0, "free": 600}


def test_nothing_is_divided_while_total_or_free_is_unknown():
    gpu = divide(Gpu(index=0, name="lost", total_bytes=1000 * MIB), "linux")
    assert parts(gpu) == dict.fromkeys(("reserved", "desktop", "others", "engines", "unknown", "free"))


sizes = st.integers(0, 1 << 40)
maybe_sizes = st.none() | sizes
processes = st.none() | st.lists(
    st.builds(GpuProcess, pid=st.integers(1, 9), name=st.just("p"), kind=st.sampled_from(["graphics", "compute"]), bytes=maybe_sizes),
    max_size=6,
).map(tuple)


@given(
    total=sizes,
    free=sizes,
    reserved=maybe_sizes,
    processes=processes,
    platform=st.sampled_from(["linux", "wsl2"]),
    pids=st.frozensets(st.integers(1, 9)),
    logged=st.dictionaries(st.sampled_from([UUID, "GPU-2"]), sizes),
)
def test_the_known_parts_always_add_up_to_the_total(total, free, reserved, processes, platform, pids, logged):
    gpu = Gpu(index=0, name="any", uuid=UUID, total_bytes=total, free_bytes=free, reserved_bytes=reserved, processes=processes)
    divided = divide(gpu, platform, Engines(pids, logged))
    known = [
        size
        for size in (
            divided.reserved_bytes,
            divided.desktop_bytes,
            divided.others_bytes,
            divided.engines_bytes,
            divided.unknown_bytes,
            divided.free_bytes,
        )
        if size is not None
    ]
    assert sum(known) == total
    assert min(known) >= 0
    assert divided.unknown_bytes is not None
