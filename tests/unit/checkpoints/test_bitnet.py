"""Ternary weights as transformers packs and rounds them, and settings that do not fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_models import BITNET
from transformers.integrations.bitnet import WeightQuant, pack_weights
from unit.checkpoints.test_checkpoints_quantized import opened

from llm_export.checkpoints.base import describe_tensors
from llm_export.checkpoints.bitnet import ternary, unpacked
from llm_export.errors import CheckpointError

NAME = "model.layers.0.self_attn.q_proj.weight"
OFFLINE = {**BITNET, "quantization_mode": "offline"}
ONLINE = {**BITNET, "quantization_mode": "online"}
PLAIN = {"model.embed_tokens.weight": torch.randn(8, 6), "lm_head.weight": torch.randn(8, 6)}


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 99))
def test_packed_weights_come_back(rows: int, columns: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(-1, 2, (4 * rows, columns), generator=generator)
    stored, scale = pack_weights(signs.clone()), torch.tensor([0.25])
    assert torch.equal(unpacked(stored, scale, divide=False), signs * 0.25)
    assert torch.equal(unpacked(stored, scale, divide=True), signs * 4.0)


def test_float_weights_are_rounded_as_in_a_forward_pass() -> None:
    weight = torch.randn(24, 40)
    with torch.compiler.set_stance("force_eager"):
        expected = WeightQuant.apply(weight)
    assert torch.equal(ternary(weight), expected)
    assert len(ternary(weight).unique()) == 3


def test_a_code_that_no_weight_has_is_refused() -> None:
    with pytest.raises(CheckpointError) as caught:
        unpacked(torch.tensor([[0b11]], dtype=torch.uint8), torch.ones(1), divide=False)
    assert "holds the code 3" in str(caught.value)


def test_embeddings_heads_and_exceptions_stay_as_they_are(tmp_path: Path) -> None:
    own = {NAME: torch.randn(8, 6), "model.layers.1.mlp.up_proj.weight": torch.randn(8, 6)}
    for kept, whole in ((None, []), (["lm_head", "mlp.up_proj"], ["model.layers.1"]),
                        (["lm_head", r"model.layers.\d"], list(own))):  # fmt: skip
        checkpoint = opened(tmp_path / "m", {**ONLINE, "modules_to_not_convert": kept}, own | PLAIN)
        read = dict(checkpoint.tensors())
        for name, tensor in {**own, **PLAIN}.items():
            same = name in PLAIN or name.startswith(tuple(whole or ["none"]))
            assert torch.equal(read[name], tensor if same else ternary(tensor)), (kept, name)


def test_offline_floats_are_scaled(tmp_path: Path) -> None:
    stored = {NAME: torch.ones(4, 6), f"{NAME}_scale": torch.tensor([0.5]), **PLAIN}
    bias = NAME.replace("weight", "bias")
    read = dict(opened(tmp_path / "m", OFFLINE, stored | {bias: torch.ones(4)}).tensors())
    assert torch.equal(read[NAME], torch.full((4, 6), 0.5))
    assert torch.equal(read[bias], torch.full((4,), 0.5)), "the class scales the sum"
    packed = {**stored, NAME: torch.ones(4, 6, dtype=torch.uint8)}
    infos = describe_tensors(opened(tmp_path / "m", OFFLINE, packed))
    assert infos[NAME].shape == (16, 6)
    assert set(infos) == {NAME, *PLAIN}


BITS = torch.zeros(2, 6, dtype=torch.uint8)
SCALE = {f"{NAME}_scale": torch.ones(1)}


@pytest.mark.parametrize(
    ("config", "tensors", "said"),
    [
        ({**OFFLINE, "use_rms_norm": True}, {}, "BitNet weights with use_rms_norm=True"),
        ({**OFFLINE, "linear_class": "bitlinear_v2"}, {}, "linear_class='bitlinear_v2'"),
        ({**OFFLINE, "quantization_mode": "both"}, {}, "quantization_mode='both'"),
        ({**OFFLINE, "modules_to_not_convert": ["("]}, {}, "is not a list of patterns"),
        ({**OFFLINE, "modules_to_not_convert": 3}, {}, "is not a list of patterns"),
        (OFFLINE, {NAME: BITS}, "its scale is missing"),
        (OFFLINE, {NAME: BITS, f"{NAME}_scale": torch.ones(2)}, "its scale is f32 (2,)"),
        (OFFLINE, SCALE, f"scales '{NAME}', which is missing"),
        (ONLINE, {NAME: BITS, **SCALE}, "online weights none"),
        ({**OFFLINE, "linear_class": "bitlinear"}, {NAME: torch.ones(4, 6), **SCALE}, "is f32"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    config: Any, tensors: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "m", config, {**PLAIN, **tensors})
    assert said in str(caught.value)
