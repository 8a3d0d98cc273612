"""The programs that measure a bundle on a device, and how one is chosen."""

from __future__ import annotations

import copy
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ssh_server
from adb_device import adb_device, adb_server
from hypothesis import given as drawn
from hypothesis import strategies as st

from llm_export import api
from llm_export.cli.main import main
from llm_export.errors import (
    BundleError,
    InputError,
    LlmExportError,
    MissingDependencyError,
    TargetError,
)
from llm_export.pipeline.speed import Speed
from llm_export.targets.built_runner import BuiltRunner
from llm_export.targets.choice import runner_for
from llm_export.targets.facts import parse_facts
from llm_export.targets.local import LocalTarget
from llm_export.targets.native_contract import check_contract, hint_of
from llm_export.targets.native_runner import NativeRunner
from llm_export.targets.python_runner import (
    NEEDS,
    PythonRunner,
    arguments_of,
    pack_runtime,
    runtime_files,
)
from llm_export.targets.runner_build import build
from llm_export.targets.settings import check_settings, context_of, single
from llm_export.targets.ssh import PROGRAM
from runtime_py import LLM
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError

RUNNER = Path(__file__).parents[2] / "llm_runner.py"


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_python_without_what_the_runtime_needs(tmp_path: Path) -> None:
    target = LocalTarget(tmp_path / "root")
    PythonRunner(sys.executable).check(target, {})
    bare = script(tmp_path / "bare", f'exec {shlex.quote(sys.executable)} -I -S "$@"')
    with pytest.raises(TargetError, match=r"lacks torch, executorch, tokenizers") as caught:
        PythonRunner(bare).check(target, {})
    assert caught.value.fix is not None
    assert f"{shlex.quote(bare)} -m pip install 'torch" in caught.value.fix
    assert "executorch<1.6" in caught.value.fix
    with pytest.raises(TargetError, match="does not answer as Python does"):
        PythonRunner("true").check(target, {})
    old = script(tmp_path / "old", "echo '[[3, 8], []]'")
    with pytest.raises(TargetError, match=r"is Python 3\.8; 3\.10 is the oldest"):
        PythonRunner(old).check(target, {})
    with pytest.raises(TargetError, match="no usable 'no-python'"):
        PythonRunner("no-python").check(target, {})


def test_the_device_is_asked_for_all_that_the_runtime_imports() -> None:
    """But for packages that only snapshots, constraints, the hub, the C++ runner, images and sounds
    need."""
    files = [file for name, file in runtime_files().items() if name.endswith(".py")]
    found = re.compile(
        r"^\s*(?:from|import)(?= \S+ import | \S+( as \w+)?$) (?P<name>\w+)", re.MULTILINE
    )
    named = {
        match["name"] for file in files
        for match in found.finditer(file.read_text(encoding="utf-8"))
    }  # fmt: skip
    others = {"runtime_py", "safetensors", "llguidance", "huggingface_hub", "pytorch_tokenizers",
              "PIL", "scipy", "soundfile"}  # fmt: skip
    assert named - sys.stdlib_module_names - others | {"numpy"} == {*NEEDS}


