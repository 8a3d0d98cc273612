"""The shapes that a program declares, from what torch.export knows of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from llm_export.errors import PostConditionError
from llm_export.stages.lowering.model_schema import model_schema

ONE = {"kind": "constant", "value": 1}


class Step(nn.Module):
    """tokens [1, S], position [1], cache [1, T] -> [1, S, 5], [1, S - 1], [1, 2 S], cache."""

    def forward(self, tokens: Tensor, position: Tensor, cache: Tensor) -> tuple[Tensor, ...]:
        doubled = torch.cat([tokens, tokens], 1)
        rows = tokens[..., None].float().expand(-1, -1, 5).clone()
        return rows, tokens[:, 1:], doubled, cache + position.half()


def exported(most: int | None) -> ExportedProgram:
    """With a step of 3 to ``most`` tokens; None: of 4."""
    inputs = (torch.zeros(1, 4, dtype=torch.int64), torch.zeros(1, dtype=torch.int64))
    dims = None if most is None else ({1: Dim("tokens", min=3, max=most)}, None, None)
    return export(Step(), (*inputs, torch.zeros(1, 7).half()), dynamic_shapes=dims, strict=False)


def shape(parameter: dict[str, Any]) -> list[object]:
    return [d.get("value") or tuple(d["range"].values()) for d in parameter["shape"]]


def test_dimensions_of_every_method_and_what_binds_them() -> None:
    schema = json.loads(model_schema({"forward": exported(64), "prefill": exported(None)}))
    fixed = schema["prefill"]
    assert [shape(p) for p in fixed["inputs"]] == [[1, 4], [1], [1, 7]]
    assert [shape(p) for p in fixed["outputs"]] == [[1, 4, 5], [1, 3], [1, 8], [1, 7]]
    assert fixed["runtimeConstraints"] == []
    assert [p["dtype"] for p in fixed["inputs"]] == ["int64", "int64", "float16"]

    made = schema["forward"]
    assert shape(made["inputs"][0]) == [1, (3, 64, 1)]
    assert [shape(p) for p in made["outputs"]] == [
        [1, (3, 64, 1), 5], [1, (2, 63, 1)], [1, (6, 128, 2)], [1, 7],
    ]  # fmt: skip
    here = {"paramSide": "input", "tensorIdx": 0, "dimIdx": 1}
    rows, shorter, doubled = (
        {"paramSide": "output", "tensorIdx": index, "dimIdx": 1} for index in range(3)
    )
    assert made["runtimeConstraints"] == [
        {"kind": "equality", "dims": [here, rows]},
        {"kind": "linear", "dimLhs": shorter, "dimRhs": here, "coefficients": [1, -1]},
        {"kind": "linear", "dimLhs": doubled, "dimRhs": here, "coefficients": [2, 0]},
    ]


def test_a_dimension_without_an_end_is_refused() -> None:
    program = exported(64)
    program.range_constraints.clear()
    with pytest.raises(PostConditionError, match=r"method forward cannot be declared: .* no upper"):
        model_schema({"forward": program})
