"""Compose files: a YAML reader of others and Compose's rule for `$` give back the plan's command, cards and environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from msgspec.structs import replace

from export.foreign import ARGUMENTS, NAMES, ODD, entry, vllm
from export.plans import RTX_4090, device
from rigtui.errors import RigtuiError
from rigtui.export import compose, writers
from rigtui.export.compose import Mount
from rigtui.export.exported import Exported
from rigtui.intent.profile import Profile
from rigtui.text import slug

INSIDE = ["--host", "0.0.0.0", "--port", "8080"]


def write(entries: list[Exported], folder: str = "/models/glm") -> str:
    return compose.write(entries, lambda path: Mount(folder, ((folder, "/models"),)))


def read(text: str) -> dict[str, Any]:
    """The services, after Compose has put variables in; one of its own is an error."""

    def told(value: Any) -> Any:
        if isinstance(value, str):
            assert re.fullmatch(r"(?:[^$]|\$\$)*", value, re.DOTALL), "a variable"
            return value.replace("$$", "$")
        if isinstance(value, dict):
            return {key: told(one) for key, one in value.items()}
        return [told(one) for one in value] if isinstance(value, list) else value

    found = told(yaml.safe_load(text))["services"]
    assert isinstance(found, dict)
    return found


def cards(service: dict[str, Any]) -> dict[str, Any]:
    (found,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert isinstance(found, dict)
    return found


def test_the_container_starts_the_plan_on_its_cards_and_on_this_machine_alone() -> None:
    one = entry("--fit-target", "128,1024", *ODD)
    service = read(write([one]))["my-coder"]
    assert service["image"] == "ghcr.io/ggml-org/llama.cpp:server-cuda"
    assert service["command"] == [*INSIDE, "-m", "/models/GLM-Q8_0.gguf", *one.plan.command[3:]]
    assert service["environment"] == ["CUDA_DEVICE_ORDER=PCI_BUS_ID", "CUDA_VISIBLE_DEVICES=GPU-5070,GPU-4090"]
    assert cards(service) == {"driver": "nvidia", "device_ids": ["GPU-5070", "GPU-4090"], "capabilities": ["gpu"]}
    (volume,) = service["volumes"]
    assert (volume["source"], volume["target"], volume["read_only"]) == ("/models/glm", "/models", True)
    assert service["ports"] == ["127.0.0.1:8080:8080"]
    assert service["healthcheck"]["test"][-1] == "http://localhost:8080/health"


@given(NAMES, ARGUMENTS.filter(lambda value: not re.match("(--[^=]*=)?/", value)), NAMES)
def test_no_name_path_or_argument_means_anything_to_compose(name: str, argument: str, folder: str) -> None:
    one = entry("--note", argument, name=name, path=f"/data/{folder}/x.gguf", env={"NOTE": argument})
    ((key, service),) = read(write([one], f"/data/{folder}")).items()
    assert key == slug(name)
    assert service["command"] == [*INSIDE, "-m", "/models/x.gguf", *one.plan.command[3:-2], "--note", argument]
    assert service["environment"] == [f"NOTE={argument}"]
    assert service["volumes"][0]["source"] == f"/data/{folder}"


def test_other_files_are_called_as_the_container_calls_them() -> None:
    one = entry("--mmproj", "/models/glm/mmproj.gguf", "--lora=/models/glm/a b.gguf", "--api-prefix", "/v2")
    told = read(write([one]))["my-coder"]["command"]
    assert told[-5:] == ["--mmproj", "/models/mmproj.gguf", "--lora=/models/a b.gguf", "--api-prefix", "/v2"]


def test_vllm_runs_in_the_image_of_the_build_that_was_planned_for() -> None:
    service = read(write([Exported(Profile(name="q", model="/models/qwen"), vllm())], "/models/qwen"))["q"]
    assert service["image"] == "vllm/vllm-openai:v0.33.0"
    assert service["entrypoint"] == ["vllm", "serve"]
    assert service["ipc"] == "host"
    assert service["command"] == ["/models", *INSIDE, "--served-model-name", "Qwen3-32B-AWQ", "--max-model-len", "8192"]


def test_a_plan_without_cards_or_without_their_names_says_so() -> None:
    service = read(write([entry(devices=(), env={})]))["my-coder"]
    assert service["image"] == "ghcr.io/ggml-org/llama.cpp:server"
    assert "deploy" not in service
    assert cards(read(write([entry(env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})]))["my-coder"])["count"] == "all"


def test_several_profiles_have_ports_of_their_own_and_start_one_at_a_time() -> None:
    text = write([entry(name="a", path="/models/glm/a.gguf"), entry("--port", "8081", name="b"), entry(name="c")])
    assert [service["ports"] for service in read(text).values()] == [
        ["127.0.0.1:8080:8080"], ["127.0.0.1:8081:8080"], ["127.0.0.1:8082:8080"],
    ]  # fmt: skip
    assert "one at a time" in text


@pytest.mark.parametrize(
    ("host", "published"), [("0.0.0.0", "0.0.0.0:8080:8080"), ("localhost", "127.0.0.1:8080:8080"), ("::1", "[::1]:8080:8080")]
)
def test_an_address_of_the_users_is_what_is_published(host: str, published: str) -> None:
    service = read(write([entry("--host", host)]))["my-coder"]
    assert service["ports"] == [published]
    assert service["command"][:4] == INSIDE


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry("--mmproj", "/elsewhere/mmproj.gguf")], "/elsewhere/mmproj.gguf lies outside"),
        ([entry("--api-key-file=/etc/key")], "/etc/key lies outside"),
        ([entry("--host", "desk")], "not on the name desk"),
        ([entry("--port", "x")], "no port"),
        ([entry("--port", "90", name="a"), entry("--port", "90", name="b")], "port 90 is taken by a"),
        ([entry(devices=(replace(device(RTX_4090, 0), kind="vulkan"),))], "other than the CUDA cards"),
        ([Exported(Profile(name="q", model="m"), replace(vllm(), devices=()))], "needs a card"),
        ([entry(status="no_fit")], "does not fit"),
        ([entry(env={"HF_TOKEN": "s3cret"})], "HF_TOKEN"),
        ([entry(name="a.b"), entry(name="a-b")], "both be called a-b"),
    ],
)
def test_what_a_container_cannot_be_told_is_refused_in_one_sentence(entries: list[Exported], reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write(entries)
    assert "s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def model_in(folder: Path, name: str = "x.gguf") -> Exported:
    return entry(path=str(folder / name))


def seen(text: str) -> Path:
    """The model's file as the container's volume leads to it, links followed as in the container."""
    ((_, service),) = read(text).items()
    source, path = service["volumes"][0]["source"], service["command"][5]
    real = (Path(source) / path.removeprefix("/models/")).resolve()
    assert real.is_relative_to(Path(source).resolve()), "a link out of what the container sees"
    return real


def test_a_model_of_the_hugging_face_cache_is_seen_with_the_file_that_it_links_to(tmp_path: Path) -> None:
    cache = tmp_path / "hub" / "models--a--b"
    (cache / "blobs").mkdir(parents=True)
    (cache / "snapshots" / "1f").mkdir(parents=True)
    (cache / "blobs" / "abc").write_bytes(b"")
    (cache / "snapshots" / "1f" / "x.gguf").symlink_to("../../blobs/abc")
    text = writers.write("compose", [model_in(cache / "snapshots" / "1f")])
    assert seen(text) == cache / "blobs" / "abc"
    assert "/models/snapshots/1f/x.gguf" in text


def test_a_folder_that_is_a_link_is_mounted_as_it_is_called(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.gguf").write_bytes(b"")
    (tmp_path / "models").symlink_to(tmp_path / "disk")
    text = writers.write("compose", [model_in(tmp_path / "models")])
    assert seen(text) == tmp_path / "disk" / "x.gguf"
    assert "/models/x.gguf" in text


def test_a_container_never_sees_a_whole_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("models", "downloads"):
        (tmp_path / name).mkdir()
    (tmp_path / "downloads" / "x.gguf").write_bytes(b"")
    (tmp_path / "models" / "x.gguf").symlink_to(tmp_path / "downloads" / "x.gguf")
    with pytest.raises(RigtuiError, match="more than a container should see"):
        writers.write("compose", [model_in(tmp_path / "models")])
    with pytest.raises(RigtuiError, match="is a link to"):
        writers.write("compose", [model_in(tmp_path / "models")], str(tmp_path / "models"))
    with pytest.raises(RigtuiError, match="lies outside"):
        writers.write("compose", [model_in(tmp_path / "models")], str(tmp_path / "downloads"))
    assert seen(writers.write("compose", [model_in(tmp_path / "models")], str(tmp_path))) == tmp_path / "downloads" / "x.gguf"
