"""Profiles: what the user wrote is read exactly, kept exactly, and refused with a sentence that helps."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.intent.profile import Profile, ProfileOverrides, dump, parse_text
from rigtui.intent.profiles import all_profiles, directories, find, load, model_state, remove, save, save_text
from rigtui.intent.use_cases import load_use_cases

FULL = """
[profile]
name = "coder"            # mine
model = "hf:unsloth/Qwen3-Coder-Next-GGUF:UD-Q5_K_XL"
use_case = "coding"
engine = "llama.cpp"
description = "agents"
[overrides]
context = 131072
parallel = 2
kv_type = ["q8_0", "q5_1"]
gpus = ["GPU-1234", 1]
fit_target_mib = [128, 1024]
ubatch = 1024
engine_args = ["--no-context-shift", "--temp", "1.0"]
env = { GGML_CUDA_ENABLE_UNIFIED_MEMORY = "1", TOKENIZERS_PARALLELISM = "false" }
"""


def test_everything_a_profile_can_say_reaches_the_intent() -> None:
    intent = parse_text(FULL.encode(), "x.toml").intent(load_use_cases())
    assert intent.use_case.name == "coding"
    assert (intent.engine, intent.profile) == ("llama.cpp", "coder")
    wanted = intent.overrides
    assert (wanted.context, wanted.parallel, wanted.kv_type, wanted.ubatch) == (131072, 2, ("q8_0", "q5_1"), 1024)
    assert (wanted.gpus, wanted.fit_target_mib) == (("GPU-1234", "1"), (128, 1024))
    assert wanted.engine_args == ("--no-context-shift", "--temp", "1.0")
    assert wanted.env["GGML_CUDA_ENABLE_UNIFIED_MEMORY"] == "1"


def test_auto_and_single_values() -> None:
    text = '[profile]\nname="a"\nmodel="m.gguf"\n[overrides]\ncontext="auto"\nparallel="auto"\nkv_type="q8_0"\nfit_target_mib=256\n'
    wanted = parse_text(text.encode(), "x.toml").intent(load_use_cases()).overrides
    assert (wanted.context, wanted.parallel, wanted.kv_type, wanted.fit_target_mib) == (None, None, ("q8_0", "q8_0"), (256,))


@pytest.mark.parametrize(("written", "meant"), [("64k", 65536), ("128K", 131072), ("50,000", 50000), ("32768", 32768)])
def test_a_context_is_taken_as_on_the_command_line_and_its_spelling_stays(written: str, meant: int, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(profile_text(f'context = "{written}"'))
    profile = load(path)
    assert profile.own.context == meant
    save(replace(profile, overrides=replace(profile.overrides, ubatch=256)), tmp_path, overwrite=True)
    assert f'context = "{written}"\n' in path.read_text()
    assert load(path).own.ubatch == 256


def profile_text(overrides: str = "", head: str = "") -> bytes:
    return f'[profile]\nname = "x"\nmodel = "m.gguf"\n{head}\n[overrides]\n{overrides}\n'.encode()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (profile_text("contex = 1"), "unknown key `contex`.*did you mean `context`"),
        (profile_text("batch = 512"), "unknown key `batch`.*did you mean `ubatch`"),
        (profile_text(head='usecase = "chat"'), "unknown key `usecase`.*did you mean `use_case`"),
        (b'[profil]\nname="x"\n', "unknown key `profil`"),
        (b'[profile]\nname="x"\n', "`profile.model` is missing"),
        (b"", "`profile` is missing"),
        (profile_text("context = 0"), "`overrides.context` must be a whole number >= 1"),
        (profile_text("context = 1.5"), "`overrides.context` must be"),
        (profile_text('context = "64kb"'), '`overrides.context` is a number of tokens such as 65536 or "64k", or "auto", not `64kb`'),
        (profile_text('context = "0k"'), "`overrides.context` must be a whole number >= 1"),
        (profile_text('context = "aut"'), "did you mean `auto`"),
        (profile_text('kv_type = "q8"'), "`overrides.kv_type` cannot be `q8`; did you mean `q8_0`"),
        (profile_text('kv_type = ["q8_0"]'), "`overrides.kv_type` must be a list of length 2"),
        (profile_text("gpus = []"), "`overrides.gpus` is empty"),
        (profile_text("fit_target_mib = []"), "`overrides.fit_target_mib` is empty"),
        (profile_text('fit_target_mib = ["x"]'), "must be a whole number"),
        (profile_text('engine_args = "--jinja"'), "`overrides.engine_args` must be a list"),
        (profile_text('engine_args = ["--api-key", "s"]'), "--api-key-file"),
        (profile_text('engine_args = ["--api-key=s"]'), "--api-key-file"),
        (profile_text('engine_args = ["a\\u0000b"]'), "NUL"),
        (profile_text('env = { HF_TOKEN = "s" }'), "HF_TOKEN.*--api-key-file"),
        (profile_text('env = { openai_apikey = "s" }'), "--api-key-file"),
        (profile_text('env = { DB_PASSWORD_FILE = "s" }'), "--api-key-file"),
        (profile_text('env = { "A B" = "s" }'), "not a variable"),
        (profile_text(head='engine = "llamacpp"'), "did you mean `llama.cpp`"),
        (b'[profile]\nname=""\nmodel="m"\n', "`profile.name` must be one line"),
        (b'[profile]\nname="a\\u001b[2J"\nmodel="m"\n', "`profile.name` must be one line"),
        (b'[profile]\nname="a"\nmodel=""\n', "`profile.model` must name"),
        (b'[profile]\nname="a"\nmodel="m" x\n', "not valid TOML.*line 3"),
        (b'[profile]\nname="\xff"\n', "not UTF-8"),
    ],
)
def test_what_cannot_be_used_is_one_sentence_with_file_and_key(text: bytes, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(text)
    with pytest.raises(UsageError, match=sentence) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_vllm_names_its_own_kv_types() -> None:
    assert parse_text(profile_text('kv_type = "fp8"', 'engine = "vllm"'), "x").overrides.kv_type == "fp8"


def test_an_unknown_use_case_names_profile_and_nearest() -> None:
    profile = Profile(name="p", model="m", use_case="codng")
    with pytest.raises(UsageError, match="profile p: there is no use case `codng`; did you mean coding"):
        profile.intent(load_use_cases())


TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), max_size=20)


@given(
    st.builds(
        Profile,
        name=st.from_regex(r"[A-Za-z0-9._-]{1,20}", fullmatch=True),
        model=st.from_regex(r"[A-Za-z0-9:/._-]{1,20}", fullmatch=True),
        description=st.lists(TEXT, max_size=4).map("\n".join),
        overrides=st.builds(
            ProfileOverrides,
            context=st.one_of(st.none(), st.just("auto"), st.integers(1, 1 << 20)),
            parallel=st.one_of(st.none(), st.just("auto"), st.integers(1, 64)),
            kv_type=st.one_of(st.none(), st.just("q8_0"), st.just(("f16", "q8_0"))),
            gpus=st.one_of(st.none(), st.lists(TEXT, min_size=1, max_size=3).map(tuple)),
            fit_target_mib=st.one_of(st.none(), st.integers(-1000, 9999), st.lists(st.integers(0, 9999), min_size=1).map(tuple)),
            ubatch=st.one_of(st.none(), st.integers(1, 4096)),
            engine_args=st.lists(TEXT.filter(lambda arg: not arg.startswith("-")), max_size=5).map(tuple),
            env=st.dictionaries(st.sampled_from(["GGML_X", "CUDA_Y"]), TEXT, max_size=2),
        ),
    )
)
def test_what_is_saved_is_what_is_read(profile: Profile) -> None:
    assert parse_text(dump(profile), "x.toml") == profile


def test_a_description_of_several_lines_stays_readable() -> None:
    text = dump(Profile(name="p", model="m", description="one\ntwo")).decode()
    assert "one\ntwo" in text


def test_saving_never_replaces_unless_told(tmp_path: Path) -> None:
    first = Profile(name="My Model 4.7", model="m.gguf")
    path = save(first, tmp_path / "new" / "folder")
    assert path.name == "My-Model-4-7.toml"
    with pytest.raises(UsageError, match="already"):
        save(first, path.parent)
    second = Profile(name="My Model 4.7", model="other.gguf")
    save(second, path.parent, overwrite=True)
    assert load(path) == second
    # Another name with the same file name is another profile: it is never overwritten.
    with pytest.raises(UsageError, match=r"holds the profile My Model 4\.7"):
        save(Profile(name="My-Model-4.7", model="x"), path.parent, overwrite=True)
    assert load(path) == second


def test_settings_that_are_saved_anew_leave_the_description(tmp_path: Path) -> None:
    save(Profile(name="coder", model="a.gguf", description="my own words\nof two lines"), tmp_path)
    where = save(Profile(name="coder", model="a.gguf", use_case="coding"), tmp_path, overwrite=True)
    assert (load(where).use_case, load(where).description) == ("coding", "my own words\nof two lines")
    save(Profile(name="coder", model="a.gguf", description="others"), tmp_path, overwrite=True)
    assert load(where).description == "others"


def test_an_invalid_profile_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="HF_TOKEN"):
        save(Profile(name="p", model="m", overrides=ProfileOverrides(env={"HF_TOKEN": "x"})), tmp_path)
    assert list(tmp_path.glob("*.toml")) == []


def test_ones_own_profile_takes_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    dirs = directories(str(tmp_path))
    shipped = all_profiles(dirs).entries[0]
    assert shipped.shipped
    save(Profile(name=shipped.profile.name, model="mine.gguf"), tmp_path)
    entry = find(shipped.profile.name, dirs)
    assert (entry.profile.model, entry.shipped) == ("mine.gguf", False)
    assert [e.profile.model for e in all_profiles(dirs).entries if e.profile.name == shipped.profile.name] == ["mine.gguf"]
    remove(shipped.profile.name, dirs)
    assert find(shipped.profile.name, dirs) == shipped
    with pytest.raises(UsageError, match="ships with rigtui"):
        remove(shipped.profile.name, dirs)


def test_bad_files_are_named_and_the_others_still_listed(tmp_path: Path) -> None:
    save(Profile(name="good", model="m"), tmp_path)
    (tmp_path / "bad.toml").write_text("[profile]\nnme = 1\n")
    (tmp_path / "good2.toml").write_bytes((tmp_path / "good.toml").read_bytes())
    (tmp_path / "notes.txt").write_text("not a profile")
    found = all_profiles((tmp_path,))
    assert [entry.profile.name for entry in found.entries] == ["good"]
    assert len(found.problems) == 2
    assert "bad.toml" in found.problems[0]
    assert "good2.toml" in found.problems[1]


def test_find_by_name_by_file_and_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "anything.toml").write_text('[profile]\nname = "by hand"\nmodel = "m"\n')
    assert find("by hand", (tmp_path,)).path.name == "anything.toml"
    with pytest.raises(UsageError, match="no profile by-hnd; did you mean by hand"):
        find("by-hnd", (tmp_path,))
    (tmp_path / "broken.toml").write_text("[profile]\n")
    with pytest.raises(UsageError, match=r"broken\.toml"):
        find("broken", (tmp_path,))
    assert all_profiles((tmp_path / "nowhere",)).entries == ()


def test_edited_text_is_kept_as_it_was_written(tmp_path: Path) -> None:
    path = save_text(FULL.encode(), tmp_path)
    assert path.read_text() == FULL
    entry = find("coder", (tmp_path,))
    renamed = FULL.replace('"coder"', '"coder-2"')
    assert save_text(renamed.encode(), tmp_path, was=entry).read_text() == renamed
    assert [e.profile.name for e in all_profiles((tmp_path,)).entries] == ["coder-2"]
    with pytest.raises(UsageError, match="the edited profile: unknown key"):
        save_text(b"[profile]\nnme = 1\n", tmp_path, was=find("coder-2", (tmp_path,)))
    assert find("coder-2", (tmp_path,)).path.read_text() == renamed


@pytest.mark.parametrize(
    ("model", "error", "state"),
    [
        ("hf:a/b:Q4_K_M", MissingError("no"), "not downloaded"),
        ("ollama:llama3", MissingError("no"), "not downloaded"),
        ("/models/x.gguf", MissingError("no"), "not found"),
        ("hf:a/b", RigtuiError("two files match"), "here"),
        ("/models/x.gguf", None, "here"),
    ],
)
def test_an_absent_model_is_a_state_not_an_error(model: str, error: Exception | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(text: str, folders: tuple[str, ...]) -> str:
        if error:
            raise error
        return text

    module = ModuleType("rigtui.models.resolve")
    module.resolve = resolve  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rigtui.models.resolve", module)
    assert model_state(Profile(name="p", model=model)) == state


def test_every_shipped_profile_is_valid_and_stored_under_its_name() -> None:
    found = all_profiles(directories()[1:])
    assert found.problems == ()
    use_cases = load_use_cases()
    for entry in found.entries:
        assert entry.shipped
        assert entry.path.stem == entry.profile.name
        assert entry.profile.model.startswith("hf:")
        assert entry.profile.summary
        entry.profile.intent(use_cases)
    names = {entry.profile.name for entry in found.entries}
    assert {"glm-flash-q4", "qwen3-coder-next", "gpt-oss-120b", "gpt-oss-20b", "gemma-3-27b", "qwen3-32b", "llama-3-1-8b"} <= names
