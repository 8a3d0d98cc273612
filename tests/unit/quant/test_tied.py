"""A tied embedding is stored once where it can be, and the record says what became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stage_tools import transformed_of
from tiny_decoder import tiny_decoder
from torch import Tensor, nn

import llm_export.backends  # noqa: F401  (registers what they run)
from llm_export import api
from llm_export.config.quant_schema import ModuleKind, QuantRule, RoundingConfig, TiedKind
from llm_export.errors import RecipeError
from llm_export.models.contract import LanguageModel
from llm_export.pipeline.console import Reporter
from llm_export.pipeline.record import StageRecord
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rounding.weights import round_weights
from llm_export.quant.rules import LayerQuantSpec, resolve_rules
from llm_export.quant.tied import share_table, tied_names
from llm_export.stages.lowering.dedup_constants import share_constants
from llm_export.stages.training.qat import trained_for
from llm_export.transforms.base import run_transform
from llm_export.transforms.quantize import by_grids

HEAD8 = QuantRule(scheme="8da8w", kind=ModuleKind.head, outliers=2)
ZERO = QuantRule(scheme="8da4w", kind=ModuleKind.head, group_size=32, zero_point=True)
TABLE8 = QuantRule(scheme="8w", kind=ModuleKind.embedding)
HEAD4 = QuantRule(scheme="8da4w", kind=ModuleKind.head, group_size=32)
TABLE4 = QuantRule(scheme="4w", kind=ModuleKind.embedding, group_size=32)


def shared(
    model: LanguageModel, *rules: QuantRule, wanted: TiedKind = TiedKind.auto, raw: bool = True
) -> tuple[list[LayerQuantSpec], str | None]:
    return share_table(model, resolve_rules(model, rules, "xnnpack"), wanted, raw_weights=raw)


@pytest.mark.parametrize("rules", [(HEAD8, TABLE8), (HEAD4, TABLE4)])
def test_the_table_has_the_values_of_the_output_matrix(rules: tuple[QuantRule, ...]) -> None:
    model = tiny_decoder()
    choices, words = shared(model, *rules)
    assert words is not None
    assert words.startswith("stored once")
    table = next(c for c in choices if c.name == "embed")
    assert table.shared_with == "head"
    assert table.bytes < 5 * table.shape[0] * 2 + 1, "scales only"
    outliers = {"head": torch.tensor([1, 40])} if rules[0].outliers else {}
    grids = {
        name: grid
        for name, (grid, *_) in round_weights(
            model, choices, RoundingConfig(), outliers=outliers
        ).items()
    }
    run_transform(by_grids(choices, grids, outliers), model)
    tokens = torch.tensor([[3, 7, 250]])
    torch.testing.assert_close(model.embed(tokens)[0], grids["head"].values()[tokens[0]])
    table_q, head_q = (m.weight.qdata for m in (model.embed, model.head))
    if rules[0].scheme == "8da8w":
        assert torch.equal(table_q, head_q)
    else:  # high half first in the table, low half first in the matrix
        nibbles = (table_q.to(torch.int16) + 8).to(torch.uint8)
        other = (head_q.to(torch.int16) + 8).to(torch.uint8)
        assert torch.equal(
            nibbles[:, ::2] << 4 | nibbles[:, 1::2], other[:, 1::2] << 4 | other[:, ::2]
        )


@pytest.mark.parametrize(
    ("rules", "raw", "words"),
    [
        ((HEAD8, TABLE4), True, "4 bit with group_size 32 is not 8 bit with None"),
        ((HEAD8, TABLE8), False, "the backend stores matrices in a form of its own"),
        (
            (ZERO, TABLE4),
            True,
            "the output matrix has zero points",
        ),
    ],
)  # fmt: skip
def test_what_keeps_them_apart(rules: tuple[QuantRule, ...], raw: bool, words: str) -> None:
    choices, said = shared(tiny_decoder(), *rules, raw=raw)
    assert said is not None
    assert words in said
    assert said.startswith("stored twice")
    assert not [c for c in choices if c.shared_with]
    with pytest.raises(RecipeError, match="cannot be one") as caught:
        shared(tiny_decoder(), *rules, wanted=TiedKind.share, raw=raw)
    assert words in str(caught.value)


def test_delegates_that_store_both_once_take_zero_points() -> None:
    """Not the backend, which stores weights in a form of its own, but its delegate."""
    head, table = (
        QuantRule(scheme="4w", kind=kind, group_size=32, zero_point=True)
        for kind in (ModuleKind.head, ModuleKind.embedding)
    )
    model = tiny_decoder()
    for rules, words in [
        ((head, table), "stored once"),
        ((replace(head, zero_point=False), table), "the table has zero points"),
        ((replace(head, scheme="8a8w", group_size=None, zero_point=False),
          replace(table, scheme="8w", group_size=None, zero_point=False)),
         "one of them is quantized with its activations"),
    ]:  # fmt: skip
        choices = resolve_rules(model, rules, "openvino")
        found, said = share_table(model, choices, TiedKind.auto, raw_weights=False)
        assert said is not None
        assert words in said
        kept = next(c for c in found if c.name == "embed")
        assert (kept.bytes == 0) == (words == "stored once")


def test_training_of_all_kinds_leaves_them_one() -> None:
    choices = resolve_rules(model := tiny_decoder(), (HEAD8, TABLE8), "xnnpack")
    choices = [replace(c, qat=trained_for(c)) if c.on_grid else c for c in choices]
    assert "stored once" in str(share_table(model, choices, TiedKind.auto, raw_weights=True)[1])
    only_head = [c if c.name == "head" else replace(c, qat=None) for c in choices]
    said = share_table(model, only_head, TiedKind.auto, raw_weights=True)[1]
    assert "trained to be quantized in different ways" in str(said)


def test_a_matrix_that_a_delegate_stores_once_is_not_to_be_rescaled() -> None:
    model, both = tiny_decoder(), ("embed", "head")
    head, table = (
        QuantRule(scheme="4w", kind=kind, group_size=32, zero_point=True)
        for kind in (ModuleKind.head, ModuleKind.embedding)
    )
    once = resolve_rules(model, (head, table), "openvino")
    apart = resolve_rules(model, (head, replace(table, scheme="8w", zero_point=False)), "openvino")
    assert tied_names(model, TiedKind.auto, once, raw_weights=False) == both
    assert tied_names(model, TiedKind.untied, once, raw_weights=False) is None
    assert tied_names(model, TiedKind.auto, apart, raw_weights=False) is None
    assert tied_names(model, TiedKind.auto, raw_weights=False) is None
    assert tied_names(model, TiedKind.auto, apart, raw_weights=True) == both


def test_scaling_leaves_a_matrix_that_a_delegate_stores_once(tmp_path: Path) -> None:
    words = [
        "model=tiny", "backend=openvino", "quant=4w", "quant.smooth={}",
        "quant.calibration.tokens=32", "quant.calibration.window=32", "runtime.context_length=64",
        "model.config.tie_word_embeddings=true",
    ]  # fmt: skip
    ctx = RunContext(tmp_path, Reporter(1, quiet=True), StageRecord("test"))
    choices = transformed_of(api.compose_recipe(None, words).recipe, ctx).choices
    assert next(c for c in choices if c.name == "embed").shared_with == "head"


def test_a_rescaled_matrix_is_stored_apart() -> None:
    model = tiny_decoder()
    model.head.weight = nn.Parameter(model.head.weight * 2)
    assert "has rescaled the output matrix" in str(shared(model, HEAD8, TABLE8)[1])


def test_apart_is_a_choice_and_sharing_needs_a_tie() -> None:
    _, said = shared(tiny_decoder(), HEAD8, TABLE8, wanted=TiedKind.untied)
    assert said is not None
    assert "quant.tied=untied" in said
    assert shared(tiny_decoder(tied=False), HEAD8, TABLE8)[1] is None
    with pytest.raises(RecipeError, match="not tied"):
        shared(tiny_decoder(tied=False), HEAD8, TABLE8, wanted=TiedKind.share)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(64, 32)
        self.matrix = nn.Linear(32, 64, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.matrix(self.table(tokens))


@pytest.mark.parametrize("tied", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_program_holds_equal_bytes_once(tied: bool, tmp_path: Path) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    model = Small().eval()
    if tied:
        model.matrix.weight = model.table.weight
    tokens = torch.tensor([[1, 5, 63]])
    program = to_edge_transform_and_lower(
        torch.export.export(model, (tokens,)), partitioner=[XnnpackPartitioner()]
    ).to_executorch()
    path = tmp_path / "model.pte"
    path.write_bytes(program.buffer)
    before = path.read_bytes()

    def run() -> Tensor:
        return Runtime.get().load_program(path).load_method("forward").execute((tokens,))[0]

    expected = run().clone()
    saved = share_constants(path)
    assert len(before) - path.stat().st_size == saved
    if not tied:
        assert path.read_bytes() == before
    else:
        assert saved >= 64 * 32 * 4 - 128
        torch.testing.assert_close(run(), expected, rtol=0, atol=0)
        assert share_constants(path) == 0, "nothing is left to share"
    assert [p.name for p in tmp_path.iterdir()] == ["model.pte"]
