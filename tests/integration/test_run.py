"""The main job on a small model: what the bundle holds, and what is made of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hf_models
import jsonschema
import pytest
import torch
import yaml
from quick_run import INT8_CACHE
from schema_check import schema_of

from llm_export import api
from llm_export.files import sha256_of
from llm_export.stages.verification.logits import program_logits
from runtime_py import LLM, BundleRuntimeError
from runtime_py.bundle import Bundle, manifest_schema

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


# -- the bundle ----------------------------------------------------------------------------


def test_the_bundle_is_complete(quantized_bundle: Path) -> None:
    names = {p.name for p in quantized_bundle.iterdir()}
    assert names >= {
        "model.pte", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
        "generation_config.json", "manifest.json", "recipe.yaml", "recipe.lock.yaml", "run.json",
        "parity.json", "answers.json", "report.md", "report.html",
    }  # fmt: skip
    manifest = json.loads((quantized_bundle / "manifest.json").read_text())
    jsonschema.Draft202012Validator.check_schema(manifest_schema())
    jsonschema.validate(manifest, manifest_schema())
    assert manifest["proof"]["verified"]
    assert manifest["requires"]["backends"] == ["XnnpackBackend"]
    assert "llama::sdpa_with_kv_cache.out" in manifest["requires"]["operators"]
    assert manifest["tokenizer"]["stop_strings"] == ["<|end|>"]
    turns = manifest["chat"]["turns"]
    assert turns["roles"]["user"] == {"prefix": "user: ", "suffix": "\n"}
    assert manifest["chat"]["example"]["text"].endswith("\nassistant: ")
    reference = manifest["chat"]["engines"]["jinja2"]
    assert reference["same"] == reference["of"] > 30
    assert "## Do apps render its chat template?" in (quantized_bundle / "report.md").read_text()
    for name, entry in manifest["files"].items():
        assert sha256_of(quantized_bundle / name) == entry["sha256"]


def test_the_record_says_what_happened(quantized_bundle: Path) -> None:
    record = json.loads((quantized_bundle / "run.json").read_text())
    assert record["state"] == "done"
    stages = {s["name"]: s for s in record["stages"]}
    assert list(stages) == [
        "load", "transform", "train", "quantize", "export", "lower", "package", "verify",
        "benchmark", "evaluate", "report",
    ]  # fmt: skip
    assert all(s["state"] == "done" and s["peak_bytes"] > 1e8 for s in stages.values())
    decided = {q["name"]: q for q in stages["quantize"]["facts"]["quantization"]}
    assert decided["layers.0.attention.qkv.fused"]["scheme"] == "8da8w"
    assert decided["embed"]["scheme"] == "8w"
    assert 8 < decided["embed"]["bits_per_weight"] < 10
    lower = stages["lower"]["facts"]
    assert lower["delegation"]["outside"]["llama.sdpa_with_kv_cache"] == 2
    assert lower["bytes"] <= lower["predicted_bytes"] * 1.1


def test_the_lock_pins_versions_and_hashes(quantized_bundle: Path) -> None:
    lock = yaml.safe_load((quantized_bundle / "recipe.lock.yaml").read_text())
    assert lock["versions"]["torch"].startswith("2.")
    assert lock["files"]["model.pte"] == sha256_of(quantized_bundle / "model.pte")
    assert lock["choices"]["quant"] == "8da8w"
    assert "quant=8da8w" in lock["overrides"]


def test_the_bundles_recipe_is_the_one_that_ran(portable_bundle: Path) -> None:
    words = ["model=tiny", "benchmark=off", "verify.positions=200", "backend=portable",
             "deploy.questions=[Hello?]"]  # fmt: skip
    ran = api.compose_recipe(None, words).recipe
    again = api.compose_recipe(str(portable_bundle / "recipe.yaml")).recipe
    assert replace(again, out=None) == replace(ran, out=None)


@pytest.mark.release  # a shared recipe's lock is run again in test_share_run.py
def test_the_bundles_recipe_runs_again(portable_bundle: Path, tmp_path: Path) -> None:
    composed = api.compose_recipe(str(portable_bundle / "recipe.yaml"), [f"out={tmp_path / 'o'}"])
    again = api.run_recipe(composed, quiet=True).bundle
    assert sha256_of(again / "model.pte") == sha256_of(portable_bundle / "model.pte")


def test_constant_methods_are_those_of_the_cpp_runner(portable_bundle: Path) -> None:
    from executorch.runtime import Runtime

    program = Runtime.get().load_program(portable_bundle / "model.pte")
    values = {
        name: program.load_method(name).execute(())
        for name in program.method_names if name != "forward"
    }  # fmt: skip
    flat = {k: v if len(v) > 1 else v[0] for k, v in values.items()}
    assert flat["get_max_context_len"] == 2048
    assert flat["get_max_seq_len"] == 512
    assert flat["get_vocab_size"] == 320
    assert flat["get_eos_ids"] == 319
    assert flat["get_bos_id"] == 318
    for name in ("use_kv_cache", "enable_dynamic_shape", "use_sdpa_with_kv_cache"):
        assert flat[name] is True
    forward = schema_of(program)["forward"]
    one, steps = {"kind": "constant", "value": 1}, {"min": 1, "max": 512, "step": 1}
    tokens, position = (each["shape"] for each in forward["inputs"])
    assert tokens == [one, {"kind": "range", "range": steps}]
    assert position == [one]
    assert forward["outputs"] == [
        {"kind": "Tensor", "dtype": "float32", "shape": [one, {"kind": "constant", "value": 320}]}
    ]


# -- the runtime ---------------------------------------------------------------------------


@pytest.mark.slow
def test_chunked_prefill_is_stepwise_prefill(export: Callable[..., Path]) -> None:
    bundle = export("model.config.num_hidden_layers=1", "verify=off", "runtime.prefill_length=16",
                    "runtime.context_length=300")  # fmt: skip
    llm = LLM.load(bundle)
    ids = [(i * 37) % 300 for i in range(100)]
    chunked = llm.program.prefill(ids)
    llm.reset()
    stepped = program_logits(llm.program, ids, 1)[-1]
    assert torch.allclose(chunked, stepped, atol=1e-4)


def test_a_conversation_reuses_its_cache(portable_bundle: Path) -> None:
    llm = LLM.load(portable_bundle)
    messages = [{"role": "user", "content": "hello"}]
    first = llm.chat(messages, max_new_tokens=6)
    messages += [{"role": "assistant", "content": first.text}, {"role": "user", "content": "on"}]
    warm = llm.chat(messages, max_new_tokens=6)
    assert warm.stats.cached_tokens > 0
    llm.reset()
    cold = llm.chat(messages, max_new_tokens=6)
    assert cold.stats.cached_tokens == 0
    assert cold.tokens == warm.tokens


def test_stopping(portable_bundle: Path) -> None:
    llm = LLM.load(portable_bundle)
    free = llm.generate("abc", max_new_tokens=30)
    assert (free.finish, len(free.tokens)) == ("length", 30)
    word = next(w for w in re.findall(r"[\x20-\x7e]{3,}", free.text))
    llm.reset()
    stopped = llm.generate("abc", max_new_tokens=30, stop=[word])
    assert stopped.finish == "stop"
    assert stopped.text == free.text[: free.text.index(word)]
    full = llm.generate("x" * 2040, max_new_tokens=100)
    assert full.finish == "context"
    with pytest.raises(BundleRuntimeError, match="leaves no room for an answer"):
        llm.generate("x" * 2048)
    with pytest.raises(BundleRuntimeError, match="the prompt is empty"):
        llm.generate("")
    llm.reset()
    assert llm.generate("abc", max_new_tokens=30).tokens == free.tokens


@pytest.mark.release  # of a real model in test_smollm2.py
def test_the_cpp_runner_says_the_same(quantized_bundle: Path) -> None:
    """ExecuTorch's TextLLMRunner on the bundle's files, greedily, against runtime_py."""
    compare_with_cpp_runner(quantized_bundle, "Hello there", 24)


@pytest.mark.slow
def test_a_bundle_with_an_int8_cache(export: Callable[..., Path]) -> None:
    path = export(*INT8_CACHE)
    manifest = Bundle.open(path).manifest
    per_head = 2 * 2048 * 2  # keys and values, positions, heads
    assert manifest["program"]["cache"] == {"dtype": "int8", "bytes": per_head * (32 + 4 + 1)}
    assert manifest["proof"]["verified"]
    lowering = manifest["proof"]["comparisons"]["lowering"]
    assert lowering["mean_kl"] < 1e-4
    assert "floor" in manifest["proof"]["comparisons"]
    llm = LLM.load(path)
    llm.generate("Hello there, you", max_new_tokens=8)
    warm = llm.generate("Hello there", max_new_tokens=8)
    assert warm.stats.cached_tokens > 0
    llm.reset()
    assert llm.generate("Hello there", max_new_tokens=8).tokens == warm.tokens
    compare_with_cpp_runner(path, "Hello there", 24)


def compare_with_cpp_runner(bundle: Path, prompt: str, count: int) -> str:
    code = (
        "import sys\n"
        "from executorch.extension.llm.custom_ops import custom_ops\n"
        "import executorch.kernels.quantized\n"
        "from executorch.extension.llm.runner import TextLLMRunner, GenerationConfig\n"
        "runner = TextLLMRunner(sys.argv[1] + '/model.pte', sys.argv[1] + '/tokenizer.json')\n"
        "runner.generate(sys.argv[2], GenerationConfig(\n"
        "    echo=False, max_new_tokens=int(sys.argv[3]), temperature=0.0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), prompt, str(count)], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    said = done.stdout.split(b"\nPyTorchObserver")[0]
    ours = LLM.load(bundle).generate(prompt, max_new_tokens=count, temperature=0.0)
    # The C++ runner prints neither control characters nor tokens that are no whole character.
    text = shown(ours.text)
    assert shown(said.decode("utf-8", "ignore")) == text
    assert len(ours.tokens) == count or ours.finish == "eos"
    return text


def shown(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c != "�")


def test_damaged_bundles_are_named(portable_bundle: Path, tmp_path: Path) -> None:
    def copy() -> Path:
        shutil.rmtree(tmp_path / "b", ignore_errors=True)
        return Path(shutil.copytree(portable_bundle, tmp_path / "b"))

    bundle = copy()
    (bundle / "tokenizer.json").unlink()
    with pytest.raises(BundleRuntimeError, match=r"tokenizer\.json is missing"):
        LLM.load(bundle)
    bundle = copy()
    with (bundle / "model.pte").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(BundleRuntimeError, match="another size than the manifest says"):
        LLM.load(bundle)
    bundle = copy()
    data = bytearray((bundle / "model.pte").read_bytes())
    data[-50] ^= 1
    (bundle / "model.pte").write_bytes(data)
    with pytest.raises(BundleRuntimeError, match="another sha256"):
        Bundle.open(bundle, verify_hashes=True)
    bundle = copy()
    manifest = json.loads((bundle / "manifest.json").read_text())
    for change, words in (
        ({"format": 2}, "reads up to 1"),
        ({"roles": {}}, "roles"),
        ({"roles": {**manifest["roles"], "chat_template": "/etc/passwd"}}, "does not list"),
        ({"surprise": 1}, "surprise"),
        ({"files": {**manifest["files"], "../x": {"bytes": 0, "sha256": "0" * 64}}}, "outside"),
    ):
        (bundle / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(BundleRuntimeError, match=words):
            LLM.load(bundle)
    (bundle / "manifest.json").write_text("{")
    with pytest.raises(BundleRuntimeError, match="not valid JSON"):
        LLM.load(bundle)


# -- the RFC's flags -----------------------------------------------------------------------


@pytest.mark.slow
def test_the_flags_of_the_rfc(cli: Cli, tmp_path: Path) -> None:
    model = hf_models.llama(seed=5)
    hub = tmp_path / "hub" / "models--org--tiny-llama"
    hf_models.save(model, hub / "snapshots" / ("2" * 40))
    (hub / "refs").mkdir()
    (hub / "refs" / "main").write_text("2" * 40)
    config = tmp_path / "file.yaml"
    config.write_text(
        "defaults:\n  - export_base\n  - override benchmark: 'off'\n"
        "  - override runtime: static\n  - _self_\n"
        "runtime: {context_length: 256}\nverify: {positions: 50}\n"
    )
    env = {"HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    done = cli("--hf_id=org/tiny-llama", f"--export_config={config}", **env)
    assert done.returncode == 0, done.stderr
    assert "mean KL" in done.stdout
    assert Bundle.open(tmp_path / "outputs" / "file").manifest["model"]["checkpoint"] == (
        "hf:org/tiny-llama"
    )
    nothing = cli(f"--export_config={config}")
    assert (nothing.returncode, "either --hf_id or --check_point" in nothing.stderr) == (2, True)


@pytest.mark.slow
def test_check_point_and_params_json(cli: Cli, tmp_path: Path) -> None:
    from checkpoint_files import write_meta

    folder = write_meta(tmp_path / "meta", hf_models.llama(seed=5))
    hf_models.save(hf_models.llama(seed=5), tmp_path / "hf")
    (tmp_path / "hf" / "tokenizer.json").rename(folder / "tokenizer.json")
    (tmp_path / "hf" / "tokenizer_config.json").rename(folder / "tokenizer_config.json")
    (folder / "params.json").rename(tmp_path / "params.json")
    done = cli(
        f"--check_point={folder / 'consolidated.00.pth'}",
        f"--model_config={tmp_path / 'params.json'}",
        "runtime=static", "runtime.context_length=256", "benchmark=off", "verify.positions=50",
        f"out={tmp_path / 'o'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Bundle.open(tmp_path / "o").manifest["proof"]["verified"]
