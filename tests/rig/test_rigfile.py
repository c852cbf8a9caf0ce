from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigtui import files
from rigtui.errors import UsageError
from rigtui.rig import rigfile
from rigtui.rig.rig import Gpu, Rig
from rigtui.text import MIB
from tools.refusal import refusal, showable

RIGS = Path(__file__).parents[1] / "rigs"
RIG = '[rig]\nname = "toy"\n'
GPU = RIG + '[[gpu]]\nname = "Toy"\n'


@pytest.fixture
def load(tmp_path):
    def read(text: str) -> Rig:
        path = tmp_path / "toy.toml"
        path.write_text(text, encoding="utf-8")
        return rigfile.load(path)

    return read


def test_sizes_in_the_file_are_mib_and_in_the_value_bytes():
    rig = rigfile.load(RIGS / "golden-4090-5070ti.toml")
    assert (rig.name, rig.platform, rig.driver, rig.cuda, rig.simulated) == ("dual-desktop", "linux", "580.95", "13.0", True)
    assert (rig.ram_total_bytes, rig.ram_free_bytes, rig.ram_bandwidth_gb_s) == (64000 * MIB, 51000 * MIB, 45)
    fast, other = rig.gpus
    assert (fast.index, fast.uuid, fast.total_bytes, fast.free_bytes) == (0, None, 24564 * MIB, 24100 * MIB)
    assert (fast.runtime_bytes, fast.display, fast.bandwidth_gb_s) == (420 * MIB, False, 1008)
    assert (other.desktop_bytes, other.unknown_bytes, other.engines_bytes) == (2900 * MIB, (16303 - 12800 - 2900) * MIB, 0)
    assert (other.reserved_bytes, other.others_bytes, other.runtime_bytes) == (None, None, None)
    assert other.bandwidth_gb_s == 896, "looked up by name"


def test_what_is_left_out_is_unknown(load):
    rig = load(GPU)
    assert (rig.platform, rig.ram_total_bytes, rig.driver) == ("linux", None, None)
    gpu = rig.gpus[0]
    assert (gpu.total_bytes, gpu.free_bytes, gpu.desktop_bytes, gpu.unknown_bytes, gpu.display) == (None, None, None, None, None)
    assert (gpu.bandwidth_gb_s, gpu.compute_capability) == (None, None)
    assert rig.usable_gpus == ()


def test_the_name_left_out_is_that_of_the_file(load):
    rig = load('[[gpu]]\nname = "RTX 3060"\n')
    assert (rig.name, len(rig.gpus)) == ("toy", 1)


def test_the_capability_is_looked_up_by_name(load):
    assert load(RIG + '[[gpu]]\nname = "RTX 3060"\n').gpus[0].compute_capability == "8.6"


def test_a_rig_without_gpus_is_a_rig():
    rig = rigfile.load(RIGS / "no-gpu.toml")
    assert (rig.gpus, rig.problem) == ((), None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "says nothing about a rig"),
        ('[rig]\nname = ""\n', "`rig.name`"),
        ('[rig]\nname = "\\u001b[2J"\n', "`rig.name`"),
        ("[rig]\nname = 5\n", "`rig.name` must be text"),
        (RIG + "ram_total_mb = 5\n", "did you mean `ram_total_mib`?"),
        (RIG + 'platform = "windows"\n', "`rig.platform`"),
        (RIG + "ram_total_mib = -1\n", "`rig.ram_total_mib`"),
        (RIG + "ram_total_mib = 5\nram_free_mib = 6\n", "`rig.ram_free_mib` is 6 MiB, more than `ram_total_mib`, 5 MiB"),
        (RIG + "[gpu]\nname = 'x'\n", "`gpu` must be a list"),
        (RIG + "[[gpus]]\nname = 'x'\n", "did you mean `gpu`?"),
        (RIG + "[[gpu]]\ntotal_mib = 5\n", "`gpu[0].name` is missing"),
        (GPU + "total = 5\n", "unknown key `total`"),
        (GPU + "total_mib = -24564\n", "`gpu[0].total_mib` must be a whole number >= 0"),
        (GPU + "total_mib = 24564.5\n", "whole number"),
        (GPU + 'total_mib = "24 GB"\n', "whole number"),
        (GPU + "total_mib = true\n", "whole number"),
        (GPU + "total_mib = 99999999999999999999\n", "`gpu[0].total_mib`"),
        (GPU + "total_mib = 10\nfree_mib = 11\n", "`gpu[0].free_mib` is 11 MiB, more than `total_mib`, 10 MiB"),
        (GPU + "total_mib = 10\nruntime_mib = 11\n", "`gpu[0].runtime_mib`"),
        (GPU + "total_mib = 10\nfree_mib = 6\ndesktop_mib = 6\n", "together` is 12 MiB"),
        (GPU + "bandwidth_gb_s = 0\n", "`gpu[0].bandwidth_gb_s`"),
        (GPU + "bandwidth_gb_s = inf\n", "`gpu[0].bandwidth_gb_s`"),
        (GPU + "bandwidth_gb_s = nan\n", "`gpu[0].bandwidth_gb_s`"),
        (GPU + "compute_capability = 8.9\n", "`gpu[0].compute_capability` must be text"),
        (GPU + 'compute_capability = "new"\n', "`gpu[0].compute_capability`"),
        (GPU + "display = 1\n", "true or false"),
        (RIG + '[[gpu]]\nname = "x"\n' * 129, "`gpu`"),
        ("[rig\n", "not valid TOML"),
        ("x = " + "[" * 100_000, "not valid TOML"),
    ],
)
def test_a_file_that_cannot_be_followed_is_one_sentence(load, text, words):
    with pytest.raises(UsageError) as caught:
        load(text)
    message = str(caught.value)
    assert words in message
    assert "toy.toml" in message
    assert "\n" not in message
    assert "\x1b" not in message


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*none\.toml"):
        rigfile.load(tmp_path / "none.toml")


