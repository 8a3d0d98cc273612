"""Logits of a text: from a program, an eager model, or an eager model with a little noise."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.memory import release
from llm_export.models.components.outlier_linear import OutlierLinear
from llm_export.models.contract import LanguageModel
from llm_export.quant.apply import is_quantized
from runtime_py.program import Program


@contextlib.contextmanager
def perturbed(model: LanguageModel, computes_in: str = "float32") -> Iterator[None]:
    """Multiply the embeddings by 1 + 1e-6 * normal noise: less than one float32 rounding error per
    layer, comparable to a different summation order. If the model or the backend computes in half
    precision, the noise has the size of that dtype's rounding error and the outputs of linears are
    rounded to it.
    """
    generator = torch.Generator().manual_seed(0)
    least = 1e-6 if computes_in == "float32" else torch.finfo(getattr(torch, computes_in)).eps

    def noise(module: Any, inputs: Any, output: Tensor) -> Tensor:
        size = max(least, torch.finfo(output.dtype).eps)
        factor = 1 + size * torch.randn(output.shape, generator=generator)
        return (output * factor).to(output.dtype)

    def rounded(module: Any, inputs: Any, output: Tensor) -> Tensor:
        return output.to(getattr(torch, computes_in)).to(output.dtype)

    handles = [model.input_embedding().register_forward_hook(noise)]
    if computes_in != "float32":
        linears = [m for m in model.modules() if isinstance(m, nn.Linear)]
        handles += [linear.register_forward_hook(rounded) for linear in linears]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


_LARGEST = 1 << 21
"""Number of values of a weight to dequantize at once."""


@contextlib.contextmanager
def in_slices(*models: LanguageModel) -> Iterator[None]:
    """Context in which large weights are used a few rows at a time. Otherwise each call
    dequantizes the whole weight to float32, with several copies. Results are equal up to a float32
    rounding.
    """
    changed = []
    for module in (m for model in models for m in model.modules()):
        name = _use_of_large(module)
        if name is None:
            continue
        if isinstance(module, nn.Linear):
            setattr(module, name, _sliced(module))
        else:
            assert isinstance(module, nn.Embedding)
            setattr(module, name, _looked_up(module))
        changed.append((module, name))
    try:
        yield
    finally:
        for module, name in changed:
            delattr(module, name)


def _use_of_large(module: nn.Module) -> str | None:
    """The method in which a module uses its large weight; None if it has none."""
    weight = getattr(module, "weight", None)
    if not isinstance(weight, Tensor) or weight.numel() <= _LARGEST:
        return None
    if isinstance(module, OutlierLinear):
        return "product"
    plain = type(module) is nn.Linear
    return "forward" if plain or (type(module) is nn.Embedding and is_quantized(weight)) else None


def _looked_up(table: nn.Embedding) -> Callable[[Tensor], Tensor]:
    def forward(ids: Tensor) -> Tensor:
        few, places = ids.unique(return_inverse=True)
        rows = [table.weight[i : i + 1].dequantize() for i in few.tolist()]
        return torch.cat(rows)[places]

    return forward


def _sliced(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    rows = max(1, _LARGEST // linear.in_features)

    def forward(x: Tensor) -> Tensor:
        made = x.new_empty(*x.shape[:-1], linear.out_features)
        for start in range(0, linear.out_features, rows):
            some = slice(start, min(start + rows, linear.out_features))
            bias = None if linear.bias is None else linear.bias[some]
            made[..., some] = nn.functional.linear(x, linear.weight[some], bias)
            release()
        return made

    return forward


def program_logits(program: Program, ids: list[int], prefill: int) -> Tensor:
    """[S - prefill + 1, V]: see ``program_rows``."""
    return torch.cat(list(program_rows(program, ids, prefill)))


def program_rows(program: Program, ids: list[int], prefill: int) -> Iterator[Tensor]:
    """[1, V] after the first prompt chunk, then after each single token, as in an app."""
    program.reset()
    yield program.prefill(ids[:prefill])[None].float()
    for token in ids[prefill:]:
        yield program.step([token])[:, -1].float()
    program.reset()


def eager_logits(model: LanguageModel, ids: list[int], chunk: int | None = None) -> Tensor:
    """[S, V] of an eager model, fed ``chunk`` tokens per step, or as many as its cache allows."""
    wanted, model.all_logits = model.all_logits, True
    # A fixed-shape program is fed one token per step; its eager model can take all at once.
    size = chunk if chunk and chunk > 1 else model.step_length or len(ids)
    rows = []
    try:
        with torch.no_grad():
            for start in range(0, len(ids), size):
                tokens = torch.tensor([ids[start : start + size]])
                rows.append(model(tokens, torch.tensor([start]))[0])
    finally:
        model.all_logits = wanted
    return (rows[0] if len(rows) == 1 else torch.cat(rows)).float()
