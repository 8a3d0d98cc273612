"""Models published in few bits, in both tiers against transformers with dequantized weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from family_models import settings
from parity.test_hf import check_eager
from parity_tools import BAR, check_all_forms, relative_error, sample_ids
from published_models import bitnet_in_bytes, deepseek_in_fp8, gpt_oss_in_mxfp4
from safetensors.torch import load_file

BLOCK = (24, 20)  # divides none of the sizes


def gpt_oss(folder: Path) -> tuple[Any, Any, Path]:
    """(model as it was, model as it was stored, folder)."""
    before, model = (hf_models.build("gpt_oss", **settings("gpt_oss", "sinks")) for _ in range(2))
    path = gpt_oss_in_mxfp4(model, folder / "m")
    stored = load_file(path / "model.safetensors")
    assert sum(t.dtype == torch.uint8 for t in stored.values()) == 8
    return before, model, path


def deepseek(folder: Path) -> tuple[Any, Any, Path]:
    sizes = settings("deepseek_v3", "yarn")
    before, model = (hf_models.build("deepseek_v3", **sizes) for _ in range(2))
    path = deepseek_in_fp8(model, folder / "m", *BLOCK)
    stored = load_file(path / "model.safetensors")
    eights = [t for t in stored.values() if t.dtype == torch.float8_e4m3fn]
    # Two layers of attention, a dense MLP, eight experts, and what they share.
    assert len(eights) == 2 * 5 + 3 + 8 * 3 + 3
    assert all(t.shape[0] % BLOCK[0] or t.shape[1] % BLOCK[1] for t in eights)
    return before, model, path


def bitnet(folder: Path) -> tuple[Any, Any, Path]:
    before, model = (hf_models.build("bitnet", **settings("bitnet", "inner norms")) for _ in "12")
    path = bitnet_in_bytes(model, folder / "m", "autobitlinear")
    stored = load_file(path / "model.safetensors")
    assert sum(t.dtype == torch.uint8 for t in stored.values()) == 2 * 7
    return before, model, path


@pytest.mark.parametrize("make", [gpt_oss, deepseek, bitnet])
def test_both_tiers_agree_with_transformers(make: Any, tmp_path: Path) -> None:
    before, model, folder = make(tmp_path)
    assert json.loads((folder / "config.json").read_text())["quantization_config"]
    errors = check_all_forms(model, folder)
    assert max(errors.values()) < BAR, errors
    # Its recipe's model option has the checkpoint's whole config.json, quantization and all.
    check_eager(model, folder)
    ids = torch.tensor([sample_ids(40)])
    with torch.no_grad():
        change = relative_error(model(ids).logits, before(ids).logits)
    assert change > 10 * BAR, "what was stored is what was quantized"
