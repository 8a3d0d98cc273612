"""The parts of a vision-language model of transformers: shallow copies of the whole that share its
tensors and keep its names, each without the modules of the other.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from llm_export.errors import CheckpointError


class Parts(NamedTuple):
    """
    Attributes:
        text: the whole without what encodes images; its ``forward`` takes ``inputs_embeds``.
        vision: the whole without its language model, for ``get_image_features``.
    """

    text: Any
    vision: Any


def split(hf: Any, unused: Collection[str] = ()) -> Parts:
    """
    Args:
        unused: names of modules that neither part needs.

    Raises:
        CheckpointError: no module of it is the language model alone.
    """
    decoder, head = hf.get_decoder(), hf.get_output_embeddings()
    table = hf.get_input_embeddings()
    wanted = (decoder, head, table)
    names = [name for name, module in hf.named_modules() if any(module is w for w in wanted)]
    if decoder is None or decoder is hf or decoder is getattr(hf, "model", None):
        raise CheckpointError(
            f"{type(hf).__name__} has no language model apart from what encodes images",
            where="model.config.model_type",
        )
    text = kept(hf, names)
    config = copy.deepcopy(hf.config)  # the attention of the text is set there, not of the tower
    inner = [name.split(".")[:i] for name in names for i in range(name.count(".") + 1)]
    for path in {".".join(each) for each in inner}:
        node: Any = text.get_submodule(path)
        if getattr(node, "config", None) is hf.config and node not in wanted:
            node.config = config
    return Parts(text, without(hf, [*names, *unused]))


def kept(module: nn.Module, names: Collection[str]) -> Any:
    """A copy with the submodules of these names and those that hold them."""
    made = _copied(module)
    for child_name, child in module._modules.items():
        inner = _below(child_name, names)
        if child_name in names:
            made._modules[child_name] = child
        elif inner and child is not None:
            made._modules[child_name] = kept(child, inner)
    return made


def without(module: nn.Module, names: Collection[str]) -> Any:
    """A copy without the submodules of these names."""
    made = _copied(module)
    for child_name, child in module._modules.items():
        inner = _below(child_name, names)
        if child_name not in names:
            copies = inner and child is not None
            made._modules[child_name] = without(child, inner) if copies and child else child
    return made


def _below(name: str, names: Collection[str]) -> list[str]:
    return [each.removeprefix(f"{name}.") for each in names if each.startswith(f"{name}.")]


def _copied(module: nn.Module) -> nn.Module:
    made = copy.copy(module)
    made._modules = {}
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    return made


def at_path(path: str, module: nn.Module) -> nn.Module:
    """A module that has ``module`` under this name, and nothing else."""
    for name in reversed(path.split(".")):
        holder = nn.Module()
        holder.add_module(name, module)
        module = holder
    return module
