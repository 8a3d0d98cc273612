"""Checkpoints that torchao and torchtune trained to be quantized keep their trained numerics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import pytest
import qat_tools as tools
import torch
import torchtune_models as tiny
from safetensors.torch import save_file
from torchao.quantization import (
    Int8DynamicActivationIntxWeightConfig,
    PerAxis,
    PerGroup,
    quantize_,
)
from torchao.quantization.qat import (
    Int8DynActInt4WeightQATQuantizer,
    IntxFakeQuantizeConfig,
    QATConfig,
    initialize_fake_quantizers,
)

from llm_export import api
from llm_export.checks.rules import require_sound
from llm_export.compat.torchtune_package import load_torchtune, torchtune_is_installed
from llm_export.errors import CheckpointError, RecipeError

ON = "quant.qat.enabled=true"


def trained(config: QATConfig, folder: Path) -> torch.Tensor:
    """transformers' llama, trained by torchao alone and saved; its fake-quantized logits."""
    model = hf_models.llama().requires_grad_(True)
    quantize_(model, config)
    tools.train_a_little(model, lambda ids: model(input_ids=ids).logits)
    with torch.no_grad():
        expected = model(input_ids=tools.IDS).logits[0]
    hf_models.save(model, folder)
    return expected


def base(group: int | None) -> QATConfig:
    granularity = PerGroup(group) if group else PerAxis(0)
    return QATConfig(Int8DynamicActivationIntxWeightConfig(torch.int4, granularity), step="prepare")  # type: ignore[attr-defined]


def test_torchao_per_channel_is_exact(tmp_path: Path) -> None:
    expected = trained(base(None), tmp_path)
    recipe = tools.recipe_of(ON, folder=tmp_path, group=None)
    found, facts = tools.exported_logits(recipe)
    assert facts["trained_values"] == {
        "modules": 9, "exact": 9, "worst_sqnr_db": None, "sqnr_db": {},
    }  # fmt: skip
    assert {c["rounding"] for c in facts["quantization"] if c["scheme"] != "none"} == {"qat"}
    assert tools.mean_kl(expected, found) < 1e-5
    other, _ = tools.exported_logits(tools.recipe_of(ON, folder=tmp_path, group=32))
    assert tools.mean_kl(expected, other) > 1e-2


def test_torchao_groups_with_the_kernels_scales_are_exact(tmp_path: Path) -> None:
    """Trained with scales in bfloat16, as XNNPACK keeps those of groups."""
    config = QATConfig(
        activation_config=IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False),
        weight_config=IntxFakeQuantizeConfig(
            torch.int4,  # type: ignore[attr-defined]
            group_size=32,
            scale_precision=torch.bfloat16,
        ),
        step="prepare",
    )
    expected = trained(config, tmp_path)
    recipe = tools.recipe_of(ON, "quant.qat.scale_precision=bfloat16", folder=tmp_path)
    found, facts = tools.exported_logits(recipe)
    assert facts["trained_values"]["exact"] == 9
    # Rounding activations amplifies that norms are summed in another order.
    assert tools.mean_kl(expected, found) < 1e-4


def test_scales_that_the_kernel_cannot_hold_lose_little_and_say_so(tmp_path: Path) -> None:
    expected = trained(base(32), tmp_path)
    found, facts = tools.exported_logits(tools.recipe_of(ON, folder=tmp_path))
    assert facts["trained_values"]["exact"] == 0
    assert 53 < facts["trained_values"]["worst_sqnr_db"] < 59
    again, _ = tools.exported_logits(tools.recipe_of(folder=tmp_path))
    kept, rounded = tools.mean_kl(expected, found), tools.mean_kl(expected, again)
    assert kept < 5e-4
    assert rounded > 3 * kept


