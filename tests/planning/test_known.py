"""What an engine has shown takes the place of the estimate, and nothing else does."""

from __future__ import annotations

from msgspec.structs import replace

from planning.toys import gpu, intent, rig, toy_model
from rigtui.engines.engine import Build
from rigtui.engines.llamacpp.builds import build_id
from rigtui.planning.choose import choose
from rigtui.planning.known import Known, Seen, SeenDevice, Way
from rigtui.planning.plan import Plan, PlanHost
from rigtui.rig.rig import Rig
from rigtui.text import MIB

BUILD = Build(engine="llama.cpp", label="llama-server", version="7", argv=("llama-server",))
PAIR = rig(gpu(0, 900), gpu(1, 900))


def planned(known: Known = Known(), on: Rig = PAIR, **own: object) -> Plan:  # noqa: B008 a value
    return choose(on, toy_model(), intent(**own), [BUILD], known=known)  # type: ignore[arg-type]


def shown(plan: Plan, *, context: int | None = None, layers: tuple[int, int] | None = None, more_compute: int = 0) -> Seen:
    """The plan as an engine might show it."""
    first = layers or tuple(device.layers for device in plan.devices)
    devices = tuple(
        SeenDevice(
            layers=count,
            first_layer=sum(first[:index]),
            output=device.output,
            weights_bytes=device.weights_bytes,
            kv_bytes=device.kv_bytes,
            compute_bytes=device.compute_bytes + more_compute,
            free_bytes=device.free_before_bytes - device.floor_bytes,
        )
        for index, (device, count) in enumerate(zip(plan.devices, first, strict=True))
    )
    way = Way(
        fingerprint=toy_model().fingerprint,
        build=build_id(BUILD),
        cards=tuple(device.name for device in plan.devices),
        slots=1,
        kv_type=plan.kv_type,
        batch=2048,
        ubatch=512,
    )
    return Seen(
        basis="verified",
        way=way,
        context=context or plan.context,
        fit_target_mib=plan.fit_target_mib,
        pipeline=bool(plan.engine_view.pipeline_parallel),
        devices=devices,
        host=PlanHost(weights_bytes=plan.host.weights_bytes, compute_bytes=plan.host.compute_bytes),
    )


def test_what_was_shown_replaces_the_estimate() -> None:
    before = planned()
    after = planned(Known(seen=(shown(before, more_compute=7 * MIB),)))
    assert (before.basis, after.basis) == ("estimated", "verified")
    assert [a.compute_bytes - b.compute_bytes for a, b in zip(after.devices, before.devices, strict=True)] == [7 * MIB] * 2
    assert all(a.used_bytes == a.weights_bytes + a.kv_bytes + a.compute_bytes + a.floor_bytes for a in after.devices)


def test_another_context_is_corrected_by_what_was_seen() -> None:
    before = planned()
    other = planned(Known(seen=(shown(before, more_compute=7 * MIB),)), context=4096)
    plain = planned(context=4096)
    assert other.basis == "estimated"
    assert [a.compute_bytes - b.compute_bytes for a, b in zip(other.devices, plain.devices, strict=True)] == [7 * MIB] * 2


def test_an_engine_that_places_the_layers_otherwise_is_believed() -> None:
    before = planned()
    counts = [device.layers for device in before.devices]
    other = (counts[0] - 1, counts[1] + 1)
    after = planned(Known(seen=(shown(before, layers=other),)))
    assert tuple(device.layers for device in after.devices) == other
    assert after.basis == "verified"
    assert "verify_differs" in {warning.code for warning in after.warnings}


def test_what_was_shown_of_another_build_model_or_setting_is_left_aside() -> None:
    seen = shown(planned(), more_compute=7 * MIB)
    for way in (
        replace(seen.way, build="another"),
        replace(seen.way, fingerprint="another"),
        replace(seen.way, ubatch=1024),
        replace(seen.way, cards=("Card 1", "Card 0")),
        replace(seen.way, own=("-fa", "off")),
    ):
        assert planned(Known(seen=(replace(seen, way=way),))) == planned()


def test_less_free_memory_makes_the_answer_to_the_same_question_open_again() -> None:
    before = planned()
    counts = [device.layers for device in before.devices]
    seen = shown(before, layers=(counts[0] - 1, counts[1] + 1))
    tighter = planned(Known(seen=(seen,)), on=rig(gpu(0, 860), gpu(1, 860)))
    assert tighter.basis == "estimated"


def test_an_observed_runtime_counts_where_the_rig_says_none() -> None:
    known = Known(runtime={"GPU-0": 300 * MIB, "GPU-1": 300 * MIB})
    unsaid = rig(*(replace(card, free_bytes=2000 * MIB, runtime_bytes=None) for card in PAIR.gpus))
    assert {device.floor_bytes for device in planned(known, on=unsaid).devices} == {300 * MIB}
    assert {device.floor_bytes for device in planned(known).devices} == {0}
