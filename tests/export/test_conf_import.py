"""models.conf to profiles and back: what its owner wrote comes back as it was, and what its reader would do is what the profile says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from export.plans import BOTH, DESK, RTX_4090, RTX_5070_TI, plan
from rigtui.errors import RigtuiError, UsageError
from rigtui.export.conf_file import parse
from rigtui.export.conf_profiles import as_written, read
from rigtui.export.exported import Exported
from rigtui.export.models_conf import ConfOptions, write
from rigtui.intent.profile import Profile, dump, parse_text
from rigtui.rig.rig import Gpu

REAL = r"""
# =====================
# models.conf
# =====================

# Q4: fits on one card
[glm-flash-q4]
NAME=GLM-4.7 Flash Q4_K_M
DESCRIPTION=Fast general tasks, reasoning — tool calling
SPEED=~147 t/s
MODEL=GLM-4.7-Flash/GLM-4.7-Flash-Q4_K_M.gguf
CTX_SIZE=131072
EXTRA_ARGS=--jinja -np 1 --temp 1.0 --top-p 0.95 --split-mode none --main-gpu 0

[gpt-oss-120b]
NAME=GPT-OSS 120B F16
MODEL=GPT-OSS-120b/gpt-oss-120b-F16.gguf
CTX_SIZE=65536
N_GPU_LAYERS=99
FIT=off
EXTRA_ARGS=--jinja -np 1 -b 4096 -ub 4096 -ot blk\.([0-9]|1[01])\.=CUDA0,blk\.(1[2-5])\.=CUDA1,exps=CPU

[bench-four]
MODEL=a/b.gguf
CTX_SIZE=40960
FIT_TARGET=128,1024
EXTRA_ARGS=-np 4 -ctk f16 -ctv q5_1 -ts 3,1
"""


def profiles(text: str) -> dict[str, Profile]:
    return {profile.name: profile for profile in read(text, "models.conf", "/srv/models").profiles}


def back(found: dict[str, Profile], models_dir: str | None = None) -> dict[str, dict[str, str]]:
    text = write([Exported(profile, None) for profile in found.values()], ConfOptions(models_dir=models_dir))
    return {section.id: section.values for section in parse(text, "x").sections}


def test_a_real_file() -> None:
    found = profiles(REAL)
    glm, oss, four = found.values()
    assert (glm.model, glm.use_case, glm.engine) == ("/srv/models/GLM-4.7-Flash/GLM-4.7-Flash-Q4_K_M.gguf", "chat", "llama.cpp")
    assert glm.summary == "Fast general tasks, reasoning — tool calling"
    assert (glm.overrides.context, glm.overrides.parallel, glm.overrides.kv_type) == (131072, 1, "q8_0")
    assert glm.overrides.engine_args == ("--jinja", "--temp", "1.0", "--top-p", "0.95", "--split-mode", "none", "--main-gpu", "0")
    assert oss.overrides.engine_args[:4] == ("--n-gpu-layers", "99", "--fit", "off")
    assert oss.overrides.engine_args[-2:] == ("-ot", r"blk\.([0-9]|1[01])\.=CUDA0,blk\.(1[2-5])\.=CUDA1,exps=CPU")
    assert oss.overrides.ubatch == 4096
    assert (four.use_case, four.overrides.parallel, four.overrides.context) == ("benchmark", 4, 10240)
    assert (four.overrides.kv_type, four.overrides.fit_target_mib) == (("f16", "q5_1"), (128, 1024))


def test_what_switches_fit_off_is_kept_and_flagged_with_its_mend() -> None:
    remarks = read(REAL, "models.conf", "/srv/models").remarks
    assert [remark for remark in remarks if "switches fit off" in remark] == [
        "line 19: [gpt-oss-120b] N_GPU_LAYERS=99 switches fit off; mend: auto",
        "line 20: [gpt-oss-120b] FIT=off switches fit off; mend: on",
        "line 21: [gpt-oss-120b] -ot switches fit off; mend: remove",
        "line 27: [bench-four] -ts switches fit off; mend: remove",
    ]
    more = read("[a]\nMODEL=a.gguf\nEXTRA_ARGS=-sm row --fit off -ncmoe 3\n", "x", "/m").remarks
    assert [remark.split("] ")[1] for remark in more] == [
        "-ncmoe switches fit off; mend: remove",
        "--fit off switches fit off; mend: remove",
        "--split-mode row switches fit off; mend: layer",
    ]
    assert read("[a]\nMODEL=a.gguf\nN_GPU_LAYERS=auto\nFIT=on\nEXTRA_ARGS=-sm none\n", "x", "/m").remarks == ()


def test_a_real_file_comes_back_key_by_key() -> None:
    assert back(profiles(REAL)) == {section.id: section.values for section in parse(REAL, "x").sections}


WORDS = "--jinja -np -c -b -ub -ctk -ctv q8_0 f16 iq4_nl 1 2 4 512 4096 100000 -fa on off auto -ot exps=CPU -ts 3,1 -ngl 99 -1"
FLAGS = "--fit -fitt 128,1024 -sm none row --main-gpu 0 --temp 1.0 --no-context-shift ü"
WORD = st.sampled_from(WORDS.split(" ") + FLAGS.split(" "))
LINE = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=30).map(lambda text: text.strip(" \t\r\v\f"))
VALUES = st.fixed_dictionaries(
    {"MODEL": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}(/[A-Za-z0-9][A-Za-z0-9._-]{0,8}){0,2}\.gguf", fullmatch=True)},
    optional={
        "NAME": LINE,
        "DESCRIPTION": LINE,
        "SPEED": LINE,
        "CTX_SIZE": st.integers(0, 1 << 21).map(str),
        "N_GPU_LAYERS": st.sampled_from(["auto", "99", "0", "all"]),
        "FIT": st.sampled_from(["on", "off", ""]),
        "FIT_TARGET": st.lists(st.integers(-600, 99999), min_size=1, max_size=8).map(lambda sizes: ",".join(map(str, sizes))),
        "EXTRA_ARGS": st.lists(WORD, max_size=12).flatmap(lambda words: st.sampled_from([" ", "  "]).map(lambda blank: blank.join(words))),
        "MMPROJ": LINE,
    },
)
CONFS = st.dictionaries(st.from_regex(r"(bench-)?[a-zA-Z0-9_-]{1,12}", fullmatch=True), VALUES, min_size=1, max_size=4)


@st.composite
def texts(draw: st.DrawFn) -> tuple[dict[str, dict[str, str]], str]:
    """A file's content and one of its texts: with comments, blank lines, and keys in any order."""
    conf = draw(CONFS)
    lines: list[str] = []
    for name, values in conf.items():
        lines.append(f"[{name}]")
        for key in draw(st.permutations(sorted(values))):
            lines += draw(st.sampled_from([[], [""], ["# MODEL=comment"], ["  #[id]"]]))
            lines.append(draw(st.sampled_from(["", "  "])) + f"{key}={values[key]}" + draw(st.sampled_from(["", " ", "\r"])))
    return conf, "\n".join(lines)


