"""Half precision for a whole model, or for its embedding only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.module_state import own_buffers, own_tensors
from llm_export.compat.operators import operator_name
from llm_export.errors import PostConditionError
from llm_export.models.components.embedding import CastEmbedding
from llm_export.models.contract import LanguageModel
from llm_export.quant.apply import is_quantized
from llm_export.quant.dtype import dtype_of, model_dtype
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import Flow
from llm_export.transforms.base import Transform

_PRODUCTS = ("linear", "mm", "bmm", "addmm", "custom_sdpa")


def cast_model(dtype: torch.dtype) -> Transform:
    """A transform that stores and computes the whole model in ``dtype``: weights, activations,
    RoPE tables and caches. Operations that need float32 cast themselves: norm variances, the
    softmax, routers, and the final logits. A quantized embedding stays quantized.
    """

    def apply(model: nn.Module) -> int:
        assert isinstance(model, LanguageModel)
        parts = [part for table in model.token_tables() for part in table.modules()]
        for part in parts:
            if isinstance(part, nn.Embedding) and is_quantized(part.weight):
                _replace(model, part, dtype)
        changed = 0
        for owner, name, tensor in list(_floats(model)):
            changed += 1
            if isinstance(tensor, nn.Parameter):
                tensor.data = tensor.data.to(dtype)
            else:
                own_buffers(owner)[name] = tensor.to(dtype)
        return changed

    def check(model: nn.Module) -> None:
        for owner, name, tensor in _floats(model):
            if tensor.dtype != dtype:
                raise PostConditionError(
                    f"'{name}' of a {type(owner).__name__} is {tensor.dtype}, not {dtype}"
                )

    def check_graph(graph_module: Any) -> None:
        for node in graph_module.graph.nodes:
            name = operator_name(node.target).split("::")[-1]
            value = node.meta.get("val")
            if name in _PRODUCTS and isinstance(value, Tensor) and value.dtype != dtype:
                raise PostConditionError(f"'{node.name}' is computed in {value.dtype}, not {dtype}")

    return Transform(f"cast:{_name(dtype)}", apply, check, check_graph)


def cast_table(name: str, dtype: torch.dtype) -> Transform:
    """A transform that stores the table ``name`` in ``dtype`` and computes in float32."""

    def apply(model: nn.Module) -> int:
        table = model.get_submodule(name)
        weight = nn.Parameter(table.weight.detach().to(dtype), requires_grad=False)  # type: ignore[operator]
        _replace(model, table, torch.float32).weight = weight
        return 1

    def check(model: nn.Module) -> None:
        table = model.get_submodule(name)
        if not isinstance(table, CastEmbedding) or table.weight.dtype != dtype:
            raise PostConditionError(f"the table '{name}' is not stored in {dtype}")

    return Transform(f"cast_table:{_name(dtype)}", apply, check)


def casts(choices: Sequence[LayerQuantSpec]) -> list[Transform]:
    """The casts that the resolved rules require.

    Raises:
        RecipeError: see ``model_dtype``.
    """
    dtype = model_dtype(choices)
    if dtype != torch.float32:
        return [cast_model(dtype)]
    return [cast_table(c.name, dtype_of(c.scheme)) for c in choices if c.flow is Flow.cast]


def _floats(model: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Owner, name and value of every plain tensor of floats, but for those that their module keeps
    in float32.
    """
    for module in model.modules():
        kept = getattr(module, "float32_buffers", ())
        for name, tensor in own_tensors(module):
            if (
                name not in kept
                and tensor is not None
                and tensor.is_floating_point()
                and not is_quantized(tensor)
            ):
                yield module, name, tensor


def _replace(model: nn.Module, table: nn.Module, dtype: torch.dtype) -> CastEmbedding:
    assert isinstance(table, nn.Embedding)
    name = next(n for n, m in model.named_modules() if m is table)
    parent, _, leaf = name.rpartition(".")
    made = CastEmbedding(table, dtype)
    setattr(model.get_submodule(parent), leaf, made)
    return made


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
