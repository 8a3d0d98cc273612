"""What the lowered graph computes in Python, for backends that do not run on this machine.

A delegate then computes what its part of the graph did before the backend compiled it: this
proves all that was done to the graph until there, and nothing of what the backend's compiler
and kernels make of it.
"""

from __future__ import annotations

from typing import Any

import torch

from llm_export.config.schema import Recipe
from llm_export.config.shapes import FORWARD, shapes_of
from llm_export.models.contract import LanguageModel
from llm_export.stages.graph_model import GraphModel
from llm_export.stages.logits import eager_logits
from llm_export.stages.methods import example_length
from llm_export.stages.parity import Comparison

_TOKENS = 12


def compare_edge(edge: Any, model: LanguageModel, recipe: Recipe) -> dict[str, Any]:
    """The edge program's ``forward`` against the eager model as exported, over a few tokens."""
    shapes = shapes_of(recipe)
    length = shapes.methods[FORWARD]
    ids = torch.randint(
        0, model.facts.vocab_size, (_TOKENS + 1,), generator=torch.Generator().manual_seed(0)
    ).tolist()
    with torch.no_grad(), model.as_program(example_length(shapes, length)) as form:
        graph = edge.exported_program(FORWARD).module(check_guards=False)
        found = eager_logits(GraphModel(graph, model, form, length, shapes.dynamic), ids[:-1])
    model.init_buffers()
    expected = eager_logits(model, ids[:-1], length)
    model.init_buffers()
    comparison = Comparison()
    comparison.add(found, expected, torch.tensor(ids[1:]))
    return comparison.result()
