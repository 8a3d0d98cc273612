"""The parts of a vision-language model of transformers: shallow copies of the whole that share its
tensors and keep its names, each without the modules of the other.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, NamedTuple

from torch import nn

from llm_export.compat.partial_modules import kept, without
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
    try:
        decoder, head = hf.get_decoder(), hf.get_output_embeddings()
        table = hf.get_input_embeddings()
    except Exception as error:  # some models have no such parts, and say so in their own ways
        line = next(iter(str(error).splitlines()), "")
        raise CheckpointError(
            f"{type(hf).__name__} does not say which of its parts is the language model "
            f"({type(error).__name__}: {line})",
            where="model.config.model_type",
        ) from None
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


def at_path(path: str, module: nn.Module) -> nn.Module:
    """A module that has ``module`` under this name, and nothing else."""
    for name in reversed(path.split(".")):
        holder = nn.Module()
        holder.add_module(name, module)
        module = holder
    return module
