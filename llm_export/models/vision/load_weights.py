"""Stream a composed checkpoint into a vision-language model on meta."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llm_export.checkpoints.base import Checkpoint, TensorInfo, describe_tensors
from llm_export.checkpoints.composed_config import text_config_of
from llm_export.checkpoints.text_model import TextModel
from llm_export.errors import CheckpointError
from llm_export.models.config import DecoderConfig
from llm_export.models.families.config_values import Family
from llm_export.models.load_weights import (
    Coverage,
    load_weights,
    plan_names,
    require_shapes,
)
from llm_export.models.vision.config import VisionConfig
from llm_export.models.vision.families.base import VisionFamily, text_family
from llm_export.models.vision.model import VisionLanguageModel
from llm_export.tokenizers.base import TokenizerAssets

if TYPE_CHECKING:
    from torch import Tensor, nn

Progress = Callable[[int, int], None]

_LANGUAGE = "language."


class Renamed:
    """Some tensors of a checkpoint, under other names."""

    def __init__(self, whole: Checkpoint, names: Mapping[str, str]) -> None:
        self.whole, self._names = whole, dict(names)
        self.naming, self.format = whole.naming, whole.format
        self.files: tuple[Path, ...] = whole.files

    def config(self) -> Mapping[str, Any]:
        return self.whole.config()

    def names(self) -> list[str]:
        return list(self._names.values())

    def infos(self) -> Mapping[str, TensorInfo]:
        infos = describe_tensors(self.whole)
        return {name: infos[stored] for stored, name in self._names.items()}

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for stored, tensor in self.whole.tensors():
            if stored in self._names:
                yield self._names[stored], tensor

    def tokenizer(self) -> TokenizerAssets:
        return self.whole.tokenizer()


def load_vision_weights(
    model: VisionLanguageModel,
    family: VisionFamily,
    config: Mapping[str, Any],
    checkpoint: Checkpoint,
    progress: Progress = lambda done, total: None,
) -> Coverage:
    """Assign every tensor to its parameter, in float32, one at a time: the decoder's by the names
    of its own family, the others by ``family``.

    Args:
        config: config.json of the whole, as dict.
        checkpoint: the whole or, as ``open_checkpoint`` returns it, its text model.

    Raises:
        CheckpointError: as ``load_weights``; or the checkpoint is not composed.
    """
    whole: Checkpoint = getattr(checkpoint, "whole", checkpoint)
    text, rest = _split(whole, family)
    parts = (text, rest)
    count = sum(len(part.names()) for part in parts)

    def of_text(done: int, total: int) -> None:
        progress(done, count)

    def of_rest(done: int, total: int) -> None:
        progress(len(text.names()) + done, count)

    decoder = text_family(config, family.text)
    language = model.config.language
    first = load_weights(model.language, decoder, language, text, of_text)
    second = load_weights(model.vision, _as_family(family), _untied(model.config), rest, of_rest)
    return Coverage(
        used=first.used + second.used,
        ignored=[*first.ignored, *second.ignored],
        tied=[_LANGUAGE + name for name in first.tied],
        parameters=first.parameters + second.parameters,
    )


def require_fit(
    model: VisionLanguageModel,
    family: VisionFamily,
    config: Mapping[str, Any],
    checkpoint: Checkpoint,
) -> int:
    """Compare names and shapes without reading values; returns the number of used tensors.

    Raises:
        CheckpointError: as ``load_vision_weights``.
    """
    used = 0
    text, rest = _split(getattr(checkpoint, "whole", checkpoint), family)
    parts: tuple[tuple[nn.Module, Family, DecoderConfig, Checkpoint], ...] = (
        (model.language, text_family(config, family.text), model.config.language, text),
        (model.vision, _as_family(family), _untied(model.config), rest),
    )
    for part, its_family, its_config, stored in parts:
        named = part.named_parameters(remove_duplicate=False)
        shapes = {name: tuple(p.shape) for name, p in named}
        infos = describe_tensors(stored)
        plan = plan_names(shapes, its_family, its_config, stored.naming, list(infos))
        if its_family.restore.get(stored.naming) is None:
            require_shapes(plan, {name: info.shape for name, info in infos.items()}, shapes)
        used += len(plan.used)
    return used


def _split(whole: Checkpoint, family: VisionFamily) -> tuple[Checkpoint, Checkpoint]:
    """(the tensors of the decoder, those of tower and projector)."""
    if whole.naming == "model":
        names = whole.names()
        text = {n: n.removeprefix(_LANGUAGE) for n in names if n.startswith(_LANGUAGE)}
        return Renamed(whole, text), Renamed(whole, {n: n for n in names if n not in text})
    found = text_config_of(whole.config()) if whole.naming == "hf" else None
    if found is None:
        raise CheckpointError(
            "the checkpoint is not that of a vision-language model",
            where=str(whole.files[0]) if whole.files else "",
            fix="give the Hugging Face folder of the whole model: checkpoint.path=FOLDER",
        )
    text_model = TextModel(whole, found)
    others = {name: family.part_name(name) or name for name in text_model.left_out}
    return text_model, Renamed(whole, others)


def _as_family(family: VisionFamily) -> Family:
    """What ``load_weights`` reads of a family, for tower and projector."""

    def restore(name: str, tensor: Tensor, part: Any) -> Tensor:
        return tensor if family.restore is None else family.restore(name, tensor, part.config)

    return Family(
        name=family.name,
        architecture=family.architecture,
        from_hf=lambda config: family.read(config).language,
        keys={"hf": family.keys},
        tiny={},
        restore={} if family.restore is None else {"hf": restore},
        ignored=lambda name, part: family.ignored(name, cast(Any, part).config),
    )


class _Untied:
    """The config of a part that ties nothing."""

    tied_embeddings = False

    def __init__(self, config: VisionConfig) -> None:
        self.config = config


def _untied(config: VisionConfig) -> DecoderConfig:
    return cast(DecoderConfig, _Untied(config))
