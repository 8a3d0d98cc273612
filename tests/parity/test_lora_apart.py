"""LoRA adapters kept separate: equal to the merged model, in every form, and exchangeable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

pytest.importorskip("peft", exc_type=ImportError)

import family_models
import hf_models
from lora_models import IDS, logits, save_adapter
from parity_tools import BAR, recipe_for, relative_error, stepwise
from safetensors.torch import load_file, save_file

from llm_export import api
from llm_export.bundle.adapters import keep_separate, pairs_of
from llm_export.bundle.proof import Proof
from llm_export.checkpoints.adapter import read_adapter
from llm_export.cli.main import main
from llm_export.errors import InputError, LlmExportError, RecipeError
from llm_export.files import sha256_of
from llm_export.models.components.lora import LoraLinear, factor_tensors
from llm_export.models.load_model import load_model
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.stages.verification.logits import eager_logits, program_logits
from llm_export.transforms import fuse_projections
from llm_export.transforms.base import run_transform
from runtime_py import LLM, BundleRuntimeError
from runtime_py.bundle import Bundle

RUN = (
    "benchmark=off", "verify.window=64", "verify.prefill=16", "verify.positions=60",
    "runtime.context_length=128", "runtime.prefill_length=32",
)  # fmt: skip
SHARED = ("xnnpack", "q_proj,v_proj,up_proj")
"""Backend and targets of the bundle that most tests use."""


LEGAL = "{% for m in messages %}Counsel: {{ m['content'] }}{{ eos_token }}{% endfor %}"
POET = "{{ messages[0].content }}{{ eos_token }}"
ASKED = [{"role": "user", "content": "a"}]


def llama(**changes: Any) -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False, num_hidden_layers=1, **changes)


# -- eager ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "variant", "targets"),
    [
        ("llama", "grouped", ["q_proj", "v_proj"]),
        ("llama", "biases", "all-linear"),
        ("phi3", "window", "all-linear"),
        ("gemma2", "no caps", "all-linear"),
        ("starcoder2", "window", "all-linear"),
        ("deepseek_v2", "groups", ["q_b_proj", "kv_a_proj_with_mqa", "o_proj"]),
        ("deepseek_v2", "greedy", ["q_proj"]),
    ],
)
def test_apart_is_merged_in_eager_mode(
    tmp_path: Path, family: str, variant: str, targets: Any
) -> None:
    def reference() -> Any:
        return hf_models.build(family, seed=2, **family_models.settings(family, variant))

    base = hf_models.save(reference(), tmp_path / "base")
    want = save_adapter(reference(), tmp_path / "lora", target_modules=targets)
    recipe = recipe_for(base, *RUN)
    sizes: dict[str, Any] = {"context_length": 64, "all_logits": True}
    source = replace(recipe.checkpoint, adapter=str(tmp_path / "lora"))
    merged = load_model(replace(recipe, checkpoint=source), attention="cacheless", **sizes).model
    assert relative_error(eager_logits(merged, IDS), want) < BAR
    assert relative_error(logits(reference()), want) > 1e-2
    # With delegates factors are stored the other way.
    for fuse, backend in ((False, "portable"), (True, "xnnpack")):
        recipe = replace(recipe, backend=replace(recipe.backend, name=backend))
        model = load_model(recipe, attention="plain", **sizes).model
        step = keep_separate(resolve(recipe), model, pairs_of(read_adapter(tmp_path / "lora")))
        if fuse:
            run_transform(fuse_projections.TRANSFORM, model)
        run_transform(step, model)
        assert relative_error(stepwise(model, IDS, 7), want) < BAR


def test_names_ranks_and_rules(tmp_path: Path) -> None:
    """The base's linears keep their names and are what rules see; factors share what is one."""
    reference = hf_models.build("phi3", **family_models.settings("phi3", "window"))
    base = hf_models.save(reference, tmp_path / "base")
    save_adapter(reference, tmp_path / "lora", target_modules="all-linear")
    recipe = recipe_for(base, "backend=xnnpack", "quant=8da4w")
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    step = keep_separate(resolve(recipe), model, pairs_of(read_adapter(tmp_path / "lora")))
    before = {name for name, _ in model.named_modules()}
    run_transform(step, model)
    assert {name for name, _ in model.named_modules()} == before
    assert isinstance(model.get_submodule("layers.0.attention.qkv.q"), LoraLinear)
    choices = resolve_rules(model, recipe.quant.rules)
    assert {c.name for c in choices if c.scheme == "8da4w"} >= {"layers.0.attention.qkv.q", "head"}
    assert not [c for c in choices if "lora" in c.name]
    shapes = {n: tuple(t.shape) for n, t in factor_tensors(model).items()}
    assert shapes["layers.0.attention.qkv.q.lora_a"] == (4, 64)
    assert shapes["layers.0.feed_forward.gate_up.up.lora_b"] == (96, 4)

    fused = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    step = keep_separate(resolve(recipe), fused, pairs_of(read_adapter(tmp_path / "lora")))
    run_transform(fuse_projections.TRANSFORM, fused)
    run_transform(step, fused)
    shapes = {n: tuple(t.shape) for n, t in factor_tensors(fused).items()}
    assert shapes["layers.0.attention.qkv.fused.lora_a"] == (4, 64)
    assert shapes["layers.0.feed_forward.gate_up.fused.lora_b"] == (192, 4)


