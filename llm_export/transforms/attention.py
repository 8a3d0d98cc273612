"""Replace the attention kind of a model."""

from __future__ import annotations

from typing import Any

from torch import nn

from llm_export.errors import MissingDependencyError, PostConditionError
from llm_export.models.contract import LanguageModel
from llm_export.transforms.base import Transform, count_calls

# Kinds that guarantee certain operators in the graph.
OPERATORS = {
    "custom_op": ("llama.custom_sdpa", "llama.update_cache"),
    "custom_op_by_head": ("llama.sdpa_with_kv_cache",),
    "custom_op_bfloat16": ("llama.sdpa_with_kv_cache",),
    "custom_op_int8": ("llama.custom_quantized_sdpa", "llama.update_cache"),
}

# Kinds that guarantee the absence of certain operators.
ABSENT = {"static_io": ("aten.index_put", "aten.copy_.", "aten.remainder")}


def exchange(kind: str, **limits: int) -> Transform:
    """A transform that sets attention ``kind`` in every layer.

    Args:
        limits: arguments of ``LanguageModel.set_attention`` for that kind.
    """
    operators, absent = OPERATORS.get(kind, ()), ABSENT.get(kind, ())

    def apply(model: nn.Module) -> int:
        assert isinstance(model, LanguageModel)
        if operators:
            require_custom_ops()
        return model.set_attention(kind, **limits)

    def check(model: nn.Module) -> None:
        assert isinstance(model, LanguageModel)
        if model.attention_kind != kind:
            raise PostConditionError(f"attention is '{model.attention_kind}', not '{kind}'")

    def check_graph(graph_module: Any) -> None:
        for operator in operators:
            if not count_calls(graph_module, operator):
                raise PostConditionError(f"{operator} was asked for and is not in the graph")
        for operator in absent:
            if count_calls(graph_module, operator):
                raise PostConditionError(f"{operator} is in the graph, which '{kind}' rules out")

    return Transform(f"attention:{kind}", apply, check, check_graph)


def require_custom_ops() -> None:
    """Load ExecuTorch's ``llama::`` operators.

    Raises:
        MissingDependencyError: the installed wheel has no custom-operator library.
    """
    try:
        import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    except (ImportError, AssertionError, OSError) as error:
        raise MissingDependencyError(
            f"ExecuTorch's custom operators cannot be loaded: {error}",
            where="runtime.attention=custom_op",
            fix="pip install executorch==1.5.1, or use runtime.attention=plain",
        ) from None
