"""Select the layers to lower, and the template of each layer of the model."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn


class LayersDiffer(Exception):
    """The model, or its lowered graph, is not made of repeated layers; the message says why."""


@dataclass(frozen=True)
class LayerPlan:
    """The layers to lower, and how they are repeated.

    Attributes:
        path: attribute of the model that contains its layers, as in weight names.
        kept: layers of the model that are lowered, in order.
        origin: for every layer of the model, the index in ``kept`` of its template.
        lenders: indices in ``kept`` of layers whose values any later layer may use. None of them
            is repeated.
    """

    path: str
    kept: tuple[int, ...]
    origin: tuple[int, ...]
    lenders: tuple[int, ...] = ()

    @property
    def layers(self) -> int:
        return len(self.origin)

    def layer_of(self, template: int, near: int, layer: int) -> int:
        """The layer that stands in the whole model where ``template`` stands among the kept ones,
        as seen from the template ``near`` when it is repeated as ``layer``.

        Args:
            template: ``near`` itself, its predecessor, or one of ``lenders``.
        """
        if near - 1 <= template <= near:
            return layer + template - near
        return self.kept[template]


def plan_layers(
    model: nn.Module, path: str | None = None, *, last_apart: bool = False
) -> LayerPlan:
    """Select the layers. Raises LayersDiffer if no layers would be saved.

    Args:
        path: of the ModuleList; None: the ``repeated_layers`` of a LanguageModel.
        last_apart: whether no layer may repeat the last, whatever it contains.
    """
    if path is None:
        path = str(getattr(model, "repeated_layers", ""))
    if not path:
        raise LayersDiffer("the model does not say which of its modules are its layers")
    layers = model.get_submodule(path)
    assert isinstance(layers, nn.ModuleList)
    kinds: list[Hashable] = [kind_of(layer) for layer in layers]
    if last_apart and kinds:
        kinds[-1] = ("last", kinds[-1])
    kept, origin = shortened(kinds)
    if len(kept) == len(kinds):
        raise LayersDiffer(f"its {len(kinds)} layers do not repeat often enough")
    lenders = tuple(i for i, layer in enumerate(kept) if getattr(layers[layer], "lends", False))
    repeated = [kept[i] for i in lenders if origin.count(i) > 1]
    if repeated:
        raise LayersDiffer(f"later layers use values of layer {repeated[0]}, which is repeated")
    return LayerPlan(path, kept, origin, lenders)


def shortened(kinds: Sequence[Hashable]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """``kept`` and ``origin`` of a plan.

    A lowered layer depends on at most two layers before it: delegates span neighbouring layers and
    use values of the previous one. So every sequence of three kinds in the model must also occur
    in the kept layers, which begin and end with the same two kinds as the model.
    """
    kept = list(range(len(kinds)))
    needed = set(_rows(kinds, kept))
    again = True
    while again:
        again = False
        for first, last in _loops(kinds, kept):
            fewer = kept[: first + 1] + kept[last + 1 :]
            if set(_rows(kinds, fewer)) == needed:
                kept, again = fewer, True
                break
    rows = _rows(kinds, kept)
    origin = [0, 1][: len(kinds)]
    origin += [rows.index(row) + 2 for row in _rows(kinds, range(len(kinds)))]
    return tuple(kept), tuple(origin)


def _rows(kinds: Sequence[Hashable], kept: Sequence[int]) -> list[tuple[Hashable, ...]]:
    return [tuple(kinds[i] for i in kept[at - 2 : at + 1]) for at in range(2, len(kept))]


def _loops(kinds: Sequence[Hashable], kept: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Pairs of positions preceded by the same two kinds, the farthest apart first."""
    pairs = [tuple(kinds[i] for i in kept[at - 1 : at + 1]) for at in range(1, len(kept))]
    found = [
        (a + 1, b + 1)
        for a in range(len(pairs))
        for b in range(a + 1, len(pairs))
        if pairs[a] == pairs[b]
    ]
    return iter(sorted(found, key=lambda loop: loop[0] - loop[1]))


def kind_of(layer: nn.Module) -> Hashable:
    """A key that is equal for layers that differ only in tensor values."""
    parts: list[Hashable] = []
    for name, module in layer.named_modules():
        facts = sorted(
            (key, repr(value))
            for key, value in vars(module).items()
            if not key.startswith("_") and _tells(value)
        )
        parts.append((name, type(module).__qualname__, tuple(facts)))
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        parts += [(name, key, *_layout(tensor)) for key, tensor in tensors]
    return tuple(parts)


def _tells(value: Any) -> bool:
    """Plain values and configs count; other objects are compared later, by their effect on the
    graph.
    """
    plain = (bool, int, float, str, tuple, torch.dtype)
    return value is None or isinstance(value, plain) or is_dataclass(value)


def _layout(tensor: Tensor) -> tuple[Hashable, ...]:
    here: tuple[Hashable, ...] = (type(tensor).__qualname__, tensor.dtype, tuple(tensor.shape))
    if not hasattr(tensor, "__tensor_flatten__"):
        return here
    names, context = tensor.__tensor_flatten__()
    inner = tuple(_layout(getattr(tensor, name)) for name in names)
    return (*here, repr(context), inner)


@contextmanager
def only_kept(model: nn.Module, plan: LayerPlan) -> Iterator[nn.Module]:
    """Context in which the model contains only the layers to lower."""
    parent_path, _, name = plan.path.rpartition(".")
    parent = model.get_submodule(parent_path)
    whole = getattr(parent, name)
    setattr(parent, name, nn.ModuleList(whole[i] for i in plan.kept))
    try:
        yield model
    finally:
        setattr(parent, name, whole)
