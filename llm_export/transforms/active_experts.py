"""Compute the selected experts of mixtures only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from llm_export.errors import PostConditionError
from llm_export.models.components.active_experts import Mixture
from llm_export.transforms.base import Transform, count_calls

_SELECTION = "aten.nonzero"


def mixtures(model: nn.Module) -> Iterator[Mixture]:
    return (m for m in model.modules() if isinstance(m, Mixture))


def _apply(model: nn.Module) -> int:
    found = list(mixtures(model))
    for mixture in found:
        mixture.active_only = True
    return len(found)


def _check(model: nn.Module) -> None:
    if not all(mixture.active_only for mixture in mixtures(model)):
        raise PostConditionError("some mixtures compute all experts for every token")


def _check_graph(graph_module: Any) -> None:
    if not count_calls(graph_module, _SELECTION):
        raise PostConditionError("no operator of the graph selects the tokens of an expert")


TRANSFORM = Transform("active_experts", _apply, _check, _check_graph)
