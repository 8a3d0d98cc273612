"""Exchange the attention kind of a decoder."""

from __future__ import annotations

from typing import Any

from torch import nn

from llm_export.errors import EnvironmentProblem, PostConditionError
from llm_export.models.components.attention import Attention
from llm_export.models.components.attention_cores import KINDS, CoreShape, CustomOpCore
from llm_export.models.decoder import Decoder
from llm_export.transforms.base import Transform, count_calls


def exchange(kind: str) -> Transform:
    """A transform that gives every layer the cores of ``kind``."""
    planner_type, core_type = KINDS[kind]

    def apply(model: nn.Module) -> int:
        assert isinstance(model, Decoder)
        if issubclass(core_type, CustomOpCore):
            require_custom_ops()
        changed = 0
        for module in model.modules():
            if isinstance(module, Attention):
                shape = CoreShape(
                    module.num_heads, module.num_kv_heads, module.head_dim, model.context_length
                )
                module.core = core_type(shape)
                module.core.init_buffers()  # type: ignore[operator]
                changed += 1
        model.planner = planner_type(model.context_length)
        if hasattr(model.planner, "init_buffers"):
            model.planner.init_buffers()  # type: ignore[operator]
        return changed

    def check(model: nn.Module) -> None:
        others = [
            n
            for n, m in model.named_modules()
            if isinstance(m, Attention) and not isinstance(m.core, core_type)
        ]
        if others:
            raise PostConditionError(f"attention is not '{kind}' in {', '.join(others[:4])}")

    def check_graph(graph_module: Any) -> None:
        if not issubclass(core_type, CustomOpCore):
            return
        for operator in ("llama.custom_sdpa", "llama.update_cache"):
            if not count_calls(graph_module, operator):
                raise PostConditionError(f"{operator} was asked for and is not in the graph")

    return Transform(f"attention:{kind}", apply, check, check_graph)


def require_custom_ops() -> None:
    """Load ExecuTorch's ``llama::`` operators.

    Raises:
        EnvironmentProblem: the wheel at hand has no custom-operator library.
    """
    try:
        import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    except (ImportError, AssertionError, OSError) as error:
        raise EnvironmentProblem(
            f"ExecuTorch's custom operators cannot be loaded: {error}",
            where="runtime.attention=custom_op",
            fix="pip install executorch==1.5.1, or use runtime.attention=plain",
        ) from None
