"""Layers run one after the other over many windows give what the whole model gives, also where
layers read tokens and what earlier layers keep.
"""

from __future__ import annotations

import pytest
import torch

from llm_export.models.build import build_on_meta
from llm_export.models.decoder import Decoder
from llm_export.models.families import FAMILIES
from llm_export.models.walk import layer_inputs
from llm_export.quant.rounding.walk import Walk
from llm_export.stages.quantization.auto.reference import Reference

WINDOWS = [[1, 5, 9, 2, 7, 3, 11, 60, 4, 8, 10], [9, 3, 2, 1, 44, 7, 13, 5, 6, 8, 2]]
NAMES = ["layers.3.layer_input.gate", "layers.3.attention.qkv.q"]


@pytest.fixture
def model() -> Decoder:
    family = FAMILIES.get("gemma4_text")
    config = {"max_position_embeddings": 64, "rms_norm_eps": 1e-6,
              "hidden_activation": "gelu_pytorch_tanh", **family.tiny}  # fmt: skip
    made = build_on_meta(family.read(config), 16, "plain", True).to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
            else:
                parameter.normal_(mean=1, std=0.1)
            assert parameter.isfinite().all(), name
    made.head.weight = made.embed.weight
    made.init_buffers()
    return made


def whole(model: Decoder, window: list[int]) -> torch.Tensor:
    with torch.no_grad():
        return model(torch.tensor([window]), torch.zeros(1, dtype=torch.int64))[0]


def test_hessians_do_not_mix_windows(model: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    by_layer = Walk(model, WINDOWS).hessians(NAMES)
    monkeypatch.setattr(model, "layer_chain", lambda: ())
    at_once = Walk(model, WINDOWS).hessians(NAMES)
    for name in NAMES:
        assert torch.allclose(by_layer[name], at_once[name], rtol=1e-4, atol=1e-4), name


def test_captured_inputs_are_those_of_the_whole_model(model: Decoder) -> None:
    *_, (head, inputs) = layer_inputs(model, WINDOWS, lambda layer: [])
    cap = model.config.logit_softcap
    assert cap is None
    logits = torch.cat([whole(model, window) for window in WINDOWS])
    assert torch.allclose(head(inputs[head]), logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layer", [1, 3, 4])
def test_starting_at_a_layer_changes_nothing(model: Decoder, layer: int) -> None:
    reference = Reference(model, WINDOWS)
    reference.start_at(layer)
    assert reference.mean_kl() < 1e-6
