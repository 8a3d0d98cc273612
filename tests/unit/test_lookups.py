"""Lookups in quantized tables: the same values, read by row."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchao.quantization import IntxWeightOnlyConfig, quantize_
from torchao.quantization.granularity import PerAxis, PerGroup

from llm_export.backends.compressed_weights import spell_out
from llm_export.backends.lookups import fuse_lookups


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


@pytest.mark.parametrize(("group", "by_row"), [(32, True), (None, False)])
def test_spelled_out_tables_stay_compressed(group: int | None, by_row: bool) -> None:
    """OpenVINO keeps a table with a scale a row compressed, and would store groups in float32."""
    program, tokens = exported(8, group)
    expected = program.module()(tokens)
    spelled = spell_out(program)
    assert ("embedding_byte" in operators(spelled)) == by_row
    assert "dequantize_affine" not in operators(spelled)
    torch.testing.assert_close(spelled.module()(tokens), expected)
