"""The interface of families of vision-language models."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families import FAMILIES
from llm_export.models.families.config_values import ConfigReader, Family
from llm_export.models.families.keymap import KeyMap
from llm_export.models.vision.config import Size, VisionConfig

if TYPE_CHECKING:
    from torch import Tensor

Restore = Callable[[str, "Tensor", VisionConfig], "Tensor"]


@dataclass(frozen=True)
class VisionFamily:
    """
    Attributes:
        name: ``model_type`` of config.json.
        architecture: name in config.json's ``architectures``.
        text: family of the decoder where ``text_config`` names none.
        from_hf: (config.json as dict, image size in pixels or None for the usual one) -> config.
        prefixes: patterns of the checkpoint's prefixes -> tower or projector, the first that fits.
        keys: names below these prefixes, as in ``tower.layers...`` <-> the model's.
        restore: (the model's name, tensor, config) -> the tensor in the model's layout.
        ignored: whether a tensor, by its name below these prefixes, is left out on purpose, where
            that depends on the config; ``keys`` has the others.
        text_unused: keys of published ``text_config``s that nothing reads.
        plain_text: ``text_config`` -> the same as the decoder's family reads it, for text alone.
        tiny: values of a small member, for tests: part of config.json ("": outside parts) ->
            key -> value.
    """

    name: str
    architecture: str
    text: str
    from_hf: Callable[[Mapping[str, Any], Size | None], VisionConfig]
    prefixes: tuple[tuple[str, str], ...]
    keys: KeyMap
    restore: Restore | None = None
    ignored: Callable[[str, VisionConfig], bool] = lambda name, config: False
    text_unused: tuple[str, ...] = ()
    plain_text: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    tiny: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def read(self, config: Mapping[str, Any], image_size: Size | None = None) -> VisionConfig:
        """``from_hf``, with an error for values that do not fit each other.

        Raises:
            CheckpointError: the family does not implement the config, or it is not valid.
        """
        try:
            read = self.from_hf(config, image_size)
        except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
            raise CheckpointError(
                f"a value does not fit: {type(error).__name__}: {error}", where="model.config"
            ) from None
        if read.image_token_id >= read.language.vocab_size:
            raise CheckpointError(
                f"the image token {read.image_token_id} is none of the vocabulary's "
                f"{read.language.vocab_size} ids",
                where="model.config.image_token_id",
            )
        return read

    def part_name(self, name: str) -> str | None:
        """A checkpoint's name with ``tower.`` or ``projector.`` for its prefix; None: neither."""
        for pattern, part in self.prefixes:
            match = re.match(pattern, name)
            if match is not None:
                return f"{part}.{name[match.end() :]}"
        return None


def text_family(config: Mapping[str, Any], default: str) -> Family:
    """The decoder's family, by ``model_type`` of ``text_config``."""
    return FAMILIES.get(str(_text(config).get("model_type", default)))


def read_text(
    config: Mapping[str, Any], default: str, *, tied: bool, unused: Sequence[str] = ()
) -> DecoderConfig:
    """The decoder's config.

    Args:
        default: its family where ``text_config`` names none.
        tied: whether embeddings are tied if the config does not say. What the composed config
            says precedes what ``text_config`` says.
        unused: keys of ``text_config`` that nothing reads.

    Raises:
        CheckpointError: as the family's ``from_hf``.
    """
    text = {key: value for key, value in _text(config).items() if key not in unused}
    outer = config.get("tie_word_embeddings")
    text["tie_word_embeddings"] = tied if outer is None else outer
    return text_family(config, default).read(text, "text_config of the model's config")


def completed(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A composed config.json with the values that its text config leaves out.

    Raises:
        CheckpointError: the config is not valid. MissingDependencyError: transformers, which
            completes it, is not installed.
    """
    from llm_export.checkpoints.composed_config import stream_keys, text_config_of

    found = text_config_of(raw)
    if found is None:
        return dict(raw)
    text = dict(found.config)
    if streams := stream_keys(raw):
        text["rope_parameters"] = {**(text.get("rope_parameters") or {}), **streams}
    return {**raw, "text_config": text, "tie_word_embeddings": found.tied}


def part(config: Mapping[str, Any], key: str, defaults: Mapping[str, Any]) -> ConfigReader:
    """A reader of the part ``key`` of a composed config, with what transformers takes for keys that
    it leaves out.

    Raises:
        CheckpointError: there is no such part.
    """
    stated = config.get(key)
    if not isinstance(stated, Mapping):
        raise CheckpointError(
            f"the model config lacks '{key}'",
            where="model.config or the checkpoint's config.json",
            fix="a vision-language model needs the config of its whole, not of its text model",
        )
    return ConfigReader(str(stated.get("model_type", key)), {**defaults, **stated})


def square(c: ConfigReader, key: str) -> int:
    """A side in pixels, which some configs write twice."""
    value = c.take(key)
    if isinstance(value, list | tuple) and len(set(value)) == 1:
        value = value[0]
    return c.counted(key, value)


def fits(image: Size, unit: int, why: str) -> Size:
    """``image`` if both its sides are multiples of ``unit``.

    Raises:
        CheckpointError: they are not.
    """
    if min(image) < 1 or image[0] % unit or image[1] % unit:
        raise CheckpointError(
            f"an image of {image[0]} x {image[1]} pixels does not divide into {why}",
            where="model.task_options.image_size",
            fix=f"height and width are multiples of {unit}",
        )
    return image


def _text(config: Mapping[str, Any]) -> Mapping[str, Any]:
    text = config.get("text_config")
    if not isinstance(text, Mapping):
        raise CheckpointError(
            "the model config lacks 'text_config'",
            where="model.config or the checkpoint's config.json",
            fix="a vision-language model needs the config of its whole, not of its text model",
        )
    return text
