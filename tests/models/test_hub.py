"""Models that are only on the hub, with a hub of our own on this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.hub_server import Hub, serving
from rigtui.errors import MissingError, RigtuiError, UsageError
from rigtui.models import hub as client
from tools.make_gguf import model, sparse
from tools.refusal import showable
from tools.specs import spec

NAME = "qwen3-32b-q4_k_m"
RIG = Path(__file__).parents[1] / "rigs" / "desk-4090-5070ti.toml"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    folder = tmp_path / "served" / "someone" / "Qwen3-32B-GGUF"
    folder.mkdir(parents=True)
    sparse(folder / "Qwen3-32B-Q4_K_M.gguf", spec(NAME))
    sparse(folder / "Qwen3-32B-Q8_0.gguf", spec(NAME), shards=2)
    (folder / "README.md").write_text("# a model")
    with serving(tmp_path / "served") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecret")
        yield served


def rigtui(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "rigtui", *words], capture_output=True, text=True, check=False)


def test_a_model_is_read_from_its_first_bytes(hub: Hub) -> None:
    found = client.fetch("someone/Qwen3-32B-GGUF", "q4_k_m")
    here = model(NAME)
    assert (found.fingerprint, found.weights_bytes, found.layers) == (here.fingerprint, here.weights_bytes, here.layers)
    assert found.path == "hf:someone/Qwen3-32B-GGUF:Qwen3-32B-Q4_K_M.gguf"
    assert any("hf download someone/Qwen3-32B-GGUF Qwen3-32B-Q4_K_M.gguf" in note for note in found.notes)
    hole = client.hole_of(found.path)
    assert hole is not None
    assert Path(hole).stat().st_size > 18 << 30
    assert Path(hole).stat().st_blocks * 512 < 64 << 20
    asked = len(hub.ranges)
    # A second look needs no byte of it.
    client.fetch("someone/Qwen3-32B-GGUF", "q4_k_m")
    assert len(hub.ranges) == asked


def test_all_parts_of_a_split_model(hub: Hub) -> None:
    found = client.fetch("someone/Qwen3-32B-GGUF", "Q8_0")
    assert found.fingerprint == model(NAME).fingerprint
    assert {name for name, _ in hub.ranges} == {f"Qwen3-32B-Q8_0-0000{part}-of-00002.gguf" for part in (1, 2)}


def test_plan_and_search_from_the_command_line(hub: Hub) -> None:
    listed = rigtui("models", "--hub", "qwen3", "--json")
    refs = [entry["ref"] for entry in json.loads(listed.stdout)["models"]]
    assert refs == [f"hf:someone/Qwen3-32B-GGUF:Qwen3-32B-{name}.gguf" for name in ("Q4_K_M", "Q8_0-00001-of-00002")]
    planned = rigtui("--rig", str(RIG), "plan", refs[0], "--json")
    plan = json.loads(planned.stdout)
    assert plan["status"] == "fits"
    assert "not downloaded" in " ".join(warning["text"] for warning in plan["warnings"])
    launched = rigtui("--rig", str(RIG), "run", refs[0])
    assert launched.returncode == 4
    assert "hf download someone/Qwen3-32B-GGUF" in launched.stderr
    everything = listed.stdout + listed.stderr + planned.stdout + planned.stderr + launched.stderr
    assert "hf_secret" not in everything
    assert "Bearer hf_secretsecretsecret" in hub.tokens


@pytest.mark.parametrize(
    ("repository", "wanted", "error", "words"),
    [
        ("someone/Nothing", "", MissingError, "no someone/Nothing"),
        ("someone/Qwen3-32B-GGUF", "", UsageError, "holds several models"),
        ("someone/Qwen3-32B-GGUF", "q2_k", MissingError, "no GGUF file with 'q2_k'"),
        ("../../etc", "passwd", UsageError, "is not hf:owner/repo"),
    ],
)
def test_what_is_not_there_is_one_sentence(hub: Hub, repository: str, wanted: str, error: type[RigtuiError], words: str) -> None:
    with pytest.raises(error, match=words):
        client.fetch(repository, wanted)


@pytest.mark.parametrize(("status", "words"), [(401, "hf auth login|private"), (500, "status 500"), (429, "status 429|cannot be reached")])
def test_a_hub_that_refuses_is_one_sentence(hub: Hub, status: int, words: str) -> None:
    hub.status["someone/Qwen3-32B-GGUF"] = status
    with pytest.raises(RigtuiError, match=words) as failed:
        client.files("someone/Qwen3-32B-GGUF")
    assert "hf_secret" not in str(failed.value)


def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(RigtuiError, match="cannot be reached"):
        client.search("anything")


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=20)
json_values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4))
NAMES = ("a.gguf", "../../a.gguf", "/etc/a.gguf", "a/../../b.gguf", "x\x1b[2J.gguf", "a\\b.gguf", "", "a" * 400 + ".gguf")
files = st.fixed_dictionaries(
    {"rfilename": st.sampled_from([*NAMES, "a-00001-of-99999.gguf"]) | json_values, "size": st.integers() | json_values}
)
siblings = st.lists(files | json_values, max_size=5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=st.one_of(json_values, st.fixed_dictionaries({"id": st.just("someone/x"), "sha": json_values, "siblings": siblings})))
def test_whatever_a_hub_answers_nothing_but_sentences_and_safe_names_come_of_it(hub: Hub, body: object) -> None:
    hub.broken = {"/api/models/someone/x": json.dumps(body).encode()}
    try:
        found = client.files("someone/x")
    except RigtuiError as error:
        assert showable(str(error))
        return
    for one in found:
        for name in one.files:
            assert not Path(name).is_absolute()
            assert ".." not in Path(name).parts
            assert name.isprintable()