def test_a_model_that_was_trained_in_bfloat16(tmp_path: Path) -> None:
    """Its integers and scales come back; what bfloat16 arithmetic itself loses does not."""
    model = hf_models.llama().bfloat16().requires_grad_(True)
    quantize_(model, base(32))
    tools.train_a_little(model, lambda ids: model(input_ids=ids).logits)
    hf_models.save(model, tmp_path)
    with torch.no_grad():  # the trained weights, in float32 arithmetic
        weights = {
            n: m.weight_fake_quantizer(m.weight)
            for n, m in model.named_modules()
            if hasattr(m, "weight_fake_quantizer")
        }
        reference = hf_models.llama()
        reference.load_state_dict({n: p.float() for n, p in model.state_dict().items()})
        for name, value in weights.items():
            reference.get_parameter(f"{name}.weight").copy_(value)
        expected = reference(input_ids=tools.IDS).logits[0]
    bfloat = tools.recipe_of(ON, "quant.qat.weight_precision=bfloat16", folder=tmp_path)
    found, facts = tools.exported_logits(bfloat)
    # Products of training are rounded to bfloat16: 2^-9 of each value.
    assert 50 < facts["trained_values"]["worst_sqnr_db"] < 60
    wrong, _ = tools.exported_logits(tools.recipe_of(ON, folder=tmp_path))
    # Activations are int8 here and float in the reference: the same noise in both.
    assert tools.mean_kl(expected, found) < tools.mean_kl(expected, wrong)


# -- torchtune -----------------------------------------------------------------------------

needs_torchtune = pytest.mark.skipif(not torchtune_is_installed(), reason="no torchtune")


def tune_model(change: Callable[[Any], Any]) -> Any:
    """torchtune's own llama 3.2 with random weights; ``change`` prepares it for training."""
    load_torchtune()
    from torchtune.models.llama3 import llama3

    torch.manual_seed(0)
    model = llama3(
        vocab_size=320, num_layers=2, num_heads=4, num_kv_heads=2, embed_dim=64,
        max_seq_len=64, intermediate_dim=96, rope_base=10000.0,
    )  # fmt: skip
    state = tiny.tune_state(tiny.reference("llama"))
    model.load_state_dict(state)
    return change(model)


def save_tune(model: Any, folder: Path, state: dict[str, torch.Tensor]) -> None:
    tiny.save_hf(tiny.reference("llama"), folder)
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "model-00001-of-00001.bin")


@needs_torchtune
def test_torchtunes_quantizer(tmp_path: Path) -> None:
    """torchtune.training.quantization does not import with this torchao; what it names
    Int8DynActInt4WeightQATQuantizer is torchao's class, by import."""
    model = tune_model(Int8DynActInt4WeightQATQuantizer(groupsize=32).prepare)
    tools.train_a_little(model, model)
    with torch.no_grad():
        expected = model(tools.IDS)[0]
    save_tune(model, tmp_path, model.state_dict())
    recipe = tools.recipe_of(ON, "quant.qat.scale_precision=float32", folder=tmp_path)
    found, facts = tools.exported_logits(recipe)
    assert facts["trained_values"]["worst_sqnr_db"] > 53
    again, _ = tools.exported_logits(tools.recipe_of(folder=tmp_path))
    kept, rounded = tools.mean_kl(expected, found), tools.mean_kl(expected, again)
    assert kept < 5e-4
    assert rounded > 3 * kept


@needs_torchtune
def test_torchtunes_adapter_belongs_beside_the_quantized_weights(tmp_path: Path) -> None:
    """QATLoRALinear rounds the base and adds the factors in float: adapter_mode=separate is what
    was trained, merging is not."""
    load_torchtune()
    from torchao.quantization.qat.api import FakeQuantizeConfig
    from torchtune.models.llama3._component_builders import lora_llama3
    from torchtune.modules.peft import LoRALinear, get_adapter_params, set_trainable_params
    from torchtune.modules.peft.lora import QATLoRALinear

    torch.manual_seed(0)
    model = lora_llama3(
        ["q_proj", "k_proj", "v_proj", "output_proj"], apply_lora_to_mlp=True, vocab_size=320,
        num_layers=2, num_heads=4, num_kv_heads=2, embed_dim=64, max_seq_len=64,
        intermediate_dim=96, rope_base=10000.0, lora_rank=4, lora_alpha=8,
    )  # fmt: skip
    model.load_state_dict(tiny.tune_state(tiny.reference("llama")), strict=False)
    inputs = FakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
    weights = FakeQuantizeConfig(torch.int4, group_size=32)  # type: ignore[attr-defined]
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) is LoRALinear:
                setattr(module, name, QATLoRALinear.from_lora_linear(child, inputs, weights))
    set_trainable_params(model, get_adapter_params(model))
    tools.train_a_little(model, model, steps=20)
    with torch.no_grad():
        expected = model(tools.IDS)[0]
    adapter = get_adapter_params(model)
    full = {n: t for n, t in model.state_dict().items() if n not in adapter}
    base_folder = tmp_path / "base"
    save_tune(model, base_folder, full)
    folder = tmp_path / "adapter"
    folder.mkdir()
    torch.save(dict(adapter), folder / "adapter_model.pt")
    settings = {"r": 4, "lora_alpha": 8, "target_modules": ["all-linear"], "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    rule = "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32}]"
    words = [ON, "quant.qat.scale_precision=float32", "quant.qat.kinds=[linear]", rule,
             f"checkpoint.adapter={folder}"]  # fmt: skip
    found = {}
    for mode in ("separate", "merged"):
        recipe = tools.recipe_of(*words, f"checkpoint.adapter_mode={mode}", folder=base_folder)
        found[mode], _ = tools.exported_logits(recipe)
    separate, merged = (tools.mean_kl(expected, found[mode]) for mode in ("separate", "merged"))
    assert separate < 5e-4
    assert merged > 3 * separate