# -- programs ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    """A bundle, the folders of its base and adapters, and PEFT's logits of each by name."""

    bundle: Path
    base: Path
    adapters: Path
    want: dict[str, torch.Tensor]
    proof: Proof

    def error(self, name: str | None) -> float:
        llm = LLM.load(self.bundle, adapter=name)
        got = program_logits(llm.program, IDS, 8)
        return relative_error(got, self.want[name or "legal"][7:])


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Made]:
    """make(backend, targets, *overrides): a whole run, once for each set of arguments."""
    made: dict[tuple[Any, ...], Made] = {}
    folder = tmp_path_factory.mktemp("lora")
    base = hf_models.save(llama(), folder / "base")

    def run(backend: str, targets: str, *overrides: str) -> Made:
        key = (backend, targets, *overrides)
        if key not in made:
            adapters = folder / f"adapters{len(made)}"
            modules: Any = targets if targets == "all-linear" else targets.split(",")
            want = {"base": logits(llama())}
            for seed, name in enumerate(("legal", "medical")):
                want[name] = save_adapter(
                    llama(), adapters / name, seed, target_modules=modules, r=4 - 2 * seed,
                    lora_alpha=12 + seed,
                )  # fmt: skip
            shutil.copy(base / "tokenizer.json", adapters / "legal")
            settings = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "chat_template": LEGAL}
            (adapters / "legal" / "tokenizer_config.json").write_text(json.dumps(settings))
            words = [
                "model=auto", f"checkpoint.path={base}", f"backend={backend}", *RUN, *overrides,
                f"checkpoint.adapter={adapters / 'legal'}", "checkpoint.adapter_mode=separate",
                f"out={folder / f'out{len(made)}'}",
            ]  # fmt: skip
            result = api.run_recipe(api.compose_recipe(None, words), quiet=True)
            made[key] = Made(result.bundle, base, adapters, want, result.summary.proof)
        return made[key]

    return run


@pytest.fixture(
    params=[
        pytest.param(("portable", "all-linear"), marks=pytest.mark.release),
        SHARED,
    ],
    ids="-".join,
)
def made(request: pytest.FixtureRequest, make: Callable[..., Made]) -> Made:
    return make(*request.param)


def test_the_program_is_the_merged_model_and_switches(made: Made) -> None:
    """The run held it against the merged model; here it is held against PEFT."""
    assert made.proof.verified
    assert made.error(None) < BAR
    assert made.error("base") < BAR
    assert relative_error(made.want["base"], made.want["legal"]) > 1e-2
    before = sha256_of(made.bundle / "model.pte")
    assert api.adapt_bundle(made.bundle, made.adapters / "medical", "clinic") == "clinic"
    made.want["clinic"] = made.want["medical"]
    assert made.error("clinic") < BAR
    assert made.error("legal") < BAR
    assert relative_error(made.want["medical"], made.want["legal"]) > 1e-2
    assert sha256_of(made.bundle / "model.pte") == before


def test_two_adapters_at_once(made: Made) -> None:
    """No state of the runtime is shared between programs of the same weights' names."""
    one, none = LLM.load(made.bundle), LLM.load(made.bundle, adapter="base")
    for llm, name in ((one, "legal"), (none, "base"), (one, "legal")):
        got = program_logits(llm.program, IDS, 8)
        assert relative_error(got, made.want[name][7:]) < BAR


