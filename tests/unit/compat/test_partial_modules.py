"""Copies of modules without some of their parts."""

from __future__ import annotations

from torch import nn

from llm_export.compat.partial_modules import kept, without


def whole() -> nn.Module:
    inner = nn.ModuleDict({"tower": nn.Linear(2, 3), "text": nn.Linear(3, 4)})
    return nn.ModuleDict({"model": inner, "head": nn.Linear(4, 5)})


def test_two_halves_share_the_tensors_and_leave_the_whole_alone() -> None:
    model = whole()
    names = sorted(dict(model.named_parameters()))
    tower, rest = kept(model, ["model.tower"]), without(model, ["model.tower"])
    assert sorted(n for n, _ in tower.named_parameters()) == [
        "model.tower.bias", "model.tower.weight",
    ]  # fmt: skip
    assert sorted(n for n, _ in rest.named_parameters()) == [n for n in names if "tower" not in n]
    assert tower.get_parameter("model.tower.weight") is model.get_parameter("model.tower.weight")
    assert rest.get_parameter("head.weight") is model.get_parameter("head.weight")
    assert sorted(dict(model.named_parameters())) == names
