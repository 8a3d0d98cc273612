"""Lookups in quantized tables: the same values, read by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup

from llm_export.backends.compressed_weights import spell_out
from llm_export.backends.lookups import fuse_lookups

_QUANTIZED = torch.ops.quantized_decomposed


class Tokens(nn.Module):
    def __init__(self, bits: int, group: int | None) -> None:
        super().__init__()
        self.table = nn.Embedding(40, 64)
        config = IntxWeightOnlyConfig(
            weight_dtype=getattr(torch, f"int{bits}"),
            granularity=PerGroup(group) if group else PerAxis(0),
        )
        quantize_(self, config, lambda module, name: isinstance(module, nn.Embedding))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.table(tokens) * 2


def exported(bits: int, group: int | None) -> tuple[torch.export.ExportedProgram, torch.Tensor]:
    torch.manual_seed(0)
    tokens = torch.tensor([[0, 7, 39, 7]])
    return torch.export.export(Tokens(bits, group), (tokens,)), tokens


def dtype_of(node: torch.fx.Node) -> str:
    return str(getattr(node.meta.get("val"), "dtype", ""))


def operators(program: torch.export.ExportedProgram) -> str:
    return " ".join(str(node.target) for node in program.graph.nodes)


@pytest.mark.parametrize("group", [32, None])
def test_a_lookup_in_8_bits_reads_rows(group: int | None) -> None:
    program, tokens = exported(8, group)
    expected = program.module()(tokens)
    fused = fuse_lookups(program)
    assert "embedding_byte" in operators(fused)
    assert "dequantize_affine" not in operators(fused)
    torch.testing.assert_close(fused.module()(tokens), expected)


def test_tables_of_other_widths_are_left() -> None:
    program, tokens = exported(4, 32)
    expected = program.module()(tokens)
    fused = fuse_lookups(program)
    assert "embedding_byte" not in operators(fused)
    torch.testing.assert_close(fused.module()(tokens), expected)


@pytest.mark.parametrize(("bits", "group"), [(8, 32), (8, None), (4, 32)])
def test_spelled_out_tables_stay_compressed(bits: int, group: int | None) -> None:
    """OpenVINO keeps a table compressed if no operator computes its scales."""
    program, tokens = exported(bits, group)
    expected = program.module()(tokens)
    spelled = spell_out(program)
    assert "embedding_byte" not in operators(spelled)
    assert "dequantize_affine" not in operators(spelled)
    assert "unsqueeze" not in operators(spelled) or group is None
    tables = [n for n in spelled.graph.nodes if n.op == "placeholder" and "int8" in dtype_of(n)]
    read = {str(user.target) for table in tables for user in table.users}
    assert bits == 4 or read == {"aten.to.dtype"}, "nothing reshapes what it reads"
    torch.testing.assert_close(spelled.module()(tokens), expected)


class Static(nn.Module):
    """A linear with a scale for each of its rows, as PT2E writes it; its input is int8 too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("q", torch.randint(-128, 128, (6, 8), dtype=torch.int8))
        self.register_buffer("scales", torch.rand(6, dtype=torch.float64))
        self.register_buffer("zeros", torch.randint(-3, 4, (6,)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        ends = (0.1, 0, -128, 127, torch.int8)
        x = _QUANTIZED.dequantize_per_tensor(_QUANTIZED.quantize_per_tensor(x, *ends), *ends)
        weight = _QUANTIZED.dequantize_per_channel(
            self.q, self.scales, self.zeros, 0, -128, 127, torch.int8
        )
        return nn.functional.linear(x, weight)


def test_a_scale_for_each_row_is_spelled_out() -> None:
    """OpenVINO 2025 fails on folded constants under ``dequantize_per_channel``."""
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    program = torch.export.export(Static(), (x,))
    expected = program.module()(x)
    spelled = spell_out(program)
    assert "per_channel" not in operators(spelled)
    assert "per_tensor" in operators(spelled)
    torch.testing.assert_close(spelled.module()(x), expected)


def test_all_tables_are_read_by_row_where_activations_are_quantized() -> None:
    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.static = Tokens(8, None), Static()

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.static(self.tokens(tokens)[..., :8])

    torch.manual_seed(0)
    tokens = torch.tensor([[0, 7, 39, 7]])
    program = torch.export.export(Both(), (tokens,))
    expected = program.module()(tokens)
    spelled = spell_out(program)
    assert "embedding_byte" in operators(spelled)
    torch.testing.assert_close(spelled.module()(tokens), expected)