def test_what_the_bundle_holds(made: Made) -> None:
    bundle = Bundle.open(made.bundle, verify_hashes=True)
    assert bundle.manifest["default_adapter"] == "legal"
    assert set(bundle.manifest["adapters"]) >= {"legal", "base"}
    assert bundle.manifest["adapters"]["legal"] == "adapters/legal.ptd"
    assert bundle.adapter_file() == made.bundle / "adapters" / "legal.ptd"
    lock = yaml.safe_load((made.bundle / "recipe.lock.yaml").read_text())
    assert lock["checkpoint"]["adapter_model.safetensors"] == sha256_of(
        made.adapters / "legal" / "adapter_model.safetensors"
    )
    assert lock["recipe"]["checkpoint"]["adapter_mode"] == "separate"
    assert lock["files"]["adapters/legal.ptd"] == sha256_of(made.bundle / "adapters/legal.ptd")
    assert "adapters are in separate files: legal (" in (made.bundle / "report.md").read_text()
    # The default adapter has a chat template of its own, so the base model has another.
    base = bundle.manifest["adapter_tokenizers"]["base"]
    assert base["roles"] == {
        "tokenizer": "tokenizer.json", "chat_template": "adapters/base.chat_template.jinja",
    }  # fmt: skip
    assert base["tokenizer"] == bundle.manifest["tokenizer"]
    layout = json.loads((made.bundle / "adapters" / "layout.json").read_text())
    capacity = layout["capacity"]["model.layers.0.self_attn.v_proj"]
    assert capacity == {"rank": 4, "outputs": 32, "inputs": 64}
    program = (made.bundle / "model.pte").read_bytes()
    stored = load_file(made.adapters / "legal" / "adapter_model.safetensors")
    for name, tensor in stored.items():
        if "lora_A" in name:
            assert tensor.numpy().tobytes() not in program


@pytest.mark.slow
def test_a_quantized_base_with_float_factors(make: Callable[..., Made]) -> None:
    made = make(
        "xnnpack", "q_proj,down_proj", "quant=8da8w", "quant.smooth=null", "quant.outliers=0",
        "runtime=static", "runtime.prefill_length=1", "verify.quality.max_mean_kl=1",
    )  # fmt: skip
    found = made.proof.comparisons
    assert found is not None
    assert found.floor is not None
    assert found.lowering.mean_kl < max(1e-6, 2 * found.floor.mean_kl)
    assert found.quality.mean_kl < 0.05
    assert made.error("base") < 0.1
    record = json.loads((made.bundle / "run.json").read_text())
    stages = {s["name"]: s["facts"] for s in record["stages"]}
    schemes = {q["scheme"] for q in stages["quantize"]["quantization"]}
    assert schemes == {"8da8w", "8w"}
    assert not [n for n in stages["lower"]["delegation"]["outside"] if "mm" in n or "linear" in n]


# -- command line and errors -----------------------------------------------------------------