def test_the_runtime_is_packed_whole_and_always_the_same(tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        pack_runtime(tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    code = (
        "import runtime_py.manifest as m; print(m.__file__, m.manifest_schema()['properties'] != 0)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={"PYTHONPATH": str(tmp_path / "a.zip")},
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert "a.zip" in done.stdout


def test_settings_become_arguments() -> None:
    settings = {"prompt_length": [128, 512], "threads": None, "max_seconds": 1.5}
    assert arguments_of(settings) == ["--prompt-length", "128,512", "--max-seconds", "1.5"]
    found = {"prompt_length": 128, "decode_length": 128, "warmup": 0, "repetitions": 5}
    assert single({"prompt_length": [128], "warmup": 0, "depth": [0]}, 2048) == found
    with pytest.raises(InputError, match="prompt_length has 2 values"):
        single(settings, 2048)
    with pytest.raises(InputError, match="knows no depth"):
        single({"depth": [0, 100]}, 2048)


@drawn(st.integers(2, 4096), st.data())
def test_lengths_that_are_not_given_fit(context: int, data: st.DataObject) -> None:
    given = {
        name: data.draw(st.integers(1, context - 1))
        for name in data.draw(st.sampled_from([(), ("prompt_length",), ("decode_length",)]))
    }
    found = single(given, context)
    assert found["prompt_length"] + found["decode_length"] <= context
    assert min(found.values()) >= 1
    assert found | given == found


@pytest.mark.parametrize(
    "settings",
    [{"prompt_length": 0}, {"decode_length": [8, 0]}, {"repetitions": 0}, {"threads": -1},
     {"warmup": "1"}, {"prompt_length": 1.5}, {"prompt_length": 2000, "decode_length": 49},
     {"prompt_length": [16, 2049]}, {"depth": 2048}],
)  # fmt: skip
def test_settings_are_checked_before_anything_is_copied(
    quantized_bundle: Path, settings: dict[str, Any]
) -> None:
    bundle = Bundle.open(quantized_bundle)
    check_settings(bundle, {"prompt_length": 2000, "decode_length": 48})
    with pytest.raises(BundleRuntimeError, match=r"must be (a )?whole number|do not fit"):
        check_settings(bundle, settings)


def test_a_program_whose_positions_go_on_takes_any_length(quantized_bundle: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    program = bundle.manifest["program"] | {"attention_sink": True}
    endless = replace(bundle, manifest=bundle.manifest | {"program": program})
    check_settings(endless, {"prompt_length": 5000})
    assert single({"prompt_length": 5000}, context_of(endless))["decode_length"] == 128


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kv_cache": False}, "keeps no keys and values itself"),
        ({"cache_io": {}}, "takes its caches as inputs"),
        ({"token_dtype": "int32"}, "tokens of 32 bits"),
        ({"steps": {"decode": 1}}, "neither forward nor prefill and decode"),
        ({"dynamic_shapes": False, "steps": {"forward": 32}}, "a fixed number of tokens"),
    ],
)
def test_a_program_that_native_runners_cannot_run(
    quantized_bundle: Path, change: dict[str, Any], what: str
) -> None:
    bundle = Bundle.open(quantized_bundle)
    check_contract(bundle)
    manifest = copy.deepcopy(bundle.manifest)
    manifest["program"] |= change
    with pytest.raises(BundleError, match=what):
        check_contract(replace(bundle, manifest=manifest))


def test_failures_of_native_runners(quantized_bundle: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    for said, code, hint in (
        ("E method.cpp: Missing operator: [3] llama::x\nerror 0x14", 1, "llama::update_cache.out"),
        ("load failed with error: 0x20", 1, "link XnnpackBackend"),
        ("exec: not found", 127, "built for this processor"),
    ):
        assert hint in (hint_of(said, code, bundle) or "")
    assert hint_of("Segmentation fault", 139, bundle) is None


def test_a_runner_may_be_a_folder_with_its_libraries(tmp_path: Path) -> None:
    for name in ("llama_main", "libqnn.so"):
        script(tmp_path / name, "")
    (tmp_path / "notes.txt").write_text("")
    own = NativeRunner(tmp_path)._own
    assert [file.name for file in own] == ["llama_main", "libqnn.so", "notes.txt"]
    script(tmp_path / "other", "")
    with pytest.raises(InputError, match="has 2 programs"):
        NativeRunner(tmp_path)
    with pytest.raises(InputError, match="there is no runner"):
        NativeRunner(tmp_path / "none")


@pytest.mark.parametrize(
    ("address", "path", "arguments", "python", "what"),
    [
        ("adb", None, [], None, r"adb\[:SERIAL\] needs a runner that was built for the device"),
        ("ssh:h", "x", [], "python3", "exclude each other"),
        ("ssh:h", None, ["--a"], None, "need a runner"),
        ("usb:h", None, [], None, "there is no kind of target 'usb'"),
    ],
)
def test_runners_that_cannot_be_chosen(
    address: str, path: str | None, arguments: list[str], python: str | None, what: str
) -> None:
    with pytest.raises(LlmExportError, match=what):
        runner_for(address, path, arguments, python)


def test_the_command_line(
    tmp_path: Path, quantized_bundle: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A failing runner: its last words, a fix, and nothing left on the device."""
    monkeypatch.setenv("LLM_EXPORT_CACHE", str(tmp_path / "cache"))
    broken = script(
        tmp_path / "llama_main", "echo 'E: Backend XnnpackBackend, error: 0x20'; exit 1"
    )
    words = ["bench", str(quantized_bundle), "--target", "local", "--runner", broken]
    assert main(words) == 3
    err = capsys.readouterr().err
    assert "error: the runner failed: E: Backend XnnpackBackend" in err
    assert "fix:   the runner lacks a backend of the program; link XnnpackBackend" in err
    assert "copying" in err
    assert f"removed from the device: {tmp_path}/cache/target/" in err
    assert not list((tmp_path / "cache").rglob("*.pte"))
    assert main([*words, "--prompt-length", "0"]) == 2
    assert "prompt_length must be a whole number from 1" in capsys.readouterr().err
    assert main([*words, "--depth", "16"]) == 2
    assert "a native runner knows no depth" in (err := capsys.readouterr().err)
    assert "copying" not in err
    assert main([*words, "--keep", "--clear"]) == 2
    assert main([*words, "--time-limit", "0"]) == 2
    capsys.readouterr()
    assert main(["doctor", "--target", "local"]) == 0
    assert "device" in capsys.readouterr().out


PHONE = parse_facts("system\tLinux\narchitecture\taarch64\nrelease\tAndroid 16\n")
BOARD = parse_facts("system\tLinux\narchitecture\triscv64\nrelease\tDebian 13\n")


def test_what_cannot_be_built(quantized_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = Bundle.open(quantized_bundle)
    with pytest.raises(BundleError, match=r"needs llama::sdpa_with_kv_cache\.out") as caught:
        BuiltRunner().files(bundle, None, BOARD)
    assert "runtime.attention=plain" in str(caught.value)
    with pytest.raises(MissingDependencyError, match="no C\\+\\+ libraries for Android 16"):
        build(PHONE)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match="no compiler 'riscv64-linux-gnu-g") as missing:
        build(BOARD)
    assert missing.value.fix == "apt-get install g++-riscv64-linux-gnu"
    assert isinstance(runner_for("ssh:h", "build", [], None), BuiltRunner)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_a_runner_is_built_and_measures(
    export: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tokens are those of the Python runtime."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    bundle = export("backend=xnnpack", "quant=8da8w", "runtime.attention=plain")
    measure: dict[str, Any] = {"prompt_length": 256, "decode_length": 64, "repetitions": 1}
    result = api.bench_on(bundle, "local", runner="build", **measure)
    assert checked(result, bundle, 256, 64).settings.warmup == 1
    llm = LLM.load(bundle)
    prompt = [(i * 7919 + 13) % 320 for i in range(256)]
    token = int(llm.program.prefill(prompt).argmax())
    for _ in range(64):
        token = int(llm.program.step([token])[0, -1].argmax())
    (program,) = tmp_path.glob("llm_export/runners/*/llm_export_bench")
    (folder,) = tmp_path.glob("llm_export/target/runners/*")
    done = subprocess.run(
        [str(program), f"--model_path={bundle}/model.pte", "--prompt_length=256",
         "--decode_length=64", "--vocab_size=320"],
        env={"LD_LIBRARY_PATH": str(folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert f"last token {token}\n" in done.stdout


def checked(result: dict[str, Any], bundle: Path, prompt: int, decode: int) -> Speed:
    """The result holds what benchmark.json holds."""
    assert result["bundle"] == str(bundle)
    assert result["settings"]["prompt_length"] == prompt
    assert result["settings"]["decode_length"] == decode
    assert result["peak_memory_bytes"] > 20_000_000
    return Speed.from_dict(json.loads(json.dumps(result)))


@pytest.mark.slow
def test_the_python_of_a_device_measures(
    tmp_path: Path, quantized_bundle: Path, monkeypatch: pytest.MonkeyPatch,
    cli: Callable[..., subprocess.CompletedProcess[str]],
) -> None:  # fmt: skip
    if reason := ssh_server.missing():
        pytest.skip(reason)
    (tmp_path / "bin").mkdir()
    python = script(tmp_path / "python", f'XDG_CACHE_HOME= exec {sys.executable} "$@"')
    with ssh_server.serving(tmp_path) as server:
        home = f"SetEnv SHLVL=2 XDG_CACHE_HOME={tmp_path}/cache"
        config = tmp_path / "sshd_config"
        config.write_text(config.read_text().replace("SetEnv SHLVL=2", home))
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGHUP)
        words = ["bench", str(quantized_bundle), "--target", server.address, "--target-python",
                 python, "--prompt-length", "16", "--decode-length", "4", "--repetitions", "1",
                 "--warmup", "0"]  # fmt: skip
        done = cli(*words, "--json", **{PROGRAM: server.command})
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        speed = checked(result, quantized_bundle, 16, 4)
        assert speed.machine.features
        assert result["device"]["runner"] == "python"
        assert result["device"]["folder"] == f"{tmp_path}/cache/llm_export/target"
        assert result["device"]["copied_bytes"] > 500_000
        again = cli(*words, "--clear", **{PROGRAM: server.command})
        assert again.returncode == 0, again.stderr
        assert "copying" not in again.stderr
        assert "tokens/s" in again.stdout
        assert not list((tmp_path / "cache").rglob("*.pte"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("adb") is None, reason="no adb here: apt-get install adb")
def test_a_native_runner_measures_on_a_phone(
    tmp_path: Path, quantized_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The runner is ExecuTorch's own TextLLMRunner, driven from Python."""
    runner = script(tmp_path / "llama_main", f'exec {sys.executable} {RUNNER} "$@"')
    with adb_server(tmp_path) as env, adb_device(tmp_path / "phone") as phone:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        measure: dict[str, Any] = {
            "prompt_length": 256, "decode_length": 64, "repetitions": 1, "warmup": 1,
        }  # fmt: skip
        result = api.bench_on(quantized_bundle, f"adb:{phone.serial}", runner=runner, **measure)
    speed = checked(result, quantized_bundle, 256, 64)
    assert speed.machine.logical_cpus == os.cpu_count()
    assert result["device"]["soc"] == "Qualcomm SM8550"
    assert {Path(path).name.removesuffix(".partial") for path in phone.received} == {
        "llama_main", "model.pte", "tokenizer.json",
    }  # fmt: skip
