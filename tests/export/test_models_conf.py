"""models.conf from plans: what that tool's container will do with it is what the plan says, or it is refused."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from export.plans import BOTH, DESK, RTX_4090, RTX_5070_TI, device, plan
from rigtui.errors import RigtuiError
from rigtui.export.conf_file import parse
from rigtui.export.conf_profiles import read
from rigtui.export.exported import Exported
from rigtui.export.models_conf import ConfOptions, write
from rigtui.intent.profile import Profile, ProfileOverrides
from rigtui.planning.plan import Expected, Plan
from rigtui.rig.rig import Gpu

OPTIONS = ConfOptions(models_dir="/models", gpus=DESK)
GLM = Profile(name="glm-flash-q8", model="/models/glm/GLM-Q8_0.gguf", description="Better reasoning\nsecond line")


def section(a_plan: Plan, profile: Profile = GLM, options: ConfOptions = OPTIONS) -> dict[str, str]:
    (found,) = parse(write([Exported(profile, a_plan)], options), "x").sections
    return found.values


def test_golden_for_a_4090_and_a_5070_ti_with_the_desktop() -> None:
    text = write(
        [
            Exported(
                GLM,
                plan("--fit-target", "1024,128", "--load-mode", "none", "--jinja", "--metrics", "-lv", "4", "--log-jsonl", devices=BOTH),
            )
        ],
        OPTIONS,
    )
    assert text == (
        "# Written by `rigtui export --to models.conf`; `rigtui import` reads it back.\n"
        "# MODEL is relative to /models\n"
        "\n"
        "# FIT_TARGET in the order CUDA has in the container (fastest first): "
        "CUDA0 NVIDIA GeForce RTX 4090, CUDA1 NVIDIA GeForce RTX 5070 Ti\n"
        "[glm-flash-q8]\n"
        "NAME=glm-flash-q8\n"
        "DESCRIPTION=Better reasoning\n"
        "MODEL=glm/GLM-Q8_0.gguf\n"
        "CTX_SIZE=131072\n"
        "N_GPU_LAYERS=auto\n"
        "FIT=on\n"
        "FIT_TARGET=128,1024\n"
        "EXTRA_ARGS=-np 1 --cache-type-k f16 --cache-type-v f16 --flash-attn auto --jinja\n"
    )


def test_what_the_containers_defaults_say_already_is_not_repeated() -> None:
    values = section(plan("-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on", "--split-mode", "layer", "--fit-target", "1024,128", devices=BOTH))
    assert values["EXTRA_ARGS"] == "-np 1"


def test_values_of_the_plans_own_come_along() -> None:
    values = section(
        plan("-ub", "1024", "-b", "4096", "-np", "4", "--cache-ram", "512", "--temp", "1.0", "--fit-target", "1024,128", devices=BOTH)
    )
    assert (
        values["EXTRA_ARGS"] == "-np 4 -b 4096 -ub 1024 --cache-type-k f16 --cache-type-v f16 --flash-attn auto --cache-ram 512 --temp 1.0"
    )


def test_one_card_alone_is_named_by_its_number_in_the_container() -> None:
    slow = section(plan("--split-mode", "none", "--fit-target", "1024", devices=(device(RTX_5070_TI, 0),)))
    assert "--split-mode none --main-gpu 1" in slow["EXTRA_ARGS"]
    assert slow["FIT_TARGET"] == "1024"
    fast = section(plan("--split-mode", "none", "--device", "CUDA0", "--fit-target", "128", devices=(device(RTX_4090, 0),)))
    assert "--split-mode none --main-gpu 0" in fast["EXTRA_ARGS"]
    assert "--device" not in fast["EXTRA_ARGS"]


def test_some_of_the_cards_are_named_and_targets_follow_their_order() -> None:
    third = Gpu(index=2, name="NVIDIA GeForce RTX 3090", uuid="GPU-3090", bandwidth_gb_s=936, free_bytes=24 << 30)
    options = ConfOptions(models_dir="/models", gpus=(*DESK, third))
    values = section(plan("--fit-target", "1024,128", devices=BOTH), options=options)
    assert "--device CUDA0,CUDA2" in values["EXTRA_ARGS"]
    assert values["FIT_TARGET"] == "128,1024"


def test_an_order_the_user_chose_is_kept() -> None:
    chosen = replace(GLM, overrides=ProfileOverrides(gpus=("5070", "4090")))
    values = section(plan("--fit-target", "1024,128", devices=BOTH), chosen)
    assert "--device CUDA1,CUDA0" in values["EXTRA_ARGS"]
    assert values["FIT_TARGET"] == "1024,128"


def test_an_order_that_the_plan_chose_is_kept_too() -> None:
    """The slower card first with a large target holds little; in the usual order the same targets are another placement."""
    first, second = replace(RTX_4090, index=0), replace(RTX_5070_TI, index=1)
    turned = plan("--device", "CUDA1,CUDA0", "--fit-target", "7354,128", devices=(device(second, 1), device(first, 0)))
    values = section(turned, options=ConfOptions(models_dir="/models", gpus=(first, second)))
    assert "--device CUDA1,CUDA0" in values["EXTRA_ARGS"]
    assert values["FIT_TARGET"] == "7354,128"
    # In the order of the slots, which is not the container's: what is kept free on purpose says that this order was meant.
    values = section(plan("--fit-target", "7354,128", devices=BOTH, fit_target_mib=(7354, 128)))
    assert "--device CUDA1,CUDA0" in values["EXTRA_ARGS"]
    assert values["FIT_TARGET"] == "7354,128"


def test_equal_cards_of_a_rig_file_are_told_apart_by_what_is_free() -> None:
    first = Gpu(index=0, name="NVIDIA GeForce RTX 3090", bandwidth_gb_s=936, free_bytes=20 << 30)
    second = Gpu(index=1, name="NVIDIA GeForce RTX 3090", bandwidth_gb_s=936, free_bytes=24 << 30)
    values = section(
        plan("--fit-target", "128,1024", devices=(device(second, 0), device(first, 1))),
        options=ConfOptions(models_dir="/models", gpus=(first, second)),
    )
    assert "--device CUDA1,CUDA0" in values["EXTRA_ARGS"]
    assert values["FIT_TARGET"] == "128,1024"


def test_one_target_for_all_and_missing_targets_are_spelled_out() -> None:
    assert section(plan("--fit-target", "256", devices=BOTH))["FIT_TARGET"] == "256,256"
    assert section(plan(devices=BOTH, fit_target_mib=(512,)))["FIT_TARGET"] == "512,512"
    assert section(plan(devices=BOTH))["FIT_TARGET"] == "1024,1024"


def test_without_a_rig_the_plans_cards_count_in_their_order() -> None:
    values = section(plan("--fit-target", "1024,128", devices=BOTH), options=ConfOptions(models_dir="/models"))
    assert values["FIT_TARGET"] == "1024,128"
    assert "--device" not in values["EXTRA_ARGS"]


def test_a_plan_for_the_cpu() -> None:
    values = section(plan())
    assert (values["N_GPU_LAYERS"], values["FIT"]) == ("0", "off")
    assert "FIT_TARGET" not in values
    assert "--device none" in values["EXTRA_ARGS"]


def test_a_plan_for_the_cpu_of_a_rig_without_a_gpu_leaves_the_cards_of_others_to_the_engine() -> None:
    nothing = ConfOptions(models_dir="/models")
    text = write([Exported(GLM, plan("--device", "none"))], nothing)
    assert "# written on a rig without a GPU: the engine places the layers on the cards it finds\n[glm-flash-q8]\n" in text
    assert "N_GPU_LAYERS=auto\nFIT=on\n" in text
    assert "--device" not in text
    (back,) = read(text, "x", "/models").profiles
    assert back.overrides.engine_args == ("--flash-attn", "auto")


@pytest.mark.parametrize("own", [("--device", "none"), ("-ngl", "0"), ("--fit", "off")])
def test_the_cpu_that_the_user_chose_is_kept_on_a_rig_without_a_gpu(own: tuple[str, ...]) -> None:
    chosen = replace(GLM, overrides=ProfileOverrides(engine_args=own))
    values = section(plan("--device", "none", *own), chosen, ConfOptions(models_dir="/models"))
    assert (values["N_GPU_LAYERS"], values["FIT"]) == ("0", "off")
    assert "--device none" in values["EXTRA_ARGS"]


def test_the_embedded_engines_command_is_read_too() -> None:
    command = ("python3", "-m", "rigtui.engines.llamacpp.embedded", "-m", "/models/a.gguf", "-c", "4096", "-np", "1")
    values = section(plan(command=command, path="/models/a.gguf", context=4096))
    assert (values["MODEL"], values["CTX_SIZE"]) == ("a.gguf", "4096")
    assert "rigtui" not in values["EXTRA_ARGS"]


def test_what_the_user_set_by_hand_is_written_where_the_tool_has_a_key() -> None:
    values = section(plan("--fit-target", "1024,128", "-ngl", "99", "--fit", "off", "-c", "8192", devices=BOTH))
    assert (values["N_GPU_LAYERS"], values["FIT"], values["CTX_SIZE"]) == ("99", "off", "8192")
    assert "-ngl" not in values["EXTRA_ARGS"]


def test_files_below_the_models_folder_are_named_as_the_container_sees_them() -> None:
    values = section(plan("--mmproj", "/models/glm/mmproj.gguf", devices=BOTH))
    assert "--mmproj /models/glm/mmproj.gguf" in values["EXTRA_ARGS"]
    elsewhere = ConfOptions(models_dir="/srv/llm", gpus=DESK)
    profile_plan = plan("--mmproj", "/srv/llm/glm/mmproj.gguf", devices=BOTH, path="/srv/llm/glm/m.gguf")
    assert "--mmproj /models/glm/mmproj.gguf" in section(profile_plan, options=elsewhere)["EXTRA_ARGS"]


def test_the_models_folder_is_found_when_it_is_not_named() -> None:
    entries = [
        Exported(GLM, plan(devices=BOTH, path="/srv/llm/a/m.gguf")),
        Exported(replace(GLM, name="other"), plan(devices=BOTH, path="/srv/llm/b/n.gguf")),
    ]
    text = write(entries, ConfOptions(gpus=DESK))
    assert "# MODEL is relative to /srv/llm\n" in text
    assert [s.values["MODEL"] for s in parse(text, "x").sections] == ["a/m.gguf", "b/n.gguf"]


def test_measured_speed_is_told_and_estimated_speed_is_not() -> None:
    assert section(plan(devices=BOTH, expected=Expected(decode_tok_s=112.4, basis="measured")))["SPEED"] == "~112 t/s"
    assert "SPEED" not in section(plan(devices=BOTH, expected=Expected(decode_tok_s=112.4, basis="estimated")))


def test_ids_are_letters_digits_dashes_and_underscores() -> None:
    text = write([Exported(replace(GLM, name="GLM 4.7 (Q8)"), plan(devices=BOTH))], OPTIONS)
    assert "\n[GLM-4-7-Q8]\nNAME=GLM 4.7 (Q8)\n" in text
    assert "\n[bench-_x-]\n" in write([Exported(replace(GLM, name="bench-_x-"), plan(devices=BOTH))], OPTIONS)


@pytest.mark.parametrize(
    ("a_plan", "profile", "reason"),
    [
        (plan("--chat-template-kwargs", '{"a":1}', devices=BOTH), GLM, r"`\{\"a\":1\}` has a blank, a quote"),
        (plan("--system", "be kind", devices=BOTH), GLM, "`be kind` has a blank"),
        (plan("--x", "$HOME", devices=BOTH), GLM, "dollar sign"),
        (plan("--x", "#1", devices=BOTH), GLM, "comment mark"),
        (plan("--x", "", devices=BOTH), GLM, "empty argument"),
        (plan("--mmproj", "/etc/x.gguf", devices=BOTH), GLM, "does not see /etc/x.gguf"),
        (plan(devices=BOTH, path="/models/my models/x.gguf"), GLM, "has a blank"),
        (plan(devices=BOTH, path="/elsewhere/x.gguf"), GLM, "/elsewhere/x.gguf lies outside the models folder /models"),
        (plan(devices=BOTH, path="/modelsx/x.gguf"), GLM, "lies outside"),
        (plan(devices=BOTH, path="/models/folder"), GLM, "no GGUF file"),
        (plan(devices=BOTH, engine="vllm"), GLM, "runs with vllm"),
        (plan(devices=BOTH, status="no_fit"), GLM, "does not fit"),
        (plan(devices=BOTH, env={"GGML_X": "1"}), GLM, "environment variable GGML_X"),
        (plan(devices=BOTH), replace(GLM, overrides=ProfileOverrides(env={"GGML_Y": "1"})), "environment variable GGML_Y"),
        (plan(devices=(device(RTX_4090, 0, kind="rpc"),)), GLM, "other than the CUDA cards"),
        (plan(devices=(device(replace(RTX_4090, uuid="GPU-gone"), 0),)), GLM, "which this rig does not have now"),
        (None, GLM, "has no plan"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(a_plan: Plan | None, profile: Profile, reason: str) -> None:
    with pytest.raises(RigtuiError, match=reason) as caught:
        write([Exported(profile, a_plan)], OPTIONS)
    assert str(caught.value).startswith("glm-flash-q8 cannot be written to a models.conf: ")
    assert "\n" not in str(caught.value)


def test_two_profiles_with_one_id_are_refused() -> None:
    entries = [Exported(replace(GLM, name=name), plan(devices=BOTH)) for name in ("a.b", "a-b")]
    with pytest.raises(RigtuiError, match=re.escape("[a-b] is taken")):
        write(entries, OPTIONS)
