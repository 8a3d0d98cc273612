"""Run the lowered graph in Python, for backends that cannot run on this machine.

Delegates then compute their original subgraphs. This checks all graph changes before the backend's
compiler, but neither the compiler nor the kernels. A backend with a reference model (TOSA) runs on
that.
"""

from __future__ import annotations

from typing import Any

import torch

from llm_export.bundle.proof import ComparisonResult
from llm_export.metrics.comparison import Comparison
from llm_export.models.contract import LanguageModel
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.lowering.graph_model import GraphModel
from llm_export.stages.lowering.methods import example_length, logits_of
from llm_export.stages.verification.logits import eager_logits

_TOKENS = 24


def compare_edge(edge: Any, model: LanguageModel, resolved: ResolvedRecipe) -> ComparisonResult:
    """Compare every method of the edge program with the eager model as exported: some steps of
    ``forward``, a whole chunk of ``prefill``.
    """
    methods = resolved.methods
    comparison = Comparison()
    for name, length in methods.lengths.items():
        count = _TOKENS if name == methods.main else length
        ids = _some_ids(model.metadata.vocab_size, count + 1)
        with logits_of(model, methods, name):
            with torch.no_grad(), model.as_program(example_length(methods, length)) as form:
                graph = edge.exported_program(name).module(check_guards=False)
                with resolved.reference_executor():
                    found = eager_logits(GraphModel(graph, model, form, length), ids[:-1], length)
            model.init_buffers()
            expected = eager_logits(model, ids[:-1], length)
            model.init_buffers()
        comparison.add(found, expected, torch.tensor(ids[1:]))
        comparison.end_window()
    return comparison.result()


def _some_ids(vocab_size: int, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, vocab_size, (count,), generator=generator).tolist()
