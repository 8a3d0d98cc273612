"""Tiny folders whose weights are quantized in the ways that models were published in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

Stored = dict[str, Tensor]
MXFP4 = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]}


def fp8(rows: int, columns: int) -> dict[str, Any]:
    return {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
            "weight_block_size": [rows, columns]}  # fmt: skip


def random_mxfp4(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(blocks [*shape, 16], scales [*shape]) of values about as large as those of a model."""
    generator = torch.Generator().manual_seed(seed)
    blocks = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=generator)
    scales = torch.randint(122, 125, shape, dtype=torch.uint8, generator=generator)
    return blocks, scales


def quantize_fp8(weight: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """(float8 weight, scale of each block), block by block as the report of DeepSeek-V3 has it."""
    n, k = weight.shape
    scale = torch.empty(-(-n // rows), -(-k // columns))
    stored = torch.empty(n, k, dtype=torch.float8_e4m3fn)
    for i in range(scale.shape[0]):
        for j in range(scale.shape[1]):
            at = (slice(i * rows, (i + 1) * rows), slice(j * columns, (j + 1) * columns))
            scale[i, j] = weight[at].abs().max() / 448
            stored[at] = (weight[at] / scale[i, j]).to(torch.float8_e4m3fn)
    return stored, scale


def rewrite(folder: Path, settings: Any, change: Callable[[Stored], None]) -> None:
    """Change the tensors of a folder, and state ``settings`` in its config.json."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "quantization_config": settings}))


def gpt_oss_in_mxfp4(model: Any, folder: Path) -> Path:
    """Save with experts of random blocks; ``model`` gets them as transformers dequantizes them."""
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    packed: Stored = {}
    for i, layer in enumerate(model.model.layers):
        for j, leaf in enumerate(("gate_up_proj", "down_proj")):
            weight = getattr(layer.mlp.experts, leaf)
            experts, inputs, outputs = weight.shape
            blocks, scales = random_mxfp4(experts, outputs, inputs // 32, seed=2 * i + j)
            weight.data = convert_moe_packed_tensors(blocks, scales).float()
            name = f"model.layers.{i}.mlp.experts.{leaf}"
            packed |= {f"{name}_blocks": blocks, f"{name}_scales": scales}
    hf_models.save(model, folder)

    def change(tensors: Stored) -> None:
        for name in packed:
            tensors.pop(name.rpartition("_")[0], None)
        tensors.update(packed)

    rewrite(folder, MXFP4, change)
    return folder


def deepseek_in_fp8(model: Any, folder: Path, rows: int, columns: int) -> Path:
    """Save with the matrices of the layers in float8; ``model`` gets what they come to.

    Only a matrix's own rows and columns are looked at: experts are stored one by one.
    """
    hf_models.save(model, folder)
    dequantized: Stored = {}

    def change(tensors: Stored) -> None:
        for name in [n for n in tensors if "_proj" in n]:
            stored, scale = quantize_fp8(tensors[name], rows, columns)
            wide = scale.repeat_interleave(rows, 0).repeat_interleave(columns, 1)
            n, k = stored.shape
            dequantized[name] = stored.float() * wide[:n, :k]
            tensors |= {name: stored, f"{name}_scale_inv": scale}

    rewrite(folder, fp8(rows, columns), change)
    plain = load_file(folder / "model.safetensors") | dequantized
    plain = {n: t for n, t in plain.items() if not n.endswith("_scale_inv")}
    loaded = type(model).from_pretrained(None, config=model.config, state_dict=plain)
    model.load_state_dict(loaded.state_dict())
    return folder


BITNET = {"quant_method": "bitnet", "linear_class": "autobitlinear"}


def ternary(weight: Tensor) -> tuple[Tensor, Tensor]:
    """(-1, 0 or 1, scale [1]) by the mean absolute value, as the paper of BitNet b1.58 has it."""
    scale = weight.abs().mean()
    return (weight / scale).round().clamp(-1, 1), scale.reshape(1)


def bitnet_in_bytes(model: Any, folder: Path, linear_class: str) -> Path:
    """Save packed ternary weights, whose scale one class multiplies by and the other divides by."""
    from transformers.integrations.bitnet import pack_weights

    stored: Stored = {}
    for name, weight in model.named_parameters():
        if not name.endswith("_proj.weight"):
            continue
        signs, scale = ternary(weight)
        weight.data = signs * scale
        stored[f"{name}_scale"] = scale if linear_class == "autobitlinear" else 1 / scale
        stored[name] = pack_weights(signs.clone())
    hf_models.save(model, folder)
    settings = {**BITNET, "linear_class": linear_class, "quantization_mode": "offline"}
    rewrite(folder, settings, lambda tensors: tensors.update(stored))
    return folder
