"""What is relied on of transformers."""

from __future__ import annotations

import os

import pytest
import torch
from hf_recurrent import RECURRENT
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    FalconH1Config,
    GPT2Config,
    MixtralConfig,
    MixtralForCausalLM,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.models.mixtral.modeling_mixtral import MixtralExperts

from llm_export.compat.transformers_layers import causal_mask, conv1d, falcon_linear, tanh_gelus
from llm_export.compat.transformers_models import (
    apply_gate,
    ignored_names,
    is_experts,
    is_stateful,
    keeps_states,
    loading_one_by_one,
)


def tiny() -> MixtralConfig:
    return MixtralConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=32, num_local_experts=2,
    )  # fmt: skip


def test_recurrent_models_say_so() -> None:
    assert is_stateful(MODEL_FOR_CAUSAL_LM_MAPPING[FalconH1Config])
    assert not is_stateful(MODEL_FOR_CAUSAL_LM_MAPPING[GPT2Config])
    with torch.device("meta"):
        assert keeps_states(AutoModelForCausalLM.from_config(RECURRENT["lfm2"]()))
    assert not keeps_states(MixtralForCausalLM(tiny()))


def test_experts_are_told_by_what_they_say_of_their_weights() -> None:
    model = MixtralForCausalLM(tiny())
    found = [m for m in model.modules() if is_experts(m)]
    assert [type(m) for m in found] == [MixtralExperts]
    said = {n: getattr(found[0], n) for n in ("has_gate", "has_bias", "is_transposed")}
    assert said == {"has_gate": True, "has_bias": False, "is_transposed": False}
    assert found[0].gate_up_proj.shape == (2, 32, 16)


def test_the_gate_of_experts() -> None:
    experts = MixtralForCausalLM(tiny()).model.layers[0].mlp.experts
    value = torch.randn(3, 32)
    gate, up = value.chunk(2, dim=-1)
    torch.testing.assert_close(apply_gate(experts, value), nn.functional.silu(gate) * up)


def test_names_that_a_model_ignores() -> None:
    """The library's own loading goes by the attribute."""

    class Ignores(MixtralForCausalLM):
        _keys_to_ignore_on_load_unexpected = [r"old\..*"]

    state = {**Ignores(tiny()).state_dict(), "old.x": torch.zeros(1), "new.x": torch.zeros(1)}
    model, report = Ignores.from_pretrained(  # type: ignore[misc]
        None, config=tiny(), state_dict=state, output_loading_info=True
    )
    assert list(report["unexpected_keys"]) == ["new.x"]  # type: ignore[has-type]
    assert ignored_names(model) == [r"old\..*"]  # type: ignore[has-type]
    assert ignored_names(MixtralForCausalLM(tiny())) == []


def gpt2() -> nn.Module:
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=32, n_positions=16)
    model: nn.Module = MODEL_FOR_CAUSAL_LM_MAPPING[GPT2Config](config)  # type: ignore[operator]
    return model


@pytest.mark.parametrize("before", [None, "0"])
def test_loading_one_by_one(before: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_DEACTIVATE_ASYNC_LOAD", raising=False)
    if before is not None:
        monkeypatch.setenv("HF_DEACTIVATE_ASYNC_LOAD", before)
    with loading_one_by_one():
        assert os.environ["HF_DEACTIVATE_ASYNC_LOAD"] == "1"
    assert os.environ.get("HF_DEACTIVATE_ASYNC_LOAD") == before


def test_the_library_looks_at_the_switch() -> None:
    import inspect

    from transformers import core_model_loading

    assert "HF_DEACTIVATE_ASYNC_LOAD" in inspect.getsource(core_model_loading)


def test_layers_that_are_replaced() -> None:
    layer = conv1d()(8, 4)  # outputs, inputs
    assert layer.weight.shape == (4, 8)
    assert issubclass(falcon_linear(), nn.Linear)
    assert any(isinstance(m, conv1d()) for m in gpt2().modules())
    x = torch.randn(20)
    expected = nn.functional.gelu(x, approximate="tanh")
    for kind in tanh_gelus():
        torch.testing.assert_close(kind()(x), expected, rtol=1e-4, atol=1e-5)


def test_the_mask_of_the_library() -> None:
    made = causal_mask(
        batch_size=1, q_length=2, kv_length=4, q_offset=2, kv_offset=0, device="cpu",
        allow_is_causal_skip=False, attention_mask=None,
    )  # fmt: skip
    assert made[0, 0].tolist() == [[True, True, True, False], [True] * 4]
