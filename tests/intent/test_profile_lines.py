"""Settings that are saved into a profile's file leave the rest of its text as the user wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rigtui.intent.profile import Profile, ProfileOverrides, dump, parse_text
from rigtui.intent.profile_lines import rewritten
from rigtui.intent.profiles import load, save

WRITTEN = """\
# The desk's model for code.
[profile]
name = "coder"
use_case = "coding"   # not chat: it thinks too long there
model = "m.gguf"

[overrides]
# Longer ones did not pay.
context = 32768   # tokens
gpus = [
  "0",  # the 4090
]

# [overrides] could also say
# parallel = 2
"""


def written(**overrides: object) -> Profile:
    was = parse_text(WRITTEN.encode(), "x")
    return replace(was, overrides=replace(was.overrides, **overrides))


def test_what_a_tuning_found_is_written_between_the_users_lines(tmp_path: Path) -> None:
    (tmp_path / "coder.toml").write_text(WRITTEN)
    best = written(ubatch=1024, kv_type=("q8_0", "q8_0"))
    path = save(best, tmp_path, overwrite=True)
    assert load(path).own == best.own
    text = path.read_text()
    assert "ubatch = 1024\n" in text
    for line in WRITTEN.splitlines():
        assert f"{line}\n" in text


def test_a_value_changes_in_its_place_and_what_stands_behind_it_stays() -> None:
    text = rewritten(WRITTEN, written(context=65536))
    assert text is not None
    assert text.decode() == WRITTEN.replace("context = 32768 ", "context = 65536 ")


def test_a_value_of_several_lines_is_replaced_and_one_that_is_given_up_goes() -> None:
    text = rewritten(WRITTEN, written(gpus=("1", "0"), context=None))
    assert text is not None
    assert parse_text(text, "x").own == written(gpus=("1", "0"), context=None).own
    assert b"context =" not in text
    assert b"4090" not in text
    assert b"# Longer ones did not pay.\n" in text


def test_settings_of_a_profile_that_had_none_get_their_table() -> None:
    plain = '# mine\n[profile]\nname = "x"\nmodel = "m.gguf"'
    text = rewritten(plain, Profile(name="x", model="m.gguf", overrides=ProfileOverrides(ubatch=256)))
    assert text == f"{plain}\n\n[overrides]\nubatch = 256\n".encode()


@pytest.mark.parametrize(
    "text",
    [
        'profile.name = "x"\nprofile.model = "m.gguf"\noverrides.context = 1024 # dotted\n',
        '[profile]\nname = "x"\nmodel = "m.gguf"\noverrides = { context = 1024 }\n',
        '[profile]\nname = "another"\nmodel = "m.gguf"\n',
        '[profile]\nname = "x"\nmodel = "m.gguf"\ndescription = """\n[overrides]\ncontext = 1024\n"""\n',
        "no TOML\n",
    ],
)
def test_where_lines_alone_cannot_say_it_the_file_is_written_anew(text: str, tmp_path: Path) -> None:
    wanted = Profile(name="x", model="m.gguf", description="d", overrides=ProfileOverrides(context=2048))
    assert rewritten(text, wanted) is None or parse_text(rewritten(text, wanted) or b"", "x") == wanted
    if "another" not in text:
        (tmp_path / "x.toml").write_text(text)
        assert load(save(wanted, tmp_path, overwrite=True)) == wanted


SETTINGS = st.builds(
    ProfileOverrides,
    context=st.none() | st.integers(1, 1 << 20),
    kv_type=st.none() | st.sampled_from([("q8_0", "q8_0"), ("f16", "q8_0")]),
    fit_target_mib=st.none() | st.lists(st.integers(0, 4096), min_size=1, max_size=3).map(tuple),
    ubatch=st.none() | st.integers(1, 4096),
    engine_args=st.lists(st.sampled_from(["--a", "# b", "[overrides]", 'q"', "x\ny = 1"]), max_size=3).map(tuple),
)
PROFILES = st.builds(
    Profile, name=st.just("x"), model=st.sampled_from(["a.gguf", "b # c"]), description=st.text(max_size=30), overrides=SETTINGS
)


@given(PROFILES, PROFILES)
def test_what_was_written_once_can_be_rewritten_as_anything(one: Profile, other: Profile) -> None:
    text = rewritten(dump(one).decode(), other)
    if text is not None:
        found = parse_text(text, "x")
        assert (found.own, found.model, found.description) == (other.own, other.model, other.description)
