"""torchtune's models and checkpoints against transformers and torchtune itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torchtune_models as tiny
import yaml
from safetensors.torch import load_file, save_file
from stage_tools import transformed_of

from llm_export import api
from llm_export.checks.rules import find_problems
from llm_export.compat.torchtune_package import load_torchtune, torchtune_is_installed
from llm_export.config.schema import CheckpointConfig, ModelConfig, Recipe
from llm_export.errors import CheckpointError, MissingDependencyError, RecipeError
from llm_export.models.detect import detect_model
from llm_export.models.load_model import load_model
from llm_export.models.torchtune.architecture import architecture
from llm_export.models.torchtune.model import build
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import resolve
from llm_export.stages.export import export
from llm_export.stages.lower import lower
from llm_export.stages.verification.logits import eager_logits, program_logits
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from runtime_py.bundle import Bundle
from runtime_py.program import Program

if not torchtune_is_installed():
    pytest.skip("torchtune is not installed", allow_module_level=True)

BAR = 1e-4
"""Largest logit error relative to the largest logit."""
IDS = torch.randint(0, 300, (40,), generator=torch.Generator().manual_seed(1)).tolist()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, torch.Tensor]]:
    """models(variant) -> a folder that holds ``hf`` and ``tune``, and transformers' logits."""
    made: dict[str, tuple[Path, torch.Tensor]] = {}

    def make(variant: str) -> tuple[Path, torch.Tensor]:
        if variant not in made:
            root = tmp_path_factory.mktemp(variant)
            model = tiny.reference(variant)
            tiny.save_hf(model, root / "hf")
            tiny.save_tune(model, root / "tune")
            with torch.no_grad():
                made[variant] = root, model(torch.tensor([IDS])).logits[0]
        return made[variant]

    return make


def recipe_for(folder: Path, *overrides: str) -> Recipe:
    config = json.loads((folder / "config.json").read_text())
    base = api.compose_recipe(
        None, ["model=tiny", "runtime.context_length=64", "runtime.prefill_length=32", *overrides]
    ).recipe
    return replace(
        base,
        model=ModelConfig("tiny", "torchtune", config["model_type"], config),
        checkpoint=CheckpointConfig(path=str(folder)),
    )


def relative_error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual - expected).abs().max() / expected.abs().max())


def stepwise(model: Any, prefill: int) -> torch.Tensor:
    """Logits of IDS: a chunk, then one token at a time, through the cache."""
    model.init_buffers()
    rows = []
    with torch.no_grad():
        rows.append(model(torch.tensor([IDS[:prefill]]), torch.tensor([0]))[0])
        for i in range(prefill, len(IDS)):
            rows.append(model(torch.tensor([[IDS[i]]]), torch.tensor([i]))[0])
    return torch.cat(rows)


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_every_form_agrees_with_transformers(variant: str, models: Any) -> None:
    root, expected = models(variant)
    recipe = recipe_for(root / "tune")
    for kind in ("cacheless", "plain"):
        loaded = load_model(recipe, attention=kind, context_length=64, all_logits=True)
        model = loaded.model
        assert relative_error(eager_logits(model, IDS), expected) < BAR, kind
    assert loaded.coverage.used == len(list(model.named_parameters()))
    assert relative_error(stepwise(model, 7), expected) < BAR, "decode through the cache"
    if variant != "gemma2":
        run_transform(exchange("custom_op"), model)
        assert relative_error(stepwise(model, 30), expected) < BAR, "custom operators"
        run_transform(exchange("cacheless"), model)
        assert relative_error(eager_logits(model, IDS), expected) < BAR, "and back"


@pytest.mark.parametrize("variant", tiny.VARIANTS)
def test_hugging_face_folders_give_the_same(variant: str, models: Any) -> None:
    root, expected = models(variant)
    recipe = recipe_for(root / "hf")
    loaded = load_model(recipe, attention="plain", context_length=64, all_logits=True)
    assert relative_error(eager_logits(loaded.model, IDS), expected) < BAR
    assert loaded.coverage.used == len(list(loaded.model.named_parameters()))


@pytest.mark.parametrize("variant", [v for v in tiny.VARIANTS if v != "gemma2"])
def test_torchtunes_unmodified_model_says_the_same(variant: str, models: Any) -> None:
    """Built and loaded as torchtune's recipes do, without a line of this package's model."""
    root, expected = models(variant)
    config = json.loads((root / "tune" / "config.json").read_text())
    decoder = build(architecture(config["model_type"], config), 64).eval()
    rope = decoder.layers[0].attn.pos_embeddings
    if hasattr(rope, "old_context_len"):  # the builder knows only Llama 3.2's own 8192
        rope.old_context_len = 32 if variant == "llama3_2" else 8192
        rope.rope_init()
    state = torch.load(root / "tune" / "model-00001-of-00001.bin", weights_only=True)
    decoder.load_state_dict(state)
    with torch.no_grad():
        assert relative_error(decoder(torch.tensor([IDS]))[0], expected) < BAR


