"""The text model of a composed checkpoint, such as Gemma 3 with vision.

Its config stands in that of the whole (see ``composed_config``), and its tensors have longer names:
``language_model.model.layers...``, or ``model.language_model.layers...`` since transformers 4.52.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors, remarks_of
from llm_export.checkpoints.composed_config import (
    TextConfig,
    placeholders,
    text_config_of,
)
from llm_export.checkpoints.shards import TIED
from llm_export.checkpoints.spans import Span
from llm_export.checkpoints.tied import has_own_head
from llm_export.errors import CheckpointError, LlmExportError
from llm_export.tokenizers.base import TokenizerAssets

_EMBED = re.compile(
    r"(?P<prefix>(thinker\.)?((model|language_model|text_model)\.)+)embed_tokens\.weight"
)
_HEAD = "lm_head.weight"
_SIZES = {"64": 8, "32": 4, "16": 2, "8": 1}


class TextModel:
    """``whole`` as its text model alone, with the names and the config of one.

    Attributes:
        left_out: the names in ``whole`` of all other tensors.

    Raises:
        CheckpointError: the text model's tensors are not to be found.
    """

    naming = "hf"

    def __init__(self, whole: Checkpoint, text: TextConfig) -> None:
        self.whole, self._text = whole, text
        self.format = f"{whole.format}, text model"
        self.files: tuple[Path, ...] = whole.files
        names = whole.names()
        prefixes = {m["prefix"] for m in map(_EMBED.fullmatch, names) if m is not None}
        if len(prefixes) != 1:
            raise CheckpointError(
                f"the tensors of the text model are not to be found: {len(prefixes)} of them "
                "have the name of a token embedding",
                where=f"{text.where} of config.json, and the names of the tensors",
            )
        prefix = prefixes.pop()
        renamed = {n: f"model.{n.removeprefix(prefix)}" for n in names if n.startswith(prefix)}
        head = next((name for name in _heads(prefix) if name in names), None)
        if head is not None:
            renamed[head] = _HEAD
        self._renamed = renamed
        self.left_out = [name for name in names if name not in renamed]

    def config(self) -> Mapping[str, Any]:
        return self._config

    @cached_property
    def _config(self) -> dict[str, Any]:
        text = self._text.config
        spans: Mapping[str, Span] = getattr(self.whole, "spans", {})
        plain = {n: spans[stored] for stored, n in self._renamed.items() if stored in spans}
        tied = self._text.tied or bool(text.get(TIED))
        return {**text, TIED: tied and not has_own_head(self.names(), plain)}

    def names(self) -> list[str]:
        return list(self._renamed.values())

    def infos(self) -> Mapping[str, TensorInfo]:
        infos = describe_tensors(self.whole)
        return {name: infos[stored] for stored, name in self._renamed.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for stored, tensor in self.whole.tensors():
            if stored in self._renamed:
                yield self._renamed[stored], tensor

    def tokenizer(self) -> TokenizerAssets:
        return self.whole.tokenizer()

    def remarks(self) -> tuple[str, ...]:
        return (*remarks_of(self.whole), *self._omitted(), *_ordinary(self.whole.config()))

    def _omitted(self) -> tuple[str, ...]:
        if not self.left_out:
            return ()
        infos = describe_tensors(self.whole)
        counts: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for name in self.left_out:
            counts[_part(name)] += 1
            sizes[_part(name)] += _bytes(infos[name])
        parts = ", ".join(f"{p} ({counts[p]} tensors, {_size(sizes[p])})" for p in counts)
        return (
            f"the text model alone is used: left out are {counts.total()} tensors, "
            f"{_size(sizes.total())}: {parts}",
        )


def text_model_of(checkpoint: Checkpoint) -> Checkpoint:
    """``checkpoint`` itself, unless its config.json is that of a composed model whose text model
    transformers builds as a language model.

    Raises:
        CheckpointError: the composed config is not valid, or the tensors are not to be found.
    """
    if checkpoint.naming != "hf":
        return checkpoint
    try:
        raw = checkpoint.config()
    except LlmExportError:
        return checkpoint  # whoever needs the config reports it
    text = text_config_of(raw)
    return checkpoint if text is None else TextModel(checkpoint, text)


def _heads(prefix: str) -> Iterator[str]:
    """Names that the output head may have, the nearest to the text model's first."""
    parts = prefix.split(".")[:-1]
    for count in range(len(parts), -1, -1):
        yield ".".join([*parts[:count], _HEAD])


def _part(name: str) -> str:
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first in ("model", "thinker") else first


def _bytes(info: TensorInfo) -> int:
    width = next((size for bits, size in _SIZES.items() if bits in info.dtype), 1)
    return math.prod(info.shape) * width


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _ordinary(raw: Mapping[str, Any]) -> tuple[str, ...]:
    found = placeholders(raw)
    if not found:
        return ()
    listed = ", ".join(f"{i} ({name})" for name, i in found.items())
    return (f"the tokens for inputs other than text are ordinary ones here: {listed}",)
