"""What is relied on of torchao."""

from __future__ import annotations

import pytest
import torch

from llm_export.compat.torchao_primitives import (
    fake_quantized,
    hqq_scale,
    hqq_scale_and_offset,
)
from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.compat.torchao_tensors import integer_tensor, is_torchao, rebuilt

WEIGHT = torch.randn(6, 64, generator=torch.Generator().manual_seed(1))


def test_integers_of_a_fake_quantizer() -> None:
    """Scaled, they are what its forward pass returns."""
    from torchao.quantization.qat import IntxFakeQuantizeConfig
    from torchao.quantization.qat.fake_quantizer import IntxFakeQuantizer

    quantizer = IntxFakeQuantizer(IntxFakeQuantizeConfig(torch.int4, group_size=32))  # type: ignore[attr-defined]
    expected = quantizer(WEIGHT)
    scale, zero = quantizer.scale, quantizer.zero_point
    q = fake_quantized(WEIGHT, (1, 32), scale, zero, quantizer.config)
    assert torch.equal(q, q.round())
    assert (int(q.min()), int(q.max())) == (-8, 7)
    back = (q.view(6, 2, 32) - zero.view(6, 2, 1)) * scale.view(6, 2, 1)
    torch.testing.assert_close(back.view(6, 64), expected, rtol=0, atol=1e-6)


def test_scales_of_hqq() -> None:
    scale = hqq_scale(WEIGHT, 32, -8, 7)
    assert scale.numel() == 12
    q = (WEIGHT.view(6, 2, 32) / scale.view(6, 2, 1)).round().clamp(-8, 7)
    assert (q * scale.view(6, 2, 1) - WEIGHT.view(6, 2, 32)).abs().max() < 0.5


def test_scales_and_offsets_of_hqq() -> None:
    scale, offset = (t.reshape(6, 2, 1) for t in hqq_scale_and_offset(WEIGHT, 4, 32))
    grouped = WEIGHT.view(6, 2, 32)
    q = ((grouped - offset) / scale + 8).round().clamp(0, 15)
    error = ((q - 8) * scale + offset - grouped).abs().max()
    assert error < 0.51 * float(scale.max()), "w = (q - 2^(bits-1)) * scale + offset"


@pytest.mark.parametrize("dynamic", [False, True])
def test_a_tensor_of_integers(dynamic: bool) -> None:
    q = torch.randint(-8, 8, (6, 64), dtype=torch.int8)
    scale = torch.rand(6, 2)
    made = integer_tensor(q, scale, torch.zeros(6, 2, dtype=torch.int8), 4, 32, dynamic)
    assert is_torchao(made)
    assert not is_torchao(q)
    expected = (q.view(6, 2, 32) * scale.unsqueeze(-1)).view(6, 64)
    assert torch.equal(made.dequantize(), expected)
    assert made.dtype == torch.float32
    y = torch.nn.functional.linear(torch.ones(1, 64), made)
    torch.testing.assert_close(y, torch.ones(1, 64) @ expected.t(), atol=0.05, rtol=0.02)


def test_a_tensor_of_its_metadata() -> None:
    import json

    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    linear = torch.nn.Linear(64, 6, bias=False)
    quantize_(linear, Int8WeightOnlyConfig())
    stored, metadata = flatten_tensor_state_dict({"m.weight": linear.weight})
    recipe = json.loads(metadata["m.weight"])
    parts = {k.removeprefix("m._weight_"): v for k, v in stored.items()}
    assert set(parts) == set(recipe["_tensor_data_names"])
    made = rebuilt(recipe, parts)
    assert torch.equal(made.dequantize(), linear.weight.dequantize())


class _SelectedRows(torch.nn.Module):
    """x [N, 64] -> products of its rows with a positive first value, with int8 activations."""

    def __init__(self) -> None:
        super().__init__()
        q = (WEIGHT * 20).round().clamp(-8, 7).to(torch.int8)
        scale = torch.full((6, 2), 0.05)
        weight = integer_tensor(q, scale, torch.zeros(6, 2, dtype=torch.int8), 4, 32, True)
        self.linear = torch.nn.Linear(64, 6, bias=False)
        self.linear.weight = torch.nn.Parameter(weight, requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x[torch.nonzero(x[:, 0] > 0).view(-1)])


def test_rows_whose_number_depends_on_the_data_can_be_traced() -> None:
    model, x = _SelectedRows(), torch.randn(5, 64, generator=torch.Generator().manual_seed(2))
    with pytest.raises(Exception, match="data-dependent"):
        torch.export.export(model, (x,), strict=False)
    with any_number_of_rows():
        graph = torch.export.export(model, (x,), strict=False).module()
        assert graph(-x.abs()).shape == (0, 6)
    torch.testing.assert_close(graph(x), model(x))


@pytest.mark.parametrize("rows", [1, 5])
def test_fake_tensors_get_the_shapes_that_torchao_gives_them(rows: int) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    ops = torch.ops.torchao
    with FakeTensorMode():
        x, scale = torch.empty(rows, 64), torch.empty(rows, 2)
        zeros = torch.empty(rows, 2, dtype=torch.int8)

        def results() -> list[torch.Tensor]:
            q = ops.quantize_affine(x, [1, 32], scale, zeros, torch.int8, -8, 7)
            back = ops.dequantize_affine(q, [1, 32], scale, zeros, torch.int8, -8, 7)
            half = ops.dequantize_affine(
                q, [1, 32], scale, zeros, torch.int8, -8, 7, output_dtype=torch.float16
            )
            return [q, back, half]

        plain = results()
        with any_number_of_rows():
            quick = results()
    for a, b in zip(plain, quick, strict=True):
        assert (a.shape, a.dtype, a.stride()) == (b.shape, b.dtype, b.stride())