NAMED = """
[two]
MODEL=a/b.gguf
FIT_TARGET=14914,1024
EXTRA_ARGS=--jinja --device CUDA1,CUDA0

[one]
MODEL=a/c.gguf
EXTRA_ARGS=--split-mode none --main-gpu 0

[another-rig]
MODEL=a/d.gguf
EXTRA_ARGS=--device CUDA2
"""


def test_cards_are_those_that_the_container_counts_fastest_first() -> None:
    found = read(NAMED, "models.conf", "/srv/models", DESK)
    two, one, other = (profile.overrides for profile in found.profiles)
    assert (two.gpus, two.fit_target_mib, two.engine_args) == ((RTX_5070_TI.index, RTX_4090.index), (14914, 1024), ("--jinja",))
    assert (one.gpus, one.engine_args) == ((RTX_4090.index,), ())
    assert (other.gpus, other.engine_args) == (None, ("--device", "CUDA2"))
    assert not any("FIT_TARGET" in remark for remark in found.remarks), "its order is the profile's"


@pytest.mark.parametrize("seen", [DESK, ()])
def test_what_names_cards_goes_back_as_it_was_until_they_are_others(seen: tuple[Gpu, ...]) -> None:
    found = read(NAMED, "models.conf", "/srv/models", seen).profiles
    sections = {section.id: section.values for section in parse(NAMED, "x").sections}
    for profile in found:
        written = as_written(profile, DESK)
        assert written is not None and written.values == sections[profile.name]
    turned = replace(found[0], overrides=replace(found[0].overrides, gpus=(1, 0)))
    assert as_written(turned, DESK) is None


@given(texts())
def test_conf_to_profiles_to_conf_is_equal_key_by_key(case: tuple[dict[str, dict[str, str]], str]) -> None:
    conf, text = case
    try:
        found = profiles(text)
    except UsageError as error:
        # A cache type that is none is refused, as the profile's own file would be.
        assert "kv_type" in str(error)
        return
    stored = {name: parse_text(dump(profile), name) for name, profile in found.items()}
    assert stored == found
    assert back(stored) == conf
    assert back(stored, "/srv") == {name: values | {"MODEL": f"models/{values['MODEL']}"} for name, values in conf.items()}


def test_a_changed_profile_is_written_from_its_plan_and_keeps_what_only_people_read() -> None:
    glm = profiles(REAL)["glm-flash-q4"]
    changed = replace(glm, overrides=replace(glm.overrides, context=65536))
    assert as_written(changed) is None
    with pytest.raises(RigtuiError, match="has no plan"):
        back({"x": changed})
    text = write(
        [Exported(changed, plan("-c", "65536", "--fit-target", "1024,128", devices=BOTH, path=glm.model))],
        ConfOptions(models_dir="/srv/models", gpus=DESK),
    )
    (section,) = parse(text, "x").sections
    assert section.values["CTX_SIZE"] == "65536"
    assert section.values["NAME"] == "GLM-4.7 Flash Q4_K_M"
    assert section.values["SPEED"] == "~147 t/s"
    assert section.values["DESCRIPTION"] == "Fast general tasks, reasoning — tool calling"


