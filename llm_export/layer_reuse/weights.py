"""The values of an exported program's constants, by torch.export's names."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor, nn

from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer

Derivation = Callable[[Callable[[str], Tensor]], Tensor]
"""(name of a weight -> its value) -> a tensor that follows from them."""

# Names that unwrapping gives the plain tensors of a tensor subclass, in flattening order.
_INSIDE = re.compile(r"^(?P<owner>.*?)\.?parametrizations\.(?P<name>\w+)\.original(?P<at>\d+)$")


class ModelWeights:
    """The plain tensors of a whole model."""

    def __init__(self, model: nn.Module, plan: LayerPlan) -> None:
        self._plan = plan
        self._model = model
        self._layered = re.compile(rf"^{re.escape(plan.path)}\.(\d+)\.")
        self._derivations: dict[str, Derivation] = {}
        self._derived: dict[str, Tensor] = {}

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        # remove_duplicate: the graph may have one name for a shared weight, or one per use.
        parameters = self._model.named_parameters(remove_duplicate=False)
        buffers = self._model.named_buffers(remove_duplicate=False)
        return {**dict(parameters), **dict(buffers)}

    def layer(self, name: str) -> int | None:
        """The layer that a constant belongs to; None if it belongs to none."""
        found = self._layered.match(name)
        return int(found[1]) if found else None

    def moved(self, name: str, to: int) -> str:
        """Name of the same constant in layer ``to``."""
        return self._layered.sub(f"{self._plan.path}.{to}.", name)

    def add_derived(self, layer: int, name: str, derivation: Derivation) -> str:
        """Add a tensor that follows from the weights of one layer, for all layers.

        Args:
            layer: the layer, and ``name`` the tensor's name, in the exported program.

        Returns:
            the name that this tensor now has.
        """
        self._derivations[name] = derivation
        return f"{self._plan.path}.{layer}.{name}"

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def __getitem__(self, name: str) -> Tensor:
        """A tensor in a storage of its own: a view of a larger one, such as a part of a joint
        projection, is copied, because delegates and ExecuTorch read storages.

        Raises:
            LayersDiffer: the model has no tensor of this name because lowering created it.
        """
        found = self._find(name)
        if found is None:
            raise LayersDiffer(f"'{name}' of the lowered graph is no tensor of the model")
        return found if found.untyped_storage().nbytes() == found.nbytes else found.clone()

    def _find(self, name: str) -> Tensor | None:
        if name in self._tensors:
            return self._tensors[name]
        layered = self._layered.match(name)
        if layered is not None and name[layered.end() :] in self._derivations:
            return self._derive(name, name[layered.end() :], int(layered[1]))
        inside = _INSIDE.match(name)
        if inside is None:
            return None
        owner = ".".join(filter(None, (inside["owner"], inside["name"])))
        if owner not in self._tensors:
            return None
        flat = flattened(self._tensors[owner])
        at = int(inside["at"])
        return flat[at] if at < len(flat) else None

    def _derive(self, name: str, template: str, layer: int) -> Tensor:
        if name not in self._derived:
            derivation = self._derivations[template]
            self._derived[name] = derivation(lambda source: self[self.moved(source, layer)])
        return self._derived[name]


def flattened(tensor: Tensor) -> list[Tensor]:
    """The plain tensors inside a tensor subclass, depth first; a plain tensor is itself."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return [tensor]
    names, _ = tensor.__tensor_flatten__()
    return [plain for name in names for plain in flattened(getattr(tensor, name))]


def same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors have the same bytes."""
    if a.data_ptr() == b.data_ptr() and a.shape == b.shape and a.dtype == b.dtype:
        return True
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