def test_the_command_line(
    make: Callable[..., Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make(*SHARED)
    save_adapter(llama(), tmp_path / "Poet v2", 7, target_modules=["q_proj"], r=1)
    settings = {"eos_token": "<|begin|>", "chat_template": POET}
    (tmp_path / "Poet v2" / "tokenizer_config.json").write_text(json.dumps(settings))
    assert main(["adapt", str(made.bundle), str(tmp_path / "Poet v2")]) == 0
    assert "adapter Poet_v2" in capsys.readouterr().out
    ends = {}
    for name, text in (("Poet_v2", "a<|begin|>"), ("legal", "Counsel: a<|end|>"),
                       ("base", "user: a\nassistant: ")):  # fmt: skip
        with LLM.load(made.bundle, adapter=name) as llm:
            assert llm.template is not None
            assert llm.template.render(ASKED) == text
            ends[name] = llm.bundle.manifest["tokenizer"]["stop_strings"]
    # The end that the base model's generation_config.json states ends every answer.
    both = ["<|end|>", "<|begin|>"]
    assert ends == {"Poet_v2": both, "legal": ["<|end|>"], "base": ["<|end|>"]}
    words = ["--prompt", "hello", "--max-new-tokens", "8"]
    said = {}
    for name in ("Poet_v2", "base", "legal"):
        assert main(["generate", str(made.bundle), "--adapter", name, *words]) == 0
        said[name] = capsys.readouterr().out
    assert main(["generate", str(made.bundle), *words]) == 0
    assert capsys.readouterr().out == said["legal"] != said["base"]
    lengths = ["--prompt-length", "8", "--decode-length", "4", "--repetitions", "1"]
    assert main(["bench", str(made.bundle), "--adapter", "base", "--warmup", "0", *lengths]) == 0
    assert main(["adapt", str(made.bundle), str(tmp_path / "Poet v2")]) == 2
    assert "the bundle has an adapter 'Poet_v2' already" in capsys.readouterr().err
    assert main(["chat", str(made.bundle), "--adapter", "lega", "--message", "x"]) == 2
    error = capsys.readouterr().err
    assert "the bundle has no adapter 'lega'" in error
    assert "did you mean 'legal'? choices: " in error


def _replaced_head(folder: Path) -> None:
    save_adapter(llama(), folder, modules_to_save=["lm_head"])


def _of_a_wider_model(folder: Path) -> None:
    save_adapter(llama(intermediate_size=128), folder, target_modules=["q_proj", "up_proj"])


def _of_a_deeper_model(folder: Path) -> None:
    deep = hf_models.llama(seed=3, tie_word_embeddings=False, num_hidden_layers=2)
    save_adapter(deep, folder)


def _not_finite(folder: Path) -> None:
    save_adapter(llama(), folder)
    file = folder / "adapter_model.safetensors"
    save_file({n: t / 0 for n, t in load_file(file).items()}, file)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda f: save_adapter(llama(), f, r=8), "has rank 8 at model.layers.0.self_attn.q_proj; "
         "the program has room for 4"),
        (lambda f: save_adapter(llama(), f, target_modules=["lm_head", "q_proj"]),
         "changes 1 modules that the program has no adapter for: lm_head"),
        (_of_a_deeper_model, "no adapter for: model.layers.1.self_attn.q_proj, model.layers.1"),
        (_of_a_wider_model, "is (96, 64) in the program and (128, 64) here"),
        (_replaced_head, "the adapter replaces lm_head.weight as a whole"),
        (_not_finite, "holds values that are not finite"),
        (lambda f: None, "there is no such adapter folder"),
    ],
    ids=["rank", "targets", "deeper", "wider", "replaced", "nan", "none"],
)  # fmt: skip
def test_adapters_that_do_not_fit(
    make: Callable[..., Made], tmp_path: Path, write: Callable[[Path], Any], words: str
) -> None:
    made = make(*SHARED)
    before = {p: p.stat().st_mtime_ns for p in made.bundle.rglob("*")}
    write(tmp_path / "lora")
    with pytest.raises(InputError) as caught:
        api.adapt_bundle(made.bundle, tmp_path / "lora")
    assert words in str(caught.value)
    assert {p: p.stat().st_mtime_ns for p in made.bundle.rglob("*")} == before


def test_names_and_bundles_that_take_no_adapter(make: Callable[..., Made], tmp_path: Path) -> None:
    made = make(*SHARED)
    with pytest.raises(RecipeError, match=r"'\.\./x' is no name for an adapter"):
        api.adapt_bundle(made.bundle, made.adapters / "legal", "../x")
    with pytest.raises(RecipeError, match="the bundle has an adapter 'base' already"):
        api.adapt_bundle(made.bundle, made.adapters / "legal", "base")
    plain = tmp_path / "plain"
    plain.mkdir()
    manifest = json.loads((made.bundle / "manifest.json").read_text())
    del manifest["adapters"], manifest["default_adapter"]
    for name in [*manifest["files"], "recipe.yaml"]:
        (plain / name).parent.mkdir(exist_ok=True)
        (plain / name).write_bytes((made.bundle / name).read_bytes())
    (plain / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(LlmExportError, match="adapter separate from its program") as caught:
        api.adapt_bundle(plain, made.adapters / "legal")
    assert "checkpoint.adapter_mode=separate" in str(caught.value)
    with pytest.raises(BundleRuntimeError, match="the bundle has no adapter 'legal'") as problem:
        LLM.load(plain, adapter="legal")
    assert "the bundle keeps no separate adapter" in str(problem.value)
    manifest |= {"adapters": {"a": "adapters/legal.ptd"}, "default_adapter": "b"}
    (plain / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRuntimeError, match="no file for its default adapter 'b'"):
        Bundle.open(plain)
