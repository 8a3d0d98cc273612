"""Every verb, as a new user would type it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from quick_run import QUICK

from llm_export.cli.main import main
from llm_export.config.compose import Composer

KINDS = (
    "tiny_embed", "smolvlm2_256m", "gemma3_4b", "qwen3_vl_2b", "internvl3_1b",
    "whisper_tiny", "moonshine_tiny", "flan_t5_small",
)  # fmt: skip
"""A model of each kind of task, and of each kind of images."""
RECIPES = Composer().options("")

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_help_names_every_verb(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    done = cli("--help")
    assert done.returncode == 0
    for verb in (
        "run",
        "ls",
        "show",
        "validate",
        "generate",
        "chat",
        "bench",
        "inspect",
        "doctor",
        "version",
    ):
        assert f"  {verb}" in done.stdout
        with contextlib.suppress(SystemExit):  # of argparse, with 0
            assert main([verb, "--help"]) == 0
        assert verb in capsys.readouterr().out


def test_help_of_a_group_lists_options_and_keys(cli: Cli) -> None:
    text = cli("run", "--help", "quant").stdout
    assert "8da4w" in text
    assert "quant.group_size  (int or null)" in text
    groups = cli("run", "--help").stdout.split("backend:  ")[1].split(":")[0]
    assert {"portable", "xnnpack"} <= {word.strip(",") for word in groups.split()}


def test_ls_show_validate_version(cli: Cli) -> None:
    listed = cli("ls").stdout
    assert "smollm2_135m_xnnpack_8da8w" in listed
    assert "_dummy" not in listed
    described = "SmolLM3-3B, 36 layers"
    assert "smollm3_3b" in listed
    assert described not in listed
    assert described in cli("ls", "models").stdout
    assert "smollm3_3b" not in cli("ls", "backends").stdout
    machine = json.loads(cli("ls", "quants", "--json").stdout)
    assert list(machine) == ["quants"]
    assert {"name", "text", "origin"} == set(machine["quants"][0])
    shown = cli("show", "smollm2_135m_xnnpack_8da8w", "quant=8da4w").stdout
    assert "# quant:      8da4w" in shown
    assert yaml.safe_load(shown)["quant"]["group_size"] == 32
    assert "sound" in cli("validate", "model=tiny").stdout
    assert "executorch" in cli("version").stdout


@pytest.mark.parametrize(
    ("words", "code", "hint"),
    [
        (("run", "smollm2_135m_xnnpack_8da8w", "quant.grup_size=64"), 2, "'group_size'"),
        (("run", "smollm2_135m_xnnpack_8da8w", "model=smolm2"), 2, "'smollm2_135m'"),
        (("run", "smollm2_135m_xnpack"), 2, "smollm2_135m_xnnpack"),
        (("run", "model=tiny", "quant=8da8w"), 2, "portable cannot run 8da8w"),
        (("rnu",), 2, "did you mean 'run'"),
        (("ls", "backend_s"), 2, "did you mean 'backends'"),
        (("generate", "/etc", "--prompt", "x"), 2, "this is not a bundle"),
        (("adapt", "/nope", "/x"), 2, "error: there is no such bundle"),
        (("serve", "/nope", "--port", "0"), 2, "error: there is no such bundle"),
        (("run", "model=tiny", "out=/proc/x"), 2, "cannot be written"),
        (("run", "model=tiny", "checkpoint.path=no.gguf"), 2, "no such checkpoint"),
        (("-sc", "install=dos"), 2, "no completion for 'dos'"),
    ],
)
def test_mistakes_take_few_lines(cli: Cli, words: tuple[str, ...], code: int, hint: str) -> None:
    done = cli(*words)
    assert done.returncode == code, done.stderr
    assert hint in done.stderr
    assert done.stderr.startswith("error: "), "no progress before it"
    assert "Traceback" not in done.stderr
    if "8da8w" not in hint:
        assert len(done.stderr.strip().splitlines()) <= 3


def test_quick_verbs_do_not_import_torch(tmp_path: Path) -> None:
    name, copy = "smollm2_135m_xnnpack_8da8w", tmp_path / "copy.yaml"
    lines = [
        ["ls"], ["show", name], ["--help"], ["validate", name, "--quick"], ["run", "--help"],
        ["explain", "quant.rules"], ["schema", "quant"], ["cp", name, str(copy)],
        ["diff", name, str(copy)], ["validate", "minilm_l6_xnnpack_8da8w", "--quick"],
        *(["validate", f"model={kind}", "--quick"] for kind in KINDS),
    ]  # fmt: skip
    run_without_torch(lines)


@pytest.mark.release  # test_quick_verbs_do_not_import_torch has one; recipes differ in options
def test_no_recipe_is_validated_with_torch() -> None:
    """Exit code 3: this machine lacks the disk for a large one."""
    run_without_torch([["validate", recipe, "--quick"] for recipe in RECIPES], (0, 3))


def run_without_torch(lines: list[list[str]], codes: tuple[int, ...] = (0,)) -> None:
    code = (
        "import sys; from llm_export.cli.main import main\n"
        f"for words in {lines}:\n"
        f"    assert main(words) in {codes}, words\n"
        "heavy = {'torch', 'executorch', 'torchao', 'transformers', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_cfg_prints_the_composed_job(cli: Cli) -> None:
    done = cli("run", "model=tiny", "--cfg", "job", "--resolve")
    assert yaml.safe_load(done.stdout)["name"] == "tiny_portable_none"
    part = cli("run", "model=tiny", "quant=8da4w", "--cfg", "job", "-p", "quant").stdout
    assert yaml.safe_load(part)["group_size"] == 32


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("llm-export ", "validate"),
        ("llm-export va", "validate"),
        ("llm-export run smollm2", "smollm2_135m_xnnpack_8da8w"),
        ("llm-export run model=tiny quant=8", "quant=8da4w"),
        ("llm-export run model=tiny quant.gr", "quant.group_size="),
        ("llm-export run smollm2_135m_xnnpack_8da8w backend=", "backend=portable"),
    ],
)
def test_completion(cli: Cli, line: str, expected: str) -> None:
    done = cli("-sc", "query=bash", COMP_LINE=line)
    assert expected in done.stdout.split()


def test_the_completion_script_is_valid_bash(cli: Cli) -> None:
    script = cli("-sc", "install=bash").stdout
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0


def test_generate_chat_and_bench(cli: Cli, portable_bundle: Path, capsys: Any) -> None:
    """One process as a user starts it; the other calls in this one, which has it all imported."""
    bundle = str(portable_bundle)

    def call(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        said = capsys.readouterr()
        return code, said.out, said.err

    words = ("generate", bundle, "--prompt", "Once", "--max-new-tokens", "8")
    first = cli(*words)
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    code, out, err = call(*words, "--stats")
    assert (code, out) == (0, first.stdout) != (0, "")
    assert "8 generated" in err
    code, out, err = call("chat", bundle, "--message", "hello", "--max-new-tokens", "5")
    assert code == 0
    assert out.strip()
    seeded = ("--temperature", "1", "--seed", "4", "--max-new-tokens", "8")
    draws = {call("generate", bundle, "--prompt", "x", *seeded) for _ in range(2)}
    assert len(draws) == 1
    alone = cli("bench", bundle, "--repetitions", "2", "--prompt-length", "32",
                "--decode-length", "8", "--json")  # fmt: skip
    result = json.loads(alone.stdout)
    assert result["decode_tokens_per_second"]["median"] > 0
    assert 1e8 < result["bare_memory_bytes"] < result["peak_memory_bytes"] < 1e9
    assert result["machine"]["features"]
    assert result["conditions"]["other_cpus"] >= 0
    code, out, err = call("bench", bundle, "--repetitions", "50", "--warmup", "3",
                          "--prompt-length", "32", "--decode-length", "8", "--max-seconds", "0",
                          "--json")  # fmt: skip
    assert json.loads(out)["settings"]["repetitions"] == 1
    code, out, err = call("bench", bundle, "--prompt-length", "9999")
    assert (code, "do not fit the context" in err) == (2, True)
    code, out, err = call("generate", bundle, "--prompt", "x", "--top-p", "2")
    assert (code, "top_p must be in (0, 1]" in err) == (2, True)


def test_every_combination(cli: Cli, warm: Path, tmp_path: Path) -> None:
    done = cli("run", "-m", *QUICK, "quant=none,8da8w", "-q")
    assert done.returncode == 2
    assert "portable cannot run 8da8w" in done.stderr
    folder = tmp_path / "outputs" / "sweeps" / "tiny_portable+quant"
    assert (folder / "tiny_portable_none" / "manifest.json").is_file()
    assert re.search(r"^8da8w +refused ", done.stdout, re.MULTILINE)
    assert f"sweep: {folder}" in done.stdout
    alone = cli("run", "model=tiny", "--launcher", "joblib")
    assert (alone.returncode, "add -m" in alone.stderr) == (2, True)


def test_peak_memory_is_that_of_the_runtime_alone() -> None:
    """A large process that starts the measurement must not show in it."""
    code = (
        "import subprocess, sys\n"
        "ballast = bytearray(b'x') * 400_000_000\n"
        "probe = 'from runtime_py.memory import peak; print(peak())'\n"
        "print(subprocess.run([sys.executable, '-c', probe], capture_output=True,"
        " text=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert int(done.stdout) < 2e8, done.stderr
