"""What the manifest says of a bundle that embeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime_py.embedding.similarity import SIMILARITIES
from runtime_py.errors import ArgumentError, BundleRuntimeError, shown

STANDARD_PROMPTS = ("query", "document")
"""Names that every bundle knows; without a prefix of that name nothing is put before a text."""


@dataclass(frozen=True)
class EmbedSettings:
    """``task.settings`` of a manifest.

    Attributes:
        dimensions: size D of an embedding.
        max_length: most tokens of a text.
        max_batch: most texts of a call of the program.
        lengths: fixed lengths, ascending, with a method of the program each; none: any length up
            to ``max_length``.
        dynamic: whether a call may have fewer texts than ``max_batch``.
        pooling: how the program makes one vector of a text's tokens.
        normalize: whether embeddings have length 1.
        matryoshka: dimensions to which an embedding may be cut (arXiv:2205.13147).
        prompts: name -> text before each text.
        similarity: cosine, dot, euclidean or manhattan.
        pad_id, pad_side: of texts that are shorter than others of their batch.
    """

    dimensions: int
    max_length: int
    max_batch: int
    lengths: tuple[int, ...]
    dynamic: bool
    pooling: str
    normalize: bool
    matryoshka: tuple[int, ...]
    prompts: Mapping[str, str]
    similarity: str
    pad_id: int
    pad_side: str

    @classmethod
    def parse(cls, entry: Mapping[str, Any], where: str, *, dynamic: bool) -> EmbedSettings:
        """
        Args:
            dynamic: whether the program's shapes may vary, by the manifest.

        Raises:
            BundleRuntimeError: a setting is missing or wrong.
        """
        for name, (good, what) in _KINDS.items():
            if name not in entry and name in _DEFAULTS:
                continue
            if name not in entry:
                raise BundleRuntimeError(f"the manifest's task.settings has no {name}", where=where)
            if not good(entry[name]):
                raise BundleRuntimeError(
                    f"the manifest's task.settings.{name} must be {what}, not {shown(entry[name])}",
                    where=where,
                )  # fmt: skip
        found = {name: entry.get(name, _DEFAULTS.get(name)) for name in _KINDS}
        fixed = () if dynamic else (found["max_length"],)
        found["lengths"] = tuple(found["lengths"] or fixed)
        found["matryoshka"] = tuple(found["matryoshka"] or ())
        return cls(**found, dynamic=dynamic)

    def method(self, length: int) -> tuple[str, int]:
        """(method, its length) for texts of up to ``length`` tokens."""
        if not self.lengths:
            return "forward", length
        fit = next(size for size in self.lengths if size >= length)
        return ("forward" if fit == self.lengths[-1] else f"forward_{fit}"), fit

    def prefix(self, prompt: str | None) -> str:
        """The text to put before each text: that of a name in ``prompts``, or ``prompt`` itself.

        Raises:
            ArgumentError: ``prompt`` is no text.
        """
        if prompt is None:
            return ""
        if not isinstance(prompt, str):
            raise ArgumentError(
                "prompt must be query, document, another name of the bundle's prompts, a text or "
                f"None, not {shown(prompt)}"
            )
        return self.prompts.get(prompt, "" if prompt in STANDARD_PROMPTS else prompt)

    def cut(self, dimensions: int | None) -> int:
        """The size of embeddings that a caller asks for.

        Raises:
            ArgumentError: the model was not trained to be cut there.
        """
        choices = sorted({*self.matryoshka, self.dimensions}, reverse=True)
        if dimensions is None:
            return self.dimensions
        if type(dimensions) is not int or dimensions not in choices:
            raise ArgumentError(
                f"dimensions must be one of {', '.join(map(str, choices))}, not "
                f"{shown(dimensions)}: to other sizes the model's embeddings cannot be cut"
                if len(choices) > 1 else
                f"dimensions must be {self.dimensions}, not {shown(dimensions)}: the model was not "
                "trained for embeddings that are cut"
            )  # fmt: skip
        return dimensions


def _size(value: Any) -> bool:
    return type(value) is int and value >= 1


def _sizes(value: Any) -> bool:
    good = value is None or (isinstance(value, list) and all(map(_size, value)))
    return good and list(value or ()) == sorted(set(value or ()))


def _sizes_in_any_order(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(map(_size, value)))


def _texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(word, str) for pair in value.items() for word in pair
    )


_KINDS: dict[str, tuple[Any, str]] = {
    "dimensions": (_size, "a whole number from 1"),
    "max_length": (_size, "a whole number from 1"),
    "max_batch": (_size, "a whole number from 1"),
    "lengths": (_sizes, "null or a list of ascending lengths"),
    "pooling": (lambda value: isinstance(value, str), "a text"),
    "normalize": (lambda value: isinstance(value, bool), "true or false"),
    "matryoshka": (_sizes_in_any_order, "null or a list of sizes"),
    "prompts": (_texts, "an object of texts"),
    "similarity": (lambda value: value in SIMILARITIES, f"one of {', '.join(SIMILARITIES)}"),
    "pad_id": (lambda value: type(value) is int and value >= 0, "a token id"),
    "pad_side": (lambda value: value in ("left", "right"), "left or right"),
}
_DEFAULTS: dict[str, Any] = {
    "lengths": None, "matryoshka": None, "prompts": {}, "similarity": "cosine", "pad_id": 0,
    "pad_side": "right", "pooling": "", "normalize": True,
}  # fmt: skip
