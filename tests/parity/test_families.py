"""Every family against transformers: whole, step by step through the cache, and transformed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from decoder_options import OPTIONS
from family_models import MEMBERS, members, settings
from hypothesis import assume, given
from hypothesis import settings as limits
from hypothesis import strategies as st
from parity_tools import BAR, check_all_forms, recipe_for, relative_error, sample_ids
from safetensors.torch import load_file

from llm_export.config.composed import Composed
from llm_export.errors import CheckpointError
from llm_export.models.build import build_on_meta
from llm_export.models.convert import HfNames
from llm_export.models.decoder import Decoder
from llm_export.models.families import FAMILIES
from llm_export.models.load_model import load_model

OWN_HEAD_DIM = ("llama", "mistral", "qwen3", "gemma", "gemma2", "gemma3_text", "gemma4_text",
                "mixtral", "qwen3_moe", "gpt_oss", "hunyuan_v1_dense", "seed_oss", "ernie4_5",
                "glm4", "apertus", "cohere2", "exaone4", "granite_swa", "olmo3",
                "nemotron_h", "hunyuan_v1_moe", "ernie4_5_moe", "glm4_moe", "dots1",
                "qwen3_5_moe_text")  # fmt: skip
LATENT = ("deepseek_v2", "deepseek_v3", "glm4_moe_lite")


def test_every_family_is_here() -> None:
    assert set(MEMBERS) == set(FAMILIES)


@pytest.mark.parametrize(("family", "variant"), members())
def test_every_form_agrees_with_transformers(family: str, variant: str, tmp_path: Path) -> None:
    reference = hf_models.build(family, **settings(family, variant))
    errors = check_all_forms(reference, hf_models.save(reference, tmp_path / "m"))
    assert max(errors.values()) < BAR, errors


@st.composite
def odd_members(draw: Any) -> tuple[str, dict[str, Any]]:
    """A family, and sizes that its popular members do not have."""
    family = draw(st.sampled_from(sorted(set(MEMBERS) - {"phi3"})))
    config = settings(family, draw(st.sampled_from(sorted(MEMBERS[family]))))
    kv, group = draw(st.sampled_from([1, 2, 3])), draw(st.sampled_from([1, 2, 3]))
    heads, head_dim = kv * group, draw(st.sampled_from([8, 16, 24]))
    if family in LATENT:
        config |= {"num_attention_heads": heads, "num_key_value_heads": heads, "hidden_size": 72}
    else:
        config |= {"num_attention_heads": heads, "num_key_value_heads": kv}
        if family in OWN_HEAD_DIM:
            config |= {"head_dim": head_dim, "hidden_size": draw(st.sampled_from([36, 72]))}
            config["rope_parameters"] = None
        else:
            config |= {"hidden_size": heads * head_dim * 2, "num_attention_heads": heads * 2}
            config["num_key_value_heads"] = kv * 2
    config |= odd_mixers(draw, family, config)
    config["tie_word_embeddings"] = draw(st.booleans())
    if config.get("sliding_window") is not None:
        config["sliding_window"] = draw(st.sampled_from([2, 8, 100]))
    for key in ("attention_bias", "mlp_bias", "use_qkv_bias"):
        if key in config:
            config[key] = draw(st.booleans())
    if config.get("rope_parameters", 0) is None:
        del config["rope_parameters"]
    return family, config


def odd_mixers(draw: Any, family: str, config: dict[str, Any]) -> dict[str, Any]:
    """Sizes of Mamba-2 mixers whose heads make up the inner size, in families that have them."""
    groups = draw(st.sampled_from([1, 2, 4]))
    sizes = {"kernel": draw(st.sampled_from([2, 3, 5])), "state": draw(st.sampled_from([5, 16]))}
    if family == "mamba2":
        absent = ("num_attention_heads", "num_key_value_heads")
        for key in absent:
            config.pop(key)
        heads = draw(st.sampled_from([4, 8]))
        return {"hidden_size": 48, "num_heads": heads, "head_dim": 96 // heads, "n_groups": groups,
                "conv_kernel": sizes["kernel"], "state_size": sizes["state"]}  # fmt: skip
    if family == "nemotron_h":
        return {"n_groups": groups, "conv_kernel": sizes["kernel"],
                "ssm_state_size": sizes["state"], "mamba_head_dim": 3}  # fmt: skip
    if family == "granitemoehybrid" or "mamba_n_heads" in config:
        inner = {"mamba_d_ssm": 40} if family == "falcon_h1" else {}
        return {"mamba_n_heads": 4, "mamba_d_head": "auto", "mamba_n_groups": groups, **inner,
                "mamba_d_conv": sizes["kernel"], "mamba_d_state": sizes["state"]}  # fmt: skip
    return {}


@pytest.mark.release
@limits(max_examples=12, deadline=None)
@given(member=odd_members(), seed=st.integers(0, 99))
def test_odd_members_agree_too(
    tmp_path_factory: pytest.TempPathFactory, member: tuple[str, dict[str, Any]], seed: int
) -> None:
    family, config = member
    reference = hf_models.build(family, seed, **config)
    assume(not hangs_on_rounding(reference, sample_ids(24)))
    folder = hf_models.save(reference, tmp_path_factory.mktemp("m") / "m")
    errors = check_all_forms(reference, folder, length=24)
    assert max(errors.values()) < BAR, errors


def hangs_on_rounding(reference: Any, ids: list[int]) -> bool:
    """Whether noise of some rounding errors in the embedding changes the logits by more than a
    hundred times as much: a router has two experts that are equally good for some token.
    """
    table = reference.get_input_embeddings().weight
    plain = table.detach().clone()
    tokens, noise = torch.tensor([ids]), torch.Generator().manual_seed(0)
    with torch.no_grad():
        expected = reference(tokens).logits[0]
        changes = []
        for _ in range(8):
            table.copy_(plain * (1 + 1e-5 * torch.randn(plain.shape, generator=noise)))
            changes.append(relative_error(reference(tokens).logits[0], expected))
        table.copy_(plain)
    return max(changes) > 1e-2


def option_names() -> list[str]:
    return OPTIONS


@pytest.mark.parametrize("option", option_names())
def test_a_shipped_option_is_understood_and_shrinks(
    option: str, composed: Callable[..., Composed]
) -> None:
    model = composed(f"model={option}").recipe.model
    family = FAMILIES.get(model.family)
    whole = family.from_hf(model.config)
    assert whole.num_layers == model.config["num_hidden_layers"]
    small = family.from_hf({**model.config, **family.tiny})
    decoder = build_on_meta(small, 64, "plain", False)
    assert sum(p.numel() for p in decoder.parameters()) < 400_000


@pytest.mark.parametrize(("family", "variant"), members())
def test_the_decoder_goes_back_to_the_tensors_it_came_from(
    family: str, variant: str, tmp_path: Path
) -> None:
    """Names, joined tensors and layouts: every one of the checkpoint's."""
    reference = hf_models.build(family, **settings(family, variant))
    folder = hf_models.save(reference, tmp_path / "m")
    recipe = recipe_for(folder, "runtime.context_length=64", "runtime.prefill_length=32")
    model = load_model(recipe, attention="cacheless", context_length=8, all_logits=True).model
    assert isinstance(model, Decoder)
    parameters = dict(model.named_parameters())
    shapes = {name: tuple(p.shape) for name, p in parameters.items()}
    writer = HfNames(FAMILIES.get(family), model.config, shapes)
    back = dict(pair for n, p in parameters.items() for pair in writer.take(n, p.data))
    stored = load_file(folder / "model.safetensors")
    assert set(back) == set(stored)
    assert not writer.waiting
    for name, tensor in stored.items():
        assert torch.allclose(back[name], tensor, atol=1e-6), name


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    reference = hf_models.build("qwen2", **settings("qwen2", "plain"))
    folder = hf_models.save(reference, tmp_path / "m")
    recipe = recipe_for(folder)
    recipe.model.config["residual_gate"] = None
    assert FAMILIES.get("qwen2").from_hf(recipe.model.config).num_layers == 2
    recipe.model.config["residual_gate"] = 0.5
    with pytest.raises(CheckpointError) as caught:
        FAMILIES.get("qwen2").from_hf(recipe.model.config)
    assert "does not know the config key(s) residual_gate" in str(caught.value)
