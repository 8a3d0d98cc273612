"""The same work on each kind of device: this machine, a real sshd on the loopback, and the real adb
with a device that a test serves.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import ssh_server
from adb_device import adb_device, adb_server

from llm_export.errors import TargetError
from llm_export.targets import TARGETS, Target, open_target
from llm_export.targets.bench import bench_on
from llm_export.targets.facts import facts_of, reading_of
from llm_export.targets.local import LocalTarget
from llm_export.targets.native_runner import NativeRunner
from llm_export.targets.push import Item, Pushed, push, remove
from llm_export.targets.runners import Measurement
from llm_export.targets.ssh import PROGRAM
from llm_export.targets.supervise import run_supervised


@pytest.fixture(scope="module", params=["local", "ssh", "adb"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("device")
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "local":
            yield LocalTarget(folder / "root")
        elif request.param == "ssh":
            if reason := ssh_server.missing():
                pytest.skip(reason)
            with ssh_server.serving(folder) as server:
                # A shell of the user's may print greetings; the root is the test's own.
                patch.setenv(PROGRAM, server.command)
                with open_target(server.address) as opened:
                    opened.root = str(folder / "root")
                    yield opened
        else:
            if shutil.which("adb") is None:
                pytest.skip("no adb here: apt-get install adb")
            with adb_server(folder) as env, adb_device(folder / "phone") as phone:
                for name, value in env.items():
                    patch.setenv(name, value)
                with open_target(f"adb:{phone.serial}") as opened:
                    yield opened


@pytest.fixture
def items(tmp_path: Path) -> list[Item]:
    (tmp_path / "model.pte").write_bytes(bytes(range(256)) * 40)
    (tmp_path / 'it\'s a "name" $x').write_text("text")
    return [Item.of(file, f"sub/{file.name}") for file in sorted(tmp_path.iterdir())]


def test_files_are_copied_once_and_removed(target: Target, items: list[Item]) -> None:
    folder, first, second = f"{target.root}/bundles/a", Pushed(), Pushed()
    said: list[str] = []
    push(target, items, folder, first, said.append)
    push(target, items, folder, second, said.append)
    assert (first.bytes, second.bytes) == (sum(item.bytes for item in items), 0)
    assert said == ["copying 2 files to the device (0.0 MB)"]
    assert target.run(f"sha256sum '{folder}/sub/model.pte'").out.split()[0] == items[1].sha256

    target.run(f"echo other > '{folder}/sub/model.pte'")
    push(target, items, folder, second)
    assert second.bytes == items[1].bytes
    remove(target, second, folder)
    assert target.run(f"ls '{folder}/sub'").out == f"{items[0].local.name}\n"
    remove(target, first, folder)
    assert target.run(f"ls '{folder}'").code != 0


def test_commands_have_streams_and_exit_codes(target: Target) -> None:
    done = target.run("echo 'ü $x'; echo err >&2; exit 7")
    assert (done.code, done.out, done.err) == (7, "ü $x\n", "err\n")
    # The code with which ssh tells that it cannot connect.
    assert target.run("exit 255").code == 255
    with pytest.raises(TargetError, match=r"it fails: .*no-such-file") as caught:
        target.checked("cat /no-such-file", "it fails")
    assert caught.value.where == target.address


def test_the_facts_of_a_device(target: Target) -> None:
    facts, reading = facts_of(target), reading_of(target)
    assert facts.logical_cpus == len(os.sched_getaffinity(0))
    assert facts.memory_bytes > reading.available_bytes > 0  # type: ignore[operator]
    assert target.free_bytes("/") > 0
    if target.address.startswith("adb"):
        assert (facts.product, facts.soc) == ("Samsung SM-S911B", "Qualcomm SM8550")
        assert facts.release == "Android 16"
        assert reading.battery == {"percent": 84.0, "celsius": 31.2}
        assert reading.thermal_status == 1
        assert reading.celsius["CPU7"] == 41.5


def test_a_supervised_command_tells_its_memory(target: Target) -> None:
    command = "sh -c 'x=$(head -c 20000000 /dev/zero | tr \"\\0\" a); sleep 0.2; echo $#; exit 4'"
    done, peak = run_supervised(target, command, timeout=60, interval=0.05)
    assert (done.code, done.out, done.err) == (4, "0\n", "")
    assert peak is not None
    assert 20_000_000 < peak < 300_000_000


# Unlike those of another run of these tests.
LIMITED, INTERRUPTED = f"4{os.getpid()}1", f"4{os.getpid()}2"


def alive(word: str) -> bool:
    done = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return any(line.startswith(f"sleep {word}") for line in done.stdout.splitlines())


def gone(word: str) -> bool:
    for _ in range(2400):
        if not alive(word):
            return True
        time.sleep(0.05)
    return False


def test_the_time_limit_ends_what_a_command_started(target: Target) -> None:
    with pytest.raises(TargetError, match=r"within 1 s"):
        run_supervised(target, f"sh -c 'sleep {LIMITED} & wait'", timeout=1)
    assert gone(LIMITED)


def test_ctrl_c_ends_the_runner_and_takes_back_what_was_copied(
    target: Target, quantized_bundle: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    slow = tmp_path / "runner"
    slow.write_text(f"#!/bin/sh\nsleep {INTERRUPTED}\n")
    slow.chmod(0o755)

    def interrupt() -> None:
        for _ in range(2400):
            if alive(INTERRUPTED):
                break
            time.sleep(0.05)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]

    # Processes of pytest-xdist ignore the signal.
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    said: list[str] = []
    for keep in (False, True) if target.address == "local" else (False,):
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            bench_on(
                target, quantized_bundle, NativeRunner(slow), Measurement(time_limit=120),
                keep=keep, say=said.append,
            )  # fmt: skip
        thread.join()
        assert gone(INTERRUPTED)
        found = target.run(f"find '{target.root}' -type f").out
        assert ("model.pte" in found) == keep
    assert sum(line.startswith("removed from the device") for line in said) == 2
    assert target.free_bytes("/") > 0  # the connection itself holds
    target.remove([f"{target.root}/bundles", f"{target.root}/runners"])


def test_nothing_but_the_own_folder_is_removed(target: Target) -> None:
    for path in ("/", target.root, f"{target.root}/../other", "relative"):
        with pytest.raises(TargetError, match="is not in"):
            target.remove([path])


def test_too_little_space_is_told_before_anything_is_copied(
    target: Target, items: list[Item]
) -> None:
    huge = Item(items[0].local, "huge", 10**18, items[0].sha256)
    pushed = Pushed()
    with pytest.raises(TargetError, match=r"MB free, and 1,000,000,000,0\d\d MB are needed"):
        push(target, [huge], f"{target.root}/bundles/b", pushed)
    assert pushed.paths == []


def test_a_copy_that_is_not_whole_is_an_error(target: Target, items: list[Item]) -> None:
    wrong = Item(items[1].local, "wrong", items[1].bytes, "0" * 64)
    with pytest.raises(TargetError, match="has not arrived whole"):
        push(target, [wrong], f"{target.root}/bundles/c", Pushed())
    assert target.run(f"ls '{target.root}/bundles/c'").out == "wrong.partial\n"


def test_each_kind_says_its_form() -> None:
    assert [TARGETS.get(name).usage.partition("[")[0] for name in TARGETS] == [
        "adb", "local", "ssh:",
    ]  # fmt: skip


@pytest.mark.skipif(bool(ssh_server.missing()), reason=ssh_server.missing())
def test_logins_and_keys_that_ssh_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ssh_server.serving(tmp_path) as server:
        attempts: list[tuple[Callable[[], str], str, str]] = [
            (lambda: server.command_with(IdentityFile=f"{tmp_path}/stranger"),
             "does not accept the login", "ssh-copy-id -p"),
            (lambda: server.command_with(UserKnownHostsFile="/dev/null"),
             "is not known yet", f"ssh -p {server.port} 127.0.0.1"),
        ]  # fmt: skip
        (tmp_path / "config").write_text(
            (tmp_path / "config").read_text().replace(f'IdentityFile "{tmp_path}/login"\n', "")
        )
        for command, what, fix in attempts:
            monkeypatch.setenv(PROGRAM, command())
            with pytest.raises(TargetError, match=what) as caught:
                open_target(server.address)
            assert fix in str(caught.value)
        changed = (tmp_path / "known").read_text().split()[0]
        key = (tmp_path / "stranger.pub").read_text().split()[:2]
        (tmp_path / "known").write_text(f"{changed} {' '.join(key)}\n")
        monkeypatch.setenv(PROGRAM, server.command)
        with pytest.raises(TargetError, match="another than before"):
            open_target(server.address)


@pytest.mark.skipif(shutil.which("adb") is None, reason="no adb here: apt-get install adb")
def test_a_phone_that_has_not_accepted_this_computer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with adb_server(tmp_path) as env, adb_device(tmp_path / "phone", "unauthorized") as phone:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(TargetError, match="is unauthorized") as caught:
            open_target(f"adb:{phone.serial}")
        assert "accept this computer's key" in str(caught.value)
