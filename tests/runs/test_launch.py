"""Starting runs: attached to what is there, one after the other, on ports that are free."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rigtui.errors import RigtuiError
from rigtui.runs import identity, ports, rundir, watch
from rigtui.runs.rundir import RunDirectory
from rigtui.runs.state import RunState
from runs.support import Runs, wait_until


def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(1)
    return server


def test_a_second_launch_of_a_profile_attaches(runs: Runs) -> None:
    first = runs.launched(profile="coder")
    again = runs.launched("other", profile="coder")
    assert again.attached
    assert again.state.run == first.state.run
    assert len(watch.live_runs()) == 1


def test_without_profiles_the_same_model_attaches_and_another_runs_beside(runs: Runs) -> None:
    first, beside = runs.launched(), runs.launched(name="other")
    assert runs.launched().state.run == first.state.run
    assert not beside.attached
    assert beside.state.port != first.state.port
    assert {s.run for s in watch.live_runs()} == {first.state.run, beside.state.run}


def test_a_model_launched_from_two_profiles_runs_twice(runs: Runs) -> None:
    assert runs.launched(profile="a").state.run != runs.launched(profile="b").state.run


def test_beside_starts_a_second_run_of_what_runs_already(runs: Runs) -> None:
    first, second = runs.launched(profile="coder"), runs.launched(profile="coder", beside=True)
    assert not second.attached and second.state.port != first.state.port
    assert {s.run for s in watch.live_runs()} == {first.state.run, second.state.run}


def test_another_file_under_the_same_name_is_not_what_runs_already(runs: Runs) -> None:
    """Two files may carry one name in their metadata, from which the name of the profile is made."""
    first, second = runs.launched(save="tiny-chat"), runs.launched(save="tiny-chat", name="other")
    assert not second.attached and second.state.run != first.state.run


def test_replace_stops_what_runs_first(runs: Runs) -> None:
    first = runs.wait(RunDirectory(runs.launched(profile="coder").directory), "ready")
    second = runs.launched(profile="coder", replace=True)
    assert [s.run for s in second.stopped] == [first.run]
    assert not second.attached
    assert not identity.is_running(first.pid, first.pid_started)
    assert [s.run for s in watch.live_runs()] == [second.state.run]


def test_launches_at_the_same_moment_make_one_run(runs: Runs) -> None:
    started = []
    threads = [threading.Thread(target=lambda: started.append(runs.launched(profile="coder"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.state.run for one in started}) == 1
    assert sorted(one.attached for one in started) == [False, True, True]


def test_a_chosen_port_in_use_is_one_sentence_and_nothing_is_started(runs: Runs) -> None:
    with listener() as server, pytest.raises(RigtuiError, match=f"port {server.getsockname()[1]} is in use by another program"):
        runs.launched(port=server.getsockname()[1])
    assert watch.all_runs() == []


def test_a_port_of_another_run_is_named_as_such(runs: Runs) -> None:
    port = runs.launched().state.port
    with pytest.raises(RigtuiError, match=f"port {port} is in use by another run of rigtui"):
        runs.launched(name="other", port=port)


def test_the_next_free_port_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as server:
        monkeypatch.setattr(ports, "FIRST_PORT", server.getsockname()[1])
        assert ports.choose_port("127.0.0.1", None, ()) > server.getsockname()[1]


def test_a_port_taken_on_all_addresses_is_not_free_on_one() -> None:
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        server.listen(1)
        assert not ports.is_free("127.0.0.1", server.getsockname()[1])


@pytest.mark.parametrize("host", ["203.0.113.7", "no such host"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(RigtuiError, match="nothing can listen on"):
        ports.choose_port(host, 8080, ())


def test_a_missing_key_file_is_one_sentence(runs: Runs, tmp_path: Path) -> None:
    with pytest.raises(RigtuiError, match=r"key file .* is not there"):
        runs.launched(api_key_file=str(tmp_path / "nothing"))


def test_a_state_folder_that_cannot_be_made_is_one_sentence(runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    with pytest.raises(RigtuiError, match="cannot lock"):
        runs.launched()


def test_modules_in_the_current_folder_do_not_get_into_the_supervisor(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('the wrong msgspec')")
    monkeypatch.chdir(tmp_path)
    assert runs.wait(runs.launch(), "ready").phase == "ready"


def test_old_runs_are_removed_but_never_a_live_one(runs: Runs) -> None:
    first = runs.launch(profile="stays")
    runs.wait(first, "ready")
    for _ in range(3):
        watch.stop_and_wait(runs.launched().state)
    rundir.prune(keep=1)
    # Runs of one second have no order among themselves: any one of the ended may be the one that is kept.
    left = {directory.path for directory in rundir.all_directories()}
    assert first.path in left
    assert len(left) == 2


def test_logs_of_all_runs_together_stay_within_a_bound(runs: Runs) -> None:
    live = runs.launch("--chatter", str(3 << 20), profile="stays")
    runs.wait(live, "ready")
    ended = [runs.launch("--chatter", str(1 << 20), name=f"m{number}") for number in range(3)]
    for directory in ended:
        watch.stop_and_wait(runs.wait(directory, "ready"))
    rundir.prune(most_bytes=(3 << 20) + (2 << 20))
    left = {directory.path for directory in rundir.all_directories()}
    assert live.path in left
    assert len(left) == 2
    rundir.prune(keep=0)
    assert [directory.path for directory in rundir.all_directories()] == [live.path]


def test_a_folder_without_a_state_is_a_launch_that_failed(runs: Runs) -> None:
    for name in ("20200101T000000Z-aaaaaaaa", "20200101T000001Z-bbbbbbbb"):
        (rundir.runs_root() / "tiny" / name).mkdir(parents=True)
    rundir.prune(keep=1)
    assert [d.path.name for d in rundir.all_directories()] == ["20200101T000001Z-bbbbbbbb"]


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])


def rewritten(directory: RunDirectory, **changes: object) -> RunState:
    from msgspec.structs import replace

    state = directory.read_state()
    assert state is not None
    changed = replace(state, **changes)
    directory.write_state(changed)
    view = directory.view()
    assert view is not None
    return view


def test_a_state_that_nobody_writes_any_more_is_not_shown_as_running(runs: Runs) -> None:
    directory = runs.launch()
    ended = watch.stop_and_wait(runs.wait(directory, "ready"))
    stand_in = sleeper()
    started = identity.start_time(stand_in.pid)
    assert started is not None
    alive = {"phase": "ready", "supervisor_pid": stand_in.pid, "supervisor_started": started, "boot_id": identity.boot_id()}
    assert rewritten(directory, **alive).phase == "ready"

    reused = rewritten(directory, **{**alive, "supervisor_started": started + 1})
    assert (reused.phase, "its supervisor is gone" in (reused.failure.text if reused.failure else "")) == ("failed", True)
    rebooted = rewritten(directory, **{**alive, "boot_id": "another"})
    assert "restarted" in (rebooted.failure.text if rebooted.failure else "")
    assert rewritten(directory, **{**alive, "phase": "stopping", "supervisor_started": started + 1}).phase == "stopped"
    elsewhere = rewritten(directory, **{**alive, "node": "another-node", "boot_id": "another"})
    assert elsewhere.phase == "ready", "only its own node can know"
    assert ended.run == elsewhere.run
    stand_in.kill()
    stand_in.wait()


def test_a_zombie_supervisor_is_gone() -> None:
    process = sleeper()
    started = identity.start_time(process.pid)
    assert identity.is_running(process.pid, started)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet fetched
    assert not identity.is_running(process.pid, started)
    process.wait()


def test_stopping_a_run_whose_supervisor_is_stuck(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    monkeypatch.setattr(watch, "_STOP_EXTRA_S", 0.5)
    ready = runs.wait(runs.launch(stop_grace_s=0.1), "ready")
    assert ready.supervisor_pid is not None
    os.kill(ready.supervisor_pid, signal.SIGSTOP)
    assert watch.stop_and_wait(ready).phase == "failed"
    wait_until(lambda: not identity.is_running(ready.pid, ready.pid_started), "the engine is gone with it")


def test_runs_are_found_by_id_profile_and_model(runs: Runs) -> None:
    coder, chat = runs.launched(profile="coder").state, runs.launched(profile="chat").state
    assert watch.find_run(coder.run[:6]).run == coder.run
    assert watch.find_run("chat").run == chat.run
    with pytest.raises(RigtuiError, match="tiny can mean 2 runs"):
        watch.find_run("tiny")
    watch.stop_and_wait(coder)
    assert watch.find_run("tiny").run == chat.run, "the one that is live"
    assert watch.find_run("coder").run == coder.run, "the last one, though it ended"
    with pytest.raises(RigtuiError, match="no run called coder is running"):
        watch.find_run("coder", live=True)
    with pytest.raises(RigtuiError, match="no run called nonsense"):
        watch.find_run("nonsense")


def test_following_gives_every_byte_and_the_last_state(runs: Runs) -> None:
    directory = runs.launch("--log", runs.loading_log())
    said, phases = b"", []
    for change in watch.follow(directory):
        said += change.log
        if change.state is not None:
            runs.note(change.state)
            phases.append(change.state.phase)
            if change.state.phase == "ready" and not change.state.measuring:
                watch.request_stop(change.state)
    assert phases[-1] == "stopped"
    assert "ready" in phases
    assert said == directory.engine_log.read_bytes()


def test_engines_hold_what_they_logged_plus_runtime(runs: Runs) -> None:
    from runs.support import CARD_0

    state = runs.wait(runs.launch("--log", runs.loading_log()), "ready", measured=True)
    engines = watch.engines_on_this_rig()
    assert state.pid in engines.pids
    assert engines.bytes_by_uuid[CARD_0] == state.logged_bytes[CARD_0] + (450 << 20)