# -- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weight", "activation"])
def test_learned_ranges_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    model = hf_models.llama()
    config = IntxFakeQuantizeConfig(
        torch.int4, group_size=32, is_dynamic=False, range_learning=True  # type: ignore[attr-defined]
    )  # fmt: skip
    quantize_(model, QATConfig(weight_config=config, step="prepare"))
    hf_models.save(hf_models.llama(), tmp_path)
    initialize_fake_quantizers(model, (tools.IDS,))
    state = {n.replace("weight_fake", f"{kind}_fake"): t for n, t in model.state_dict().items()}
    assert any("fake_quantizer.scale" in name for name in state)
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="learned ranges of torchao's fake quant") as caught:
        tools.recipe_of(folder=tmp_path)
    text = str(caught.value)
    assert "15 tensors are" in text
    assert f"lm_head.{kind}_fake_quantizer.scale, model.layers.0" in text
    assert "range_learning=False" in text


def test_what_a_checkpoint_after_prepare_holds_is_the_float_model(tmp_path: Path) -> None:
    """Fake quantizers that compute their scales leave no names: there is nothing to refuse."""
    model = hf_models.llama()
    names = set(model.state_dict())
    quantize_(model, base(32))
    model(input_ids=tools.IDS)
    assert set(model.state_dict()) == names


MISTAKES = [
    (["quant.qat.scale_precision=bfloat16"], "it says how the checkpoint was trained, and that it",
     "quant.qat.enabled=true"),
    ([ON, "quant=none"], "no rule quantizes what was trained to be quantized", "quant=8da8w"),
    ([ON, "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, outliers: 2}]"],
     "channels that would stay in float were quantized in training", "outliers=0"),
    ([ON, "quant.rules=[{kind: linear, scheme: 8da4w, group_size: 32, zero_point: true}]"],
     "the fake quantizer is symmetric", "zero_point=false"),
    ([ON, "quant.qat.is_symmetric=false", "quant.qat.zero_point_domain=float"],
     "has an offset for each group, which the rule does not allow", "zero_point=true"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "what", "fix"), MISTAKES)
def test_descriptions_that_cannot_be_are_refused(words: list[str], what: str, fix: str) -> None:
    default = [] if "quant=none" in words else ["quant=8da4w"]
    recipe = api.compose_recipe(None, ["model=tiny", "backend=xnnpack", *default, *words]).recipe
    with pytest.raises(RecipeError) as caught:
        require_sound(recipe)
    assert what in str(caught.value)
    assert fix in str(caught.value)


def test_values_that_cannot_be_are_refused() -> None:
    for word, text in (
        ("quant.qat.pattern='('", "not a regular expression"),
        ("quant.qat.eps=0", "must be positive"),
        ("quant.qat.kinds=[]", "must name a kind"),
        ("quant.qat.scale_precision=float8", "float32, bfloat16"),
    ):
        with pytest.raises(RecipeError, match=text):
            api.compose_recipe(None, ["model=tiny", word])