@pytest.mark.parametrize("path", sorted(RIGS.glob("*.toml")), ids=lambda path: path.stem)
def test_what_is_written_is_what_was_read(path, tmp_path):
    rig = rigfile.load(path)
    copy = tmp_path / "copy.toml"
    copy.write_bytes(rigfile.dump(rig))
    assert rigfile.load(copy) == rig
    original, written = (tomllib.loads(p.read_text()) for p in (path, copy))
    assert written["rig"] == original["rig"]
    for before, after in zip(original.get("gpu", []), written["gpu"], strict=True):
        assert before.items() <= after.items(), "what was looked up may be added"


def test_a_saved_rig_is_what_there_is_before_any_engine():
    gpu = Gpu(
        index=0, name="Toy", uuid="GPU-1", total_bytes=100 * MIB, free_bytes=60 * MIB + 5, engines_bytes=30 * MIB, desktop_bytes=5 * MIB
    )
    lost = Gpu(index=1, name="Lost", error="the card fell off the bus")
    content = tomllib.loads(rigfile.dump(Rig(name="toy", platform="macos", gpus=(gpu, lost))).decode())
    assert content == {
        "rig": {"name": "toy", "platform": "linux"},
        "gpu": [{"name": "Toy", "total_mib": 100, "free_mib": 90, "desktop_mib": 5}],
    }


names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Cc", "Cs", "Zs")), min_size=1, max_size=20)
maybe_names = st.none() | names
bandwidths = st.none() | st.floats(0.5, 10_000)


@st.composite
def gpus(draw):
    total = draw(st.integers(0, 1 << 20))
    free = draw(st.integers(0, total))
    desktop = draw(st.none() | st.integers(0, total - free))
    return Gpu(
        index=0,
        name=draw(names),
        compute_capability=draw(st.sampled_from([None, "8.9", "12.0"])),
        total_bytes=total * MIB,
        free_bytes=free * MIB,
        desktop_bytes=None if desktop is None else desktop * MIB,
        engines_bytes=0,
        unknown_bytes=(total - free - (desktop or 0)) * MIB,
        display=draw(st.sampled_from([None, True, False])),
        bandwidth_gb_s=draw(bandwidths),
        runtime_bytes=draw(st.none() | st.integers(0, total).map(lambda mib: mib * MIB)),
    )


@st.composite
def rigs(draw):
    total = draw(st.integers(0, 1 << 24))
    cards = draw(st.lists(gpus(), max_size=8))
    return Rig(
        name=draw(names),
        platform=draw(st.sampled_from(["linux", "wsl2"])),
        gpus=tuple(Gpu(**{name: getattr(gpu, name) for name in gpu.__struct_fields__} | {"index": i}) for i, gpu in enumerate(cards)),
        driver=draw(maybe_names),
        cuda=draw(maybe_names),
        ram_total_bytes=total * MIB,
        ram_free_bytes=draw(st.integers(0, total)) * MIB,
        ram_bandwidth_gb_s=draw(bandwidths),
        simulated=True,
    )


@given(rig=rigs())
def test_any_rig_comes_back_as_it_was_saved(tmp_path_factory, rig):
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(rigfile.dump(rig))
    assert rigfile.load(path) == rig


keys = st.sampled_from([*rigfile._RigTable.__struct_fields__, *rigfile._GpuTable.__struct_fields__, "nonsense"])
values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2)
)
tables = st.dictionaries(keys, values, max_size=5)


@given(rig=tables | values, gpu=st.lists(tables, max_size=3) | tables | values)
def test_any_content_is_a_rig_or_one_sentence(tmp_path_factory, rig, gpu):
    path = tmp_path_factory.getbasetemp() / "fuzz.toml"
    try:
        path.write_bytes(files.dump_toml({"rig": rig, "gpu": gpu}))
    except (TypeError, UnicodeEncodeError):
        return  # not TOML
    assert a_rig_or_one_sentence(path)


@given(data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: (GPU + text).encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_rig_or_one_sentence(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "bytes.toml"
    path.write_bytes(data)
    assert a_rig_or_one_sentence(path)


def a_rig_or_one_sentence(path: Path) -> bool:
    """A rig whose names can be shown and whose cards have no more free than they have, or one sentence that names the file."""
    said = refusal(lambda: rigfile.load(path))
    if said:
        return showable(said) and str(path) in said
    rig = rigfile.load(path)
    names = [rig.name, rig.driver or "", rig.cuda or "", *(gpu.name for gpu in rig.gpus)]
    held = all((gpu.free_bytes or 0) <= gpu.total_bytes for gpu in rig.gpus if gpu.total_bytes is not None)
    return held and all(map(showable, names))
