"""Where groups share a column for their offsets, the calibration text says which."""

from __future__ import annotations

from pathlib import Path

import hf_models
import torch
from family_models import MEMBERS, settings
from gguf_models import write_gguf
from parity_tools import recipe_for
from stage_tools import transformed_of

from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.stages.quantization.offset_order import orders


def factors(path: Path, file: Path, words: list[str]) -> dict[str, torch.Tensor]:
    """Name -> factors of the further inputs, of linears with 576 inputs."""
    recipe = recipe_for(file, "backend=xnnpack", "quant=8da4w_asym", *words)
    ctx = RunContext(path, Reporter(1, quiet=True), StageRecord("test"))
    with torch.no_grad():
        model = transformed_of(recipe, ctx).model
    linears = {n: m for n, m in model.named_modules() if isinstance(m, OutlierLinear)}
    return {name: one.mean for name, one in linears.items() if one.means and one.in_features == 576}


def test_linears_of_a_kind_share_the_same_groups(tmp_path: Path) -> None:
    """They then have the same factors, which the program holds once."""
    config = {**settings("llama", next(iter(MEMBERS["llama"]))), "num_hidden_layers": 3}
    config |= {"hidden_size": 576, "intermediate_size": 64, "num_attention_heads": 2,
               "num_key_value_heads": 1, "head_dim": 64}  # fmt: skip
    model = hf_models.build("llama", **config)
    with torch.no_grad():
        # The groups that are read most are those that would share a column without a text.
        for layer in model.model.layers:
            layer.input_layernorm.weight[:] = 0.01
            layer.input_layernorm.weight[7 * 32 : 9 * 32] = 1
    file = write_gguf(tmp_path / "m.gguf", model, "Q4_1")
    found = factors(tmp_path, file, [])
    assert len(found) == 6
    qkv = [mean for name, mean in found.items() if ".qkv." in name]
    assert torch.equal(qkv[0], qkv[1])
    assert torch.equal(qkv[0], qkv[2])
    second = qkv[0][9:, ::32]  # [columns, groups of a block]
    together = [set(row.nonzero().flatten().tolist()) for row in second if row.count_nonzero() > 1]
    assert len(together) == 2
    assert not {7, 8} & set.union(*together)
    plain = factors(tmp_path, file, ["quant.rounding.method=minmax", "quant.outliers=0"])
    second = next(iter(plain.values()))[9:, ::32]
    assert [row.nonzero().flatten().tolist() for row in second][-2:] == [[5, 6], [7, 8]]


def test_an_order_is_of_one_kind_of_linear() -> None:
    """Whatever else differs by a number: a place in a sequence, an expert, a width."""
    first, second = torch.arange(18.0), torch.arange(18.0).flip(0)
    sharing = {"layers.0.mlp.0": (18, 32), "layers.0.mlp.2": (18, 32), "layers.1.mlp.0": (36, 32),
               "layers.1.mlp.2": (18, 32), "layers.0.none": (18, 32)}  # fmt: skip
    squares = {"layers.0.mlp.0": first, "layers.0.mlp.2": second, "layers.1.mlp.0": torch.ones(36)}
    found = {name: order.tolist() for name, order in orders(squares, sharing).items()}
    assert found["layers.0.mlp.0"] == [*range(8, -1, -1)]
    assert found["layers.0.mlp.2"] == found["layers.1.mlp.2"] == [*range(9)]
    assert found["layers.1.mlp.0"] == [*range(9)]
    assert "layers.0.none" not in found
