"""`profiles`, `export` and `import` as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from export.plans import BOTH, DESK, plan
from rigtui.cli.main import main
from rigtui.export import profiles
from rigtui.export.exported import FORMATS, Exported
from rigtui.intent.profiles import Profile, directories, find, save
from rigtui.options import Options
from rigtui.rig.rig import Rig
from tools.make_gguf import tiny_llama

CONF = "[one]\nNAME=One\nMODEL=a/one.gguf\nCTX_SIZE=8192\nEXTRA_ARGS=--jinja -np 1\n\n[bench-two]\nMODEL=two.gguf\nFIT=off\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "llm" / "models.conf"
    path.parent.mkdir()
    path.write_text(CONF)
    return path


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every profile has the same plan on the same desk."""

    def planned(options: Options, name: str, say: object) -> Exported:
        return Exported(find(name, directories(options.profiles_dir)).profile, plan("--fit-target", "1024,128", devices=BOTH))

    monkeypatch.setattr(profiles, "planned", planned)
    monkeypatch.setattr(profiles, "current_rig", lambda options: Rig(name="desk", platform="linux", gpus=DESK))


def test_import_then_export_gives_the_file_back(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(conf)]) == 0
    said = capsys.readouterr()
    assert said.out == "one\nbench-two\n"
    assert "line 9: [bench-two] FIT=off switches fit off; mend: on" in said.err
    assert find("one", directories()).profile.model == str(conf.parent / "models" / "a" / "one.gguf")
    assert main(["export", "one", "bench-two", "--to", "models.conf"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line and not line.startswith("#")] == [line for line in CONF.splitlines() if line]


def test_import_says_which_models_are_not_there_in_one_line(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = conf.parent / "models"
    assert main(["import", str(conf)]) == 0
    [line] = [line for line in capsys.readouterr().err.splitlines() if "not below" in line]
    assert line == f"2 of 2 models are not below {models}: a/one.gguf, two.gguf; --models-dir names another folder"
    (models / "a").mkdir(parents=True)
    tiny_llama(models / "two.gguf")
    assert main(["import", str(conf), "--replace"]) == 0
    assert f"1 of 2 models is not below {models}: a/one.gguf; --models-dir" in capsys.readouterr().err
    tiny_llama(models / "a" / "one.gguf")
    assert main(["import", str(conf), "--replace"]) == 0
    assert "not below" not in capsys.readouterr().err


def test_import_says_that_a_use_case_is_not_known_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(Profile(name="coder", model=str(tiny_llama(tmp_path / "x.gguf")), use_case="codding"), tmp_path)
    assert main(["import", str(tmp_path / "coder.toml")]) == 0
    said = capsys.readouterr()
    assert said.out == "coder\n"
    assert "profile coder: there is no use case `codding`; did you mean coding?" in said.err


def test_import_is_all_or_nothing_and_never_replaces_unasked(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = directories()[0]
    save(Profile(name="bench-two", model="mine.gguf"), own)
    assert main(["import", str(conf)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert [path.name for path in own.glob("*.toml")] == ["bench-two.toml"]
    assert main(["import", str(conf), "--replace"]) == 0
    assert find("bench-two", directories()).profile.model.endswith("models/two.gguf")


def test_a_profile_that_somebody_shares_is_imported_as_it_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shared, own = tmp_path / "theirs.toml", directories()[0]
    save(Profile(name="coder", model="hf:someone/Model-GGUF:Q4_K_M"), tmp_path)
    text = f"# for two cards\n{(tmp_path / 'coder.toml').read_text()}"
    shared.write_text(text)
    assert main(["import", str(shared)]) == 0
    said = capsys.readouterr()
    assert said.out == "coder\n"
    assert "hf download someone/Model-GGUF" in said.err, "what is missing to run it"
    assert (own / "coder.toml").read_text() == text
    assert main(["import", str(shared)]) == 2
    assert "--replace" in capsys.readouterr().err
    assert main(["import", str(shared), "--replace"]) == 0
    shared.write_text("name = 'coder'\nmodle = 'x'\n")
    assert main(["import", str(shared), "--replace"]) == 2
    assert (own / "coder.toml").read_text() == text


def test_import_refuses_two_sections_for_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.conf"
    path.write_text("[a]\nMODEL=x.gguf\n[-a-]\nMODEL=y.gguf\n")
    assert main(["import", str(path)]) == 2
    assert "would both be stored" in capsys.readouterr().err
    assert not directories()[0].exists() or not list(directories()[0].glob("*.toml"))


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe", b"[a\n", b"x" * ((1 << 20) + 1)])
def test_import_of_what_is_no_models_conf_is_one_sentence(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.conf"
    path.write_bytes(content)
    assert main(["import", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(path) in error
    assert main(["import", str(tmp_path / "absent.conf")]) == 2


@pytest.mark.usefixtures("planned")
def test_export_to_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(Profile(name="coder", model="/models/glm/GLM-Q8_0.gguf"), directories()[0])
    conf, script = tmp_path / "models.conf", tmp_path / "serve.sh"
    assert main(["export", "coder", "--to", "models.conf", "--models-dir", "/models", "-o", str(conf)]) == 0
    assert "MODEL=glm/GLM-Q8_0.gguf\n" in conf.read_text()
    assert "FIT_TARGET=128,1024\n" in conf.read_text()
    assert main(["export", "coder", "--to", "sh", "-o", str(script)]) == 0
    assert script.stat().st_mode & 0o111
    assert "exec /usr/bin/llama-server -m /models/glm/GLM-Q8_0.gguf" in script.read_text()
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("planned")
@pytest.mark.parametrize("format_", FORMATS)
def test_every_format_is_written_or_refused_whole(format_: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(Profile(name="coder", model="/models/glm/GLM-Q8_0.gguf"), directories()[0])
    assert main(["export", "coder", "--to", format_]) == 0
    assert "GLM-Q8_0.gguf" in capsys.readouterr().out
    both, file = ["export", "coder", "coder", "--to", format_], tmp_path / "file"
    assert main([*both, "-o", str(file)]) == 1
    assert "coder" in capsys.readouterr().err
    assert not file.exists()


def test_links_that_lead_nowhere_in_the_container_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (tmp_path / "real.gguf").write_bytes(b"")
    (models / "link.gguf").symlink_to(tmp_path / "real.gguf")
    conf = tmp_path / "models.conf"
    conf.write_text("[linked]\nMODEL=link.gguf\n")
    assert main(["import", str(conf)]) == 0
    assert main(["export", "linked", "--to", "models.conf", "--models-dir", str(models)]) == 1
    assert "is a link to" in capsys.readouterr().err
    assert main(["export", "linked", "--to", "models.conf", "--models-dir", str(tmp_path)]) == 0
    assert capsys.readouterr().err == ""
    assert main(["export", "linked", "--to", "models.conf"]) == 0
    said = capsys.readouterr()
    assert "MODEL=link.gguf\n" in said.out
    assert "name a folder that holds both with --models-dir" in said.err


@pytest.mark.parametrize("format_", ["yaml", "xml"])
def test_a_format_that_is_not_written_is_one_sentence_with_those_that_are(format_: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["export", "glm-flash-q4", "--to", format_])
    assert caught.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert format_ in said
    assert all(f"'{known}'" in said for known in FORMATS)


def test_an_export_of_what_is_no_profile_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "glm-flsh-q4", "--to", "models.conf"]) == 2
    assert "did you mean glm-flash-q4?" in capsys.readouterr().err


def test_profiles_are_listed_with_what_is_not_downloaded(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profiles"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("gpt-oss-20b "))
    assert line.split() == ["gpt-oss-20b", "chat", "hf:ggml-org/gpt-oss-20b-GGUF", "not", "downloaded"]


def test_profiles_as_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(Profile(name="mine", model="/nowhere/x.gguf", description="what\nmore"), tmp_path)
    (tmp_path / "bad.toml").write_text("[profile]\n")
    assert main(["profiles", "--json", "--profiles-dir", str(tmp_path)]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "rigtui.profiles/1"
    mine = next(row for row in data["profiles"] if row["name"] == "mine")
    assert mine == {
        "name": "mine",
        "model": "/nowhere/x.gguf",
        "model_state": "not found",
        "use_case": "chat",
        "engine": "auto",
        "description": "what\nmore",
        "overrides": {},
        "shipped": False,
        "path": str(tmp_path / "mine.toml"),
    }
    assert len(data["problems"]) == 1
    assert main(["profiles", "show", "mine", "--json", "--profiles-dir", str(tmp_path)]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "rigtui.profile/1", **mine}


def test_show_and_remove(conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["import", str(conf)])
    capsys.readouterr()
    assert main(["profiles", "show", "one"]) == 0
    out = capsys.readouterr().out
    for part in ("profile   one", "use case  chat", "context   8192", "(not found)"):
        assert part in out
    assert main(["profiles", "remove", "one"]) == 0
    assert main(["profiles", "show", "one"]) == 2
    assert main(["profiles", "remove", "glm-flash-q4"]) == 2
    assert "ships with rigtui" in capsys.readouterr().err
    assert main(["profiles", "show"]) == 2
    assert main(["profiles", "list", "one"]) == 2


def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    path = tmp_path / "my editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("VISUAL", f"'{path}' --wait")
    monkeypatch.setenv("PATH", os.defpath)


def test_edit_stores_a_valid_edit_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = directories()[0]
    save(Profile(name="mine", model="a.gguf"), own)
    editor(tmp_path, monkeypatch, "printf '# my note\\n' >> \"$2\"")
    assert main(["profiles", "edit", "mine"]) == 0
    assert (own / "mine.toml").read_text().endswith("# my note\n")
    editor(tmp_path, monkeypatch, "true")
    assert main(["profiles", "edit", "mine"]) == 0
    assert "nothing was changed" in capsys.readouterr().err
    editor(tmp_path, monkeypatch, "exit 3")
    assert main(["profiles", "edit", "mine"]) == 1
    assert "ended with code 3; nothing was changed" in capsys.readouterr().err


def test_edit_of_a_shipped_profile_makes_it_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    editor(tmp_path, monkeypatch, "printf '# mine now\\n' >> \"$2\"")
    shipped = find("gpt-oss-20b", directories())
    before = shipped.path.read_bytes()
    assert main(["profiles", "edit", "gpt-oss-20b"]) == 0
    assert shipped.path.read_bytes() == before
    mine = find("gpt-oss-20b", directories())
    assert (mine.shipped, mine.profile) == (False, shipped.profile)


def test_an_invalid_edit_is_kept_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    own = directories()[0]
    save(Profile(name="mine", model="a.gguf"), own)
    before = (own / "mine.toml").read_bytes()
    editor(tmp_path, monkeypatch, "printf '[profile]\\nnam = 1\\n' > \"$2\"")
    for number in (1, 2):
        assert main(["profiles", "edit", "mine"]) == 2
        error = capsys.readouterr().err
        assert "unknown key `nam`" in error
        assert f"mine.toml.rejected-{number}" in error
    assert (own / "mine.toml").read_bytes() == before
    assert (own / "mine.toml.rejected-1").read_text() == "[profile]\nnam = 1\n"
    assert [entry.name for entry in own.glob("*.toml")] == ["mine.toml"]


def test_edit_without_an_editor_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["profiles", "edit", "gpt-oss-20b"]) == 1
    assert "set $EDITOR" in capsys.readouterr().err
    monkeypatch.setenv("EDITOR", "/nowhere/editor")
    assert main(["profiles", "edit", "gpt-oss-20b"]) == 1
    assert "nothing was changed" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["vim", "nano"])
def test_an_editor_that_draws_on_a_terminal_is_not_started_without_one(name: str, tmp_path: Path) -> None:
    program = tmp_path / name
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-m", "rigtui", "profiles", "edit", "gpt-oss-20b"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, env=os.environ | {"VISUAL": str(program)},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"rigtui: {name} needs a terminal to edit in, and there is none here; nothing was changed\n"
