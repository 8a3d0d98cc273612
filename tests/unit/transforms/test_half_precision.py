"""Half precision, eagerly: near float32, with float32 where it is needed, and sized right."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
import torch
from family_models import settings
from parity_tools import recipe_for, sample_ids, stepwise

from llm_export import api
from llm_export.checks.rules import find_problems, flows_fit_model
from llm_export.config.quant_schema import ModuleKind, QuantRule
from llm_export.errors import PostConditionError, RecipeError
from llm_export.metrics.comparison import Comparison
from llm_export.models.build import build_on_meta
from llm_export.models.components.embedding import CastEmbedding
from llm_export.models.contract import LanguageModel
from llm_export.models.families import FAMILIES
from llm_export.models.families.llama import from_hf
from llm_export.models.load_model import load_model
from llm_export.quant.dtype import model_dtype
from llm_export.quant.rules import resolve_rules
from llm_export.resolve.recipe import resolve
from llm_export.stages.quantization.constant_bytes import predict_bytes
from llm_export.stages.verification.logits import eager_logits, perturbed
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import run_transform
from llm_export.transforms.cast import cast_model, cast_table, casts

IDS = [(i * 37 + 11) % 300 for i in range(40)]


def tiny(attention: str = "plain", all_logits: bool = True) -> LanguageModel:
    recipe = api.compose_recipe(None, ["model=tiny"]).recipe
    return load_model(
        recipe, attention=attention, context_length=64, all_logits=all_logits
    ).model  # fmt: skip


def mean_kl(model: torch.Tensor, reference: torch.Tensor) -> float:
    comparison = Comparison()
    comparison.add(model, reference, torch.zeros(len(model), dtype=torch.int64))
    return comparison.result().mean_kl


@pytest.mark.parametrize("kind", ["plain", "custom_op", "static_io"])
@pytest.mark.parametrize(("dtype", "bar"), [(torch.float16, 1e-6), (torch.bfloat16, 1e-4)])
def test_a_cast_model_is_near(kind: str, dtype: torch.dtype, bar: float) -> None:
    model = tiny()
    expected = eager_logits(model, IDS)
    if kind != "plain":
        run_transform(exchange(kind), model)
    run_transform(cast_model(dtype), model)
    model.init_buffers()
    assert {b.dtype for n, b in model.named_buffers() if "cache" in n} == {dtype}
    with torch.no_grad():
        logits = model(torch.tensor([IDS]), torch.tensor([0]))
    assert logits.dtype == torch.float32, "runtimes sample in float32"
    assert mean_kl(logits[0], expected) < bar


ODD = [("gpt_oss", "sinks"), ("gemma2", "mixed layers"), ("starcoder2", "window"),
       ("deepseek_v3", "yarn"), ("mixtral", "experts"), ("mistral", "window")]  # fmt: skip


@pytest.mark.parametrize(("family", "variant"), ODD)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_parts_that_need_float32_keep_it(
    family: str, variant: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    """Sinks, soft caps, routers with floors, latent attention, windows, layer norms."""
    folder = hf_models.save(hf_models.build(family, **settings(family, variant)), tmp_path / "m")
    recipe = recipe_for(folder)
    ids = sample_ids(24)

    def load() -> LanguageModel:
        return load_model(recipe, attention="plain", context_length=32, all_logits=True).model

    expected = stepwise(load(), ids, 20)
    model = load()
    if family == "mistral":
        run_transform(exchange("custom_op"), model)  # which is given a mask for windows
    run_transform(cast_model(dtype), model)
    model.init_buffers()
    assert mean_kl(stepwise(model, ids, 20), expected) < (1e-4 if dtype == torch.float16 else 1e-2)


def test_a_table_alone_is_stored_in_half() -> None:
    model = tiny()
    expected = eager_logits(model, IDS)
    run_transform(cast_table("embed", torch.float16), model)
    assert isinstance(model.input_embedding(), CastEmbedding)
    floats = {n for n, p in model.named_parameters() if p.dtype == torch.float32}
    assert {n for n, _ in model.named_parameters()} - floats == {"embed.weight"}
    assert mean_kl(eager_logits(model, IDS), expected) < 1e-6


def test_each_table_of_tokens_is_stored_in_half() -> None:
    family = FAMILIES.get("gemma4_text")
    config = {"max_position_embeddings": 64, "rms_norm_eps": 1e-6,
              "hidden_activation": "gelu_pytorch_tanh", **family.tiny}  # fmt: skip
    model = build_on_meta(family.read(config), 16, "plain", False)
    for step in casts(resolve_rules(model, [QuantRule("bf16", ModuleKind.embedding)])):
        run_transform(step, model)
    halves = {n for n, p in model.named_parameters() if p.dtype == torch.bfloat16}
    assert halves == {"embed.weight", "layer_inputs.table.weight"}
    assert all(isinstance(table, CastEmbedding) for table in model.token_tables())


def test_a_model_computes_in_one_dtype() -> None:
    half = QuantRule("fp16", ModuleKind.linear)
    config = from_hf(api.compose_recipe(None, ["model=tiny"]).recipe.model.config)
    model = build_on_meta(config, 64, "plain", False)
    for others in ([], [QuantRule("bf16")], [QuantRule("8da8w", ModuleKind.head)]):
        with pytest.raises(RecipeError, match="a model computes in one dtype") as caught:
            model_dtype(resolve_rules(model, [half, *others]))
        assert "quant=fp16 for the whole model" in str(caught.value)
    tables = [QuantRule("8w", ModuleKind.embedding), QuantRule("fp16")]
    assert model_dtype(resolve_rules(model, tables)) == torch.float16
    only = resolve_rules(model, [QuantRule("bf16", ModuleKind.embedding)])
    assert model_dtype(only) == torch.float32
    assert [t.name for t in casts(only)] == ["cast_table:bfloat16"]


def test_two_bytes_a_value_are_predicted() -> None:
    model = tiny()
    count = sum(p.numel() for p in model.parameters())
    tables = sum(b.numel() for n, b in model.named_buffers() if n.startswith("ropes"))
    integers = sum(b.nbytes for n, b in model.named_buffers() if n == "planner.slots")
    choices = tuple(resolve_rules(model, [QuantRule("fp16")]))
    assert predict_bytes(model, choices) == 2 * (count + tables) + integers
    assert predict_bytes(model, tuple(resolve_rules(model, []))) == 4 * (count + tables) + integers


def test_the_promise_of_a_cast_is_checked() -> None:
    model = tiny()
    step = cast_model(torch.float16)
    with pytest.raises(PostConditionError, match=r"is torch\.float32, not torch\.float16"):
        step.check(model)
    with pytest.raises(PostConditionError, match="is not stored in"):
        cast_table("embed", torch.float16).check(model)
    with model.as_program(1) as form, torch.no_grad():
        graph = torch.export.export(form.module, form.inputs, strict=False).graph_module
    with pytest.raises(PostConditionError, match=r"is computed in torch\.float32"):
        step.check_graph(graph)


def test_noise_has_the_size_of_a_rounding_error() -> None:
    """Smaller noise would round to nothing in half precision, and the floor would be zero."""
    model = tiny()
    run_transform(cast_model(torch.float16), model)
    quiet = eager_logits(model, IDS)
    with perturbed(model):
        noisy = eager_logits(model, IDS)
    assert 1e-4 < float((noisy - quiet).abs().max() / quiet.abs().max()) < 1e-2


def test_what_cannot_be_cast_is_refused() -> None:
    def problems(*words: str) -> list[str]:
        recipe = api.compose_recipe(None, ["model=tiny", *words]).recipe
        return [str(p) for p in find_problems(recipe)]

    assert problems("quant=fp16") == []
    assert problems("quant=bf16", "runtime=npu") == []
    assert any("slow reference kernels" in p for p in problems("quant=bf16", "backend=xnnpack"))
    separate = ("checkpoint.adapter=.", "checkpoint.adapter_mode=separate")
    assert any(
        "separate adapter cannot be with fp16" in p for p in problems("quant=fp16", *separate)
    )
    recipe = api.compose_recipe(None, ["model=tiny", "quant=fp16", "model.definition=hf"]).recipe
    (problem,) = flows_fit_model(resolve(recipe))
    assert "models of definition 'hf' cannot be cast to fp16" in str(problem)