def test_a_new_description_is_written_and_the_rest_stays_as_it_was() -> None:
    glm = profiles(REAL)["glm-flash-q4"]
    told = replace(glm, description=glm.description.replace("Fast general tasks", "Slow special tasks"))
    before, after = back({"x": glm})["glm-flash-q4"], back({"x": told})["glm-flash-q4"]
    assert after == before | {"DESCRIPTION": "Slow special tasks, reasoning — tool calling"}


def test_a_model_outside_the_named_folder_is_refused() -> None:
    with pytest.raises(RigtuiError, match="lies outside the models folder /elsewhere"):
        back(profiles(REAL), "/elsewhere")


def test_what_that_tools_compose_file_gives_when_a_section_does_not_say() -> None:
    wanted = profiles("[a]\nMODEL=a.gguf\n")["a"].overrides
    assert (wanted.context, wanted.kv_type, wanted.fit_target_mib, wanted.engine_args) == (131072, "q8_0", None, ())
    half = profiles("[a]\nMODEL=a.gguf\nEXTRA_ARGS=-ctk f16\n")["a"].overrides
    assert half.kv_type == ("f16", "q8_0")


def test_what_no_field_can_say_stays_an_argument() -> None:
    odd = profiles("[a]\nMODEL=a.gguf\nCTX_SIZE=100001\nEXTRA_ARGS=-np 2\n")["a"].overrides
    assert (odd.context, odd.parallel, odd.engine_args) == (None, 2, ("--ctx-size", "100001"))
    own = profiles("[a]\nMODEL=a.gguf\nCTX_SIZE=0\n")["a"].overrides
    assert (own.context, own.engine_args) == (None, ("--ctx-size", "0"))
    last = profiles("[a]\nMODEL=a.gguf\nCTX_SIZE=100\nEXTRA_ARGS=-c 200 -c 300\n")["a"].overrides
    assert (last.context, last.engine_args) == (300, ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[a]\nNAME=x\n", r"line 1: \[a\] has no MODEL"),
        ("[a]\nMODEL=\n", r"line 1: \[a\] has no MODEL"),
        ("MODEL=x\n[a]\nMODEL=x\n", "line 1: this stands before the first"),
        ("[a.b]\nMODEL=x\n", r"line 1: `\[a.b\]` is no heading"),
        ("[a b]\nMODEL=x\n", "line 1: .* is no heading"),
        ("[a]\nMODEL=x\n[a]\nMODEL=y\n", r"line 3: \[a\] stands already in line 1"),
        ("[a]\nMODEL=x\njust text\n", "line 3: `just text` is neither"),
        ("[a]\nMODEL =x\n", "line 2: `MODEL ` is no key; write KEY=VALUE with no space"),
        ("[a]\nMODEL=x\nCTX_SIZE=64k\n", "line 3: CTX_SIZE must be whole numbers, not `64k`"),
        ("[a]\nMODEL=x\nCTX_SIZE=1,2\n", "line 3: CTX_SIZE is one number"),
        ("[a]\nMODEL=x\nFIT_TARGET=128, 1024\n", "line 3: FIT_TARGET must be whole numbers"),
        ("[a]\nMODEL=x\nFIT_TARGET=999999999\n", "line 1, .*fit_target_mib"),
        ("[a]\nMODEL=x\nFIT=yes\n", "line 3: FIT is on or off, not `yes`"),
        ("[a]\nMODEL=/abs/x\n", "line 2: MODEL must lie below the models folder"),
        ("[a]\nMODEL=../x\n", "line 2: MODEL must lie below"),
        ("[a]\nMODEL=x\nEXTRA_ARGS=--api-key s\n", "line 1, .*--api-key-file"),
        ("[a]\nMODEL=x\nEXTRA_ARGS=-ctk q9\n", "line 1, .*kv_type"),
        ("[a]\nMODEL=x\nNAME=\x1b[2J\n", "line 3: .* control characters"),
        ("[a]\nMODEL=x\nx\ny\nz\n", r"line 3: .* \(and 2 more\)"),
    ],
)
def test_a_bad_line_is_one_sentence_with_its_number(text: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"models.conf, {sentence}") as caught:
        profiles(text)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_what_that_tool_silently_ignores_is_said() -> None:
    found = read("[a]\nMODEL=x\nCTX_SZE=3\nNAME=a\nNAME=b\n", "x", "/m")
    assert found.remarks == (
        "line 3: models.conf knows no CTX_SZE; did you mean CTX_SIZE? It is kept but does nothing",
        "line 5: [a] has NAME twice; the last one counts",
    )
    assert back({"a": found.profiles[0]})["a"] == {"NAME": "b", "MODEL": "x", "CTX_SZE": "3"}