def test_torchtunes_own_gemma2_is_another_model(models: Any) -> None:
    """Why ours mends it; when this fails, torchtune was mended, and the mending must go."""
    root, expected = models("gemma2")
    config = json.loads((root / "tune" / "config.json").read_text())
    decoder = build(architecture("gemma2", config), 64).eval()
    state = torch.load(root / "tune" / "model-00001-of-00001.bin", weights_only=True)
    decoder.load_state_dict(state)
    with torch.no_grad():
        assert relative_error(decoder(torch.tensor([IDS]))[0], expected) > 0.1


@pytest.mark.parametrize("variant", ["llama", "llama3_2"])
def test_the_composable_decoder_reads_torchtunes_files(variant: str, models: Any) -> None:
    root, expected = models(variant)
    source = CheckpointConfig(path=str(root / "tune"))
    base = recipe_for(root / "tune")
    recipe = replace(base, model=detect_model(source, 512), checkpoint=source)
    assert recipe.model.definition == "composable"
    model = load_model(recipe, attention="plain", context_length=64, all_logits=True).model
    assert relative_error(eager_logits(model, IDS), expected) < BAR
    assert relative_error(stepwise(model, 7), expected) < BAR


@pytest.mark.parametrize(
    ("variant", "attention"),
    [
        pytest.param("qwen2", "custom_op", marks=pytest.mark.release),
        pytest.param("gemma2", "plain", marks=pytest.mark.release),
    ],
)
def test_the_program_on_disk_agrees(
    variant: str, attention: str, models: Any, tmp_path: Path
) -> None:
    root, expected = models(variant)
    recipe = recipe_for(
        root / "tune", "backend=portable", f"runtime.attention={attention}", "runtime.logits=last"
    )
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        lowered = lower(
            export(
                transformed_of(recipe, ctx),
                resolve(recipe),
                ctx,
            ),
            resolve(recipe),
            ctx,
        )
    program = Program(lowered.program_file, context_length=64, steps={"forward": 32}, dynamic=True)
    assert relative_error(program_logits(program, IDS, 7), expected[6:]) < BAR


@pytest.mark.parametrize(
    ("backend", "quant"),
    [
        pytest.param("portable", "none", marks=pytest.mark.release),
        pytest.param("xnnpack", "8da8w", marks=pytest.mark.slow),
    ],
)
def test_a_whole_run(backend: str, quant: str, models: Any, tmp_path: Path) -> None:
    """From torchtune's checkpoint to a proven bundle."""
    root, _ = models("llama3_2")
    config = json.loads((root / "tune" / "config.json").read_text())
    keys = (
        "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "head_dim",
        "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "rms_norm_eps",
        "hidden_act", "tie_word_embeddings", "rope_parameters",
    )  # fmt: skip
    option = tmp_path / "file.yaml"
    content = {
        "defaults": ["export_base", {"override benchmark": "off"}, "_self_"],
        "model": {"name": "t", "definition": "torchtune", "family": "llama",
                  "config": {key: config[key] for key in keys}},
        "checkpoint": {"path": str(root / "tune")},
        "verify": {"positions": 50},
        "runtime": {"context_length": 256, "prefill_length": 32},
    }  # fmt: skip
    option.write_text(yaml.safe_dump(content))
    words = [f"quant={quant}", "quant.smooth=null", f"backend={backend}", f"out={tmp_path / 'o'}"]
    composed = api.compose_recipe(str(option), words)
    bundle = Bundle.open(api.run_recipe(composed, quiet=True).bundle)
    assert bundle.manifest["proof"]["verified"]
    assert ("XnnpackBackend" in bundle.manifest["requires"]["backends"]) == (backend == "xnnpack")
    record = json.loads((tmp_path / "o" / "run.json").read_text())
    facts = {s["name"]: s["facts"] for s in record["stages"]}
    decided = {q["name"]: q["scheme"] for q in facts["quantize"]["quantization"]}
    assert decided["layers.0.attn.q_proj"] == decided["head"] == quant
    assert decided["embed"] == ("8w" if quant == "8da8w" else "none")


# -- what is refused -----------------------------------------------------------------------


