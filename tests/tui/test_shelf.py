"""The order of the models, their groups, and what is kept of it."""

from __future__ import annotations

import stat

import pytest
from msgspec.structs import replace

from rigtui.errors import RigtuiError
from rigtui.models.library import LibraryEntry
from rigtui.paths import state_dir
from rigtui.tui.placing import Placement
from rigtui.tui.shelf import Shelf, family_of, folder_of, next_group, next_sort, ordered, sections, starred
from rigtui.tui.shelf_file import keep_shelf, read_shelf
from tui.fakes.models import BROKEN, MODELS, candidates, model

ENTRIES = candidates(*MODELS)
QWEN_CODER, QWEN, GEMMA, GPT_OSS, GLM = ENTRIES


def names(found) -> list[str]:
    return [entry.name.split("-")[0] for entry in found]


def test_favourites_come_first_then_the_last_used_ones():
    shelf = Shelf(favourites=(GLM.ref,))
    used = {GEMMA.path: "2026-03-02T08:00:00Z", GPT_OSS.path: "2026-03-09T08:00:00Z"}
    assert ordered(ENTRIES, shelf, used, {}) == (GLM, GPT_OSS, GEMMA, QWEN_CODER, QWEN)


def test_the_other_orders():
    speeds = {
        QWEN.path: Placement(status="fits", tok_s=30.0),
        GPT_OSS.path: Placement(status="fits", tok_s=90.0),
        GEMMA.path: Placement(status="no_fit"),
    }
    assert names(ordered(ENTRIES, Shelf(sort="name"), {}, {})) == ["gemma", "GLM", "gpt", "Qwen3", "Qwen3"]
    assert ordered(ENTRIES, Shelf(sort="size"), {}, {}) == (QWEN, QWEN_CODER, GLM, GEMMA, GPT_OSS)
    assert ordered(ENTRIES, Shelf(sort="speed"), {}, speeds)[:2] == (GPT_OSS, QWEN)


@pytest.mark.parametrize("sort", ["used", "name", "size", "speed"])
def test_what_cannot_be_used_comes_last(sort):
    assert ordered((BROKEN, *ENTRIES), Shelf(sort=sort), {}, {})[-1] is BROKEN


def test_a_favourite_is_one_no_more_when_it_is_starred_again():
    once = starred(Shelf(), GLM.ref)
    assert once.favourites == (GLM.ref,)
    assert starred(once, GLM.ref) == Shelf()


def test_orders_and_groups_go_round():
    shelf, seen = Shelf(), []
    for _ in range(4):
        shelf = next_sort(shelf)
        seen.append(shelf.sort)
    assert seen == ["name", "size", "speed", "used"]
    assert [next_group(shelf).group, next_group(next_group(shelf)).group] == ["family", "none"]


def entry(path: str, source: str, ref: str = "") -> LibraryEntry:
    return LibraryEntry(ref=ref or path, name=path.rsplit("/", 1)[-1], source=source, path=path, size_bytes=1, model=MODELS[0])


@pytest.mark.parametrize(
    ("path", "source", "ref", "folder"),
    [
        ("/home/anna/models/a.gguf", "~/models", "", "~/models"),
        ("/home/anna/models/qwen/new/a.gguf", "~/models", "", "~/models/qwen"),
        ("/data/gguf/a.gguf", "/data/gguf/", "", "/data/gguf/"),
        ("/data/gguf/b/a.gguf", "/data/gguf", "", "/data/gguf/b"),
        ("/home/anna/.cache/hub/x/a.gguf", "Hugging Face cache", "hf:ggml-org/gpt:a.gguf", "Hugging Face cache · ggml-org"),
        ("/home/anna/.ollama/blobs/sha256-1", "Ollama", "ollama:qwen3:8b", "Ollama"),
        ("/home/anna/.lmstudio/models/p/r/a.gguf", "LM Studio", "", "LM Studio"),
    ],
)
def test_the_folder_of_a_model_as_people_say_it(path, source, ref, folder):
    assert folder_of(entry(path, source, ref)) == folder


@pytest.mark.parametrize(
    ("architecture", "family"),
    [
        ("qwen3moe", "qwen"),
        ("qwen2vl", "qwen"),
        ("gemma3", "gemma"),
        ("gpt-oss", "gpt-oss"),
        ("deepseek2", "deepseek"),
        ("olmoe", "olmo"),
        ("olmo2", "olmo"),
        ("command-r", "command-r"),
        ("glm4moe", "glm"),
        ("nemotron_h", "nemotron"),
        ("", "other"),
    ],
)
def test_the_family_of_a_model(architecture, family):
    assert family_of(candidates(model("m", 1, architecture, "Q4_K_M", 4096))[0]) == family


def test_sections_have_titles_only_where_there_are_several():
    assert [section.title for section in sections(ENTRIES, Shelf(), {})] == [""]
    families = sections(ENTRIES, Shelf(group="family"), {})
    assert [(section.title, len(section.entries)) for section in families] == [("qwen", 2), ("gemma", 1), ("gpt-oss", 1), ("deepseek", 1)]
    used = {GEMMA.path: "2026-03-02T08:00:00Z"}
    own = sections(ordered(ENTRIES, Shelf(favourites=(GLM.ref,)), used, {}), Shelf(favourites=(GLM.ref,)), used)
    assert [(section.title, names(section.entries)) for section in own] == [
        ("favourites", ["GLM"]),
        ("last used", ["gemma"]),
        ("~/models", ["Qwen3", "Qwen3", "gpt"]),
    ]
    assert sections((), Shelf(), {}) == ()


def test_every_model_is_in_exactly_one_section():
    many = (*ENTRIES, entry("/data/x/a.gguf", "/data"), entry("/data/y/b.gguf", "/data"), BROKEN)
    used = {one.path: f"2026-03-0{at + 1}T08:00:00Z" for at, one in enumerate(many)}
    for group in ("folder", "family", "none"):
        for sort in ("used", "name", "size", "speed"):
            shelf = Shelf(favourites=(GLM.ref, QWEN.ref), sort=sort, group=group)
            shown = [one for section in sections(ordered(many, shelf, used, {}), shelf, used) for one in section.entries]
            assert sorted(one.path for one in shown) == sorted(one.path for one in many), (group, sort)


def test_what_was_kept_is_read_again_and_damage_is_put_aside(home):
    assert read_shelf() == Shelf()
    kept = Shelf(favourites=("hf:a/b:c", GLM.ref), sort="speed", group="family")
    keep_shelf(kept)
    assert read_shelf() == kept
    path = state_dir() / "picker.json"
    path.write_text('{"favourites": 3}')
    with pytest.raises(RigtuiError, match=r"is damaged .* it is kept as .*damaged-1"):
        read_shelf()
    assert read_shelf() == Shelf()
    assert stat.S_ISREG((state_dir() / "picker.json.damaged-1").stat().st_mode)


def test_the_order_keeps_what_is_equal_as_it_was():
    twins = (replace(QWEN, path="/b"), replace(QWEN, path="/a"))
    assert ordered(twins, Shelf(), {}, {}) == twins
