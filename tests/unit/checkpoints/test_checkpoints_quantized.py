"""Checkpoints that are quantized as published: the formulas, the names, and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from published_models import MXFP4, fp8, quantize_fp8, random_mxfp4
from safetensors.torch import save_file
from torch import Tensor

from llm_export.checkpoints import block_fp8, mxfp4
from llm_export.checkpoints.base import Checkpoint, describe_tensors
from llm_export.checkpoints.open import open_checkpoint
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError
from llm_export.models.inventory import take_inventory

NAME = "model.layers.0.mlp.experts.down_proj"


def folder_of(folder: Path, config: Any, tensors: dict[str, Tensor]) -> Path:
    folder.mkdir(exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {"model_type": "llama", "quantization_config": config}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def opened(folder: Path, config: Any, tensors: dict[str, Tensor]) -> Checkpoint:
    return open_checkpoint(CheckpointConfig(path=str(folder_of(folder, config, tensors))), {})


def mxfp4_pair(*shape: int) -> dict[str, Tensor]:
    blocks, scales = random_mxfp4(*shape)
    return {f"{NAME}_blocks": blocks, f"{NAME}_scales": scales}


# -- formulas ------------------------------------------------------------------------------


def test_every_byte_at_every_scale_as_transformers_has_it() -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 255, 16, 16)
    scales = torch.arange(255, dtype=torch.uint8).reshape(1, 255, 1).expand(1, 255, 16)
    value = mxfp4.dequantize(blocks.contiguous(), scales.contiguous())
    assert value.shape == (1, 512, 255)
    assert value.is_contiguous()
    expected = convert_moe_packed_tensors(blocks.contiguous(), scales.contiguous())
    assert torch.equal(value.view(torch.int16), expected.view(torch.int16))


def test_the_values_of_the_specification() -> None:
    """E2M1 by its definition: sign, two bits of exponent with bias 1, one of mantissa."""
    blocks = torch.arange(16, dtype=torch.uint8).reshape(1, 1, 1, 16)  # high bits all zero
    value = mxfp4.dequantize(blocks, torch.full((1, 1, 1), 128, dtype=torch.uint8))
    for code in range(16):
        sign, exponent, mantissa = -1 if code & 8 else 1, code >> 1 & 3, code & 1
        number = mantissa / 2 if exponent == 0 else 2.0 ** (exponent - 1) * (1 + mantissa / 2)
        assert value[0, 2 * code, 0] == 2 * sign * number
    assert not value[0, 1::2].any()
    nan = mxfp4.dequantize(blocks, torch.full((1, 1, 1), 255, dtype=torch.uint8))
    assert nan.isnan().all()


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(1, 4)] * 3), st.integers(0, 99))
def test_any_shape_as_transformers_has_it(shape: tuple[int, ...], seed: int) -> None:
    from transformers.integrations.mxfp4 import convert_moe_packed_tensors

    blocks, scales = random_mxfp4(*shape, seed=seed)
    assert torch.equal(mxfp4.dequantize(blocks, scales), convert_moe_packed_tensors(blocks, scales))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 17), st.integers(1, 17))
def test_float8_blocks_as_transformers_has_them(n: int, k: int, rows: int, columns: int) -> None:
    from transformers.integrations.finegrained_fp8 import _dequantize_fp8_weight

    weight = torch.randn(n, k, generator=torch.Generator().manual_seed(n * k))
    stored, scale = quantize_fp8(weight, rows, columns)
    value = block_fp8.dequantize(stored, scale, block=(rows, columns))
    direct = torch.tensor([[float(stored[i, j]) * float(scale[i // rows, j // columns])
                            for j in range(k)] for i in range(n)])  # fmt: skip
    assert torch.equal(value, direct)
    theirs = _dequantize_fp8_weight(stored, scale, [rows, columns], torch.float32)
    assert torch.equal(value, theirs)
    assert (value - weight).abs().max() <= weight.abs().max() / 16


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_one_scale_for_a_matrix(shape: tuple[int, ...], tmp_path: Path) -> None:
    weight = torch.randn(3, 5).to(torch.float8_e4m3fn)
    tensors = {
        "a.weight": weight, "a.weight_scale_inv": torch.full(shape, 0.5, dtype=torch.bfloat16),
        "a.activation_scale": torch.tensor(2.0), "b.weight": torch.ones(2),
    }  # fmt: skip
    static = {"quant_method": "fp8", "activation_scheme": "static", "weight_block_size": None}
    read = dict(opened(tmp_path / "m", static, tensors).tensors())
    assert read.keys() == {"a.weight", "b.weight"}
    assert torch.equal(read["a.weight"], weight.float() / 2)


def test_float8_experts_in_one_tensor_and_scales_of_powers(tmp_path: Path) -> None:
    weights = [quantize_fp8(torch.randn(5, 7), 2, 3) for _ in range(2)]
    exponents = [torch.randint(120, 124, s.shape).to(torch.uint8) for _, s in weights]
    scales = torch.stack(exponents).view(torch.float8_e8m0fnu)
    tensors = {NAME: torch.stack([w for w, _ in weights]), f"{NAME}_scale_inv": scales}
    read = dict(opened(tmp_path / "m", fp8(2, 3), tensors).tensors())[NAME]
    for i, (weight, _) in enumerate(weights):
        scale = 2.0 ** (exponents[i].float() - 127)
        assert torch.equal(read[i], block_fp8.dequantize(weight, scale, block=(2, 3)))


# -- names and headers ---------------------------------------------------------------------


def test_headers_tell_names_shapes_and_types(tmp_path: Path) -> None:
    stored, scale = quantize_fp8(torch.randn(10, 20), 4, 4)
    plain = {"model.norm.weight": torch.ones(4, dtype=torch.bfloat16)}
    tensors = {"a.weight": stored, "a.weight_scale_inv": scale, **plain}
    folders = {
        "fp8": opened(tmp_path / "fp8", fp8(4, 4), tensors),
        "mxfp4": opened(tmp_path / "mx", MXFP4, {**mxfp4_pair(2, 6, 3), **plain}),
    }
    for method, checkpoint in folders.items():
        assert checkpoint.format == f"safetensors, quantized ({method})"
        infos = describe_tensors(checkpoint)
        read = dict(checkpoint.tensors())
        assert checkpoint.names() == list(infos) == list(read)
        assert {n: i.shape for n, i in infos.items()} == {n: t.shape for n, t in read.items()}
        assert checkpoint.config() == {"model_type": "llama"}
        assert infos["model.norm.weight"].dtype == "bf16"
    assert describe_tensors(folders["fp8"])["a.weight"].dtype == "f8_e4m3fn"
    info = describe_tensors(folders["mxfp4"])[NAME]
    assert (info.shape, info.dtype) == ((2, 96, 6), "mxfp4")


def test_parts_in_different_shards_and_torch_files(tmp_path: Path) -> None:
    pair = mxfp4_pair(1, 2, 1)
    expected = mxfp4.dequantize(*pair.values())
    folder = folder_of(tmp_path / "a", MXFP4, pair)
    (folder / "model.safetensors").unlink()
    table = {}
    for i, (name, tensor) in enumerate(pair.items()):
        table[name] = f"model-{i}.safetensors"
        save_file({name: tensor}, folder / table[name])
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": table}))
    torch.save(pair, folder_of(tmp_path / "b", MXFP4, {}) / "pytorch_model.bin")
    (tmp_path / "b" / "model.safetensors").unlink()
    for path in (folder, index, tmp_path / "b", tmp_path / "b" / "pytorch_model.bin"):
        read = dict(open_checkpoint(CheckpointConfig(path=str(path)), {}).tensors())
        assert read.keys() == {NAME}
        assert torch.equal(read[NAME], expected)


# -- what cannot be read -------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["gptq", "awq", "bitsandbytes", "compressed-tensors", "torchao", None]
)
def test_other_methods_are_named(method: str | None, tmp_path: Path) -> None:
    stated = {"bits": 4} if method is None else {"quant_method": method}
    checkpoint = opened(tmp_path / "m", stated, {"a.qweight": torch.ones(2, dtype=torch.int32)})
    said = "quantized already, and" if method is None else f"quantized already, by '{method}', and"
    for read in (checkpoint.config, lambda: next(iter(checkpoint.tensors()))):
        with pytest.raises(CheckpointError, match=said) as caught:
            read()
        assert "use the checkpoint before quantization" in (caught.value.fix or "")
        assert caught.value.where == f"{tmp_path / 'm' / 'config.json'}: quantization_config"
    # It can be listed all the same.
    inventory = take_inventory(CheckpointConfig(path=str(tmp_path / "m")))
    assert said in (inventory.refusal or "")
    assert inventory.dtypes == {"i32": 1}


PAIR = mxfp4_pair(1, 2, 1)
WEIGHT = torch.ones(3, 5).to(torch.float8_e4m3fn)
F8, SCALES = {"a.weight": WEIGHT}, "a.weight_scale_inv"


@pytest.mark.parametrize(
    ("config", "tensors", "words"),
    [
        (MXFP4, {f"{NAME}_blocks": PAIR[f"{NAME}_blocks"]}, f"'{NAME}_scales', a part of"),
        (MXFP4, {f"{NAME}_scales": PAIR[f"{NAME}_scales"]}, f"'{NAME}_blocks', a part of"),
        (MXFP4, {**PAIR, f"{NAME}_scales": torch.ones(1, 2, 1)}, "its scales f32 (1, 2, 1)"),
        (MXFP4, {**PAIR, f"{NAME}_blocks": PAIR[f"{NAME}_blocks"][..., :8].contiguous()},
         "its blocks are u8 (1, 2, 1, 8)"),
        (MXFP4, {**PAIR, NAME: torch.ones(2)}, "is stored twice"),
        (fp8(2, 2), F8, f"'{SCALES}', the scale of the float8 tensor 'a.weight', is missing"),
        (fp8(2, 2), {SCALES: torch.ones(2, 3)}, "but 'a.weight' is missing"),
        (fp8(2, 2), {"a.weight": WEIGHT.char(), SCALES: torch.ones(2, 3)}, "'a.weight' is i8"),
        (fp8(2, 2), {**F8, SCALES: torch.ones(2, 2)}, "(3, 5) need floats of (2, 3)"),
        (fp8(2, 2), {**F8, SCALES: torch.ones(2, 3).byte()}, "is u8 (2, 3)"),
        (fp8(2, 2), {**F8, SCALES: torch.ones(1)}, "need floats of (2, 3)"),
        (fp8(2, 2), {"a": WEIGHT[0].clone(), "a_scale_inv": torch.ones(1)}, "float8 and no matrix"),
        (fp8(0, 2), F8, "weight_block_size=[0, 2] is not two positive whole numbers"),
        ({"quant_method": "fp8", "weight_block_size": 128}, F8, "weight_block_size=128 is not"),
    ],
)  # fmt: skip
def test_damage(config: Any, tensors: dict[str, Tensor], words: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        opened(tmp_path / "m", config, tensors)
    assert words in caught.value.what


def test_what_says_nothing_of_quantization_is_read_as_before(tmp_path: Path) -> None:
    folder = hf_models.save(hf_models.llama(), tmp_path / "m")
    config = json.loads((folder / "config.json").read_text())
    unsaid: list[dict[str, Any]] = [{}, {"quantization_config": None}, {"quantization_config": {}}]
    for stated in unsaid:
        (folder / "config.json").write_text(json.dumps({**config, **stated}))
        assert open_checkpoint(CheckpointConfig(path=str(folder)), {}).format == "safetensors"
    (folder / "config.json").write_text("{")
    checkpoint = open_checkpoint(CheckpointConfig(path=str(folder)), {})
    with pytest.raises(CheckpointError, match="not valid JSON"):
        checkpoint.config()