def test_without_torchtune_a_check_says_so(models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, _ = models("llama")
    monkeypatch.setitem(sys.modules, "torchtune", None)
    recipe = recipe_for(root / "hf")
    (problem,) = find_problems(recipe)
    assert problem.environment
    assert "torchtune is not installed" in problem.what
    assert problem.fix == "pip install torchtune==0.6.1"
    with pytest.raises(MissingDependencyError, match="torchtune is not installed"):
        load_model(recipe, attention="plain", context_length=64, all_logits=True)


@pytest.mark.parametrize(
    ("variant", "change", "words"),
    [
        ("llama", {"head_dim": 32}, r"= 16 channels; the config says head_dim=32"),
        ("llama", {"rope_parameters": {"rope_theta": 1e4, "rope_type": "yarn"}}, "type 'yarn'"),
        ("llama", {"attention_bias": True}, "does not implement attention_bias=True"),
        ("llama", {"surprise": 1}, r"does not know the config key\(s\) surprise"),
        ("mistral", {"sliding_window": 32}, "looks back 32 tokens"),
        ("qwen2", {"layer_types": ["sliding_attention"]}, "full attention in all layers"),
        ("gemma2", {"layer_types": ["full_attention"]}, "every layer of even number"),
    ],
)
def test_what_torchtune_does_not_implement_is_refused(
    variant: str, change: dict[str, Any], words: str, models: Any
) -> None:
    root, _ = models(variant)
    recipe = recipe_for(root / "hf")
    recipe.model.config.update(change)
    (problem,) = find_problems(recipe)
    with pytest.raises(RecipeError, match=words):
        raise RecipeError(problem.what)


def test_an_unknown_family_is_refused(models: Any) -> None:
    root, _ = models("llama")
    recipe = recipe_for(root / "hf")
    recipe.model.family = "lama"
    (problem,) = find_problems(recipe)
    assert problem.what == "torchtune has no builder for the family 'lama'"
    assert "did you mean 'llama'" in problem.fix


def test_softcapped_attention_has_no_custom_operator(models: Any) -> None:
    root, _ = models("gemma2")
    problems = find_problems(recipe_for(root / "hf", "runtime.attention=custom_op"))
    (problem,) = [p for p in problems if p.key == "runtime.attention"]
    assert "has no 'custom_op' attention" in problem.what
    assert "plain" in problem.fix


@pytest.mark.parametrize("source", ["hf", "tune"])
def test_names_that_do_not_fit_are_listed(source: str, models: Any, tmp_path: Path) -> None:
    root, _ = models("llama")
    file = tmp_path / ("model.safetensors" if source == "hf" else "torchtune_model_0.pt")
    if source == "hf":
        state = load_file(root / "hf" / "model.safetensors")
    else:
        state = torch.load(root / "tune" / "model-00001-of-00001.bin", weights_only=True)
    (tmp_path / "config.json").write_text((root / source / "config.json").read_text())

    def attempt(changed: dict[str, torch.Tensor], match: str) -> None:
        if source == "hf":
            save_file({k: v.contiguous() for k, v in changed.items()}, file)
        else:
            torch.save(changed, file)
        recipe = recipe_for(tmp_path)
        with pytest.raises(CheckpointError, match=match):
            load_model(recipe, attention="plain", context_length=64, all_logits=True)

    norm = "model.norm.weight" if source == "hf" else "norm.scale"
    without = {k: v for k, v in state.items() if k != norm}
    attempt(without, f"1 tensors are missing: {norm}")
    attempt({**state, "layers.0.extra": torch.zeros(2)}, r"no place in the model: layers\.0\.extra")
    attempt({**state, norm: torch.full((64,), float("nan"))}, "not finite")
    attempt({**state, norm: torch.ones(65)}, r"has shape \(65,\); the model needs \(64,\)")


def test_another_architecture_is_refused(models: Any) -> None:
    root, _ = models("llama")
    recipe = recipe_for(root / "tune")
    recipe.model.config["rms_norm_eps"] = 1e-6
    with pytest.raises(CheckpointError, match="norm_eps is 1e-05 there and 1e-06 in the model"):
        load_model(recipe, attention="plain", context_length=64, all_logits=True)
    other = recipe_for(models("qwen2")[0] / "tune")
    with pytest.raises(CheckpointError, match="'llama', not 'qwen2'"):
        load_model(
            replace(other, checkpoint=recipe.checkpoint),
            attention="plain", context_length=64, all_logits=True,
        )  # fmt: skip


def test_gguf_names_are_refused(models: Any) -> None:
    from llm_export.models.torchtune.model import build_on_meta
    from llm_export.models.torchtune.weights import fill_torchtune

    root, _ = models("llama")
    load_torchtune()
    recipe = recipe_for(root / "hf")
    model = build_on_meta(architecture("llama", recipe.model.config), 64, "plain", True)

    class Foreign:
        naming, files = "gguf", (Path("model.gguf"),)

    with pytest.raises(CheckpointError, match="reads torchtune and Hugging Face checkpoints"):
        fill_torchtune(model, Foreign())  # type: ignore[arg-type]
