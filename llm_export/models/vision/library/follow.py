"""Find out what a vision-language model of transformers does with an image, by running it without
values: whether it becomes embeddings in the text, and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from llm_export.compat.transformers_images import features_of, one_image, unchecked
from llm_export.errors import CheckpointError
from llm_export.models.hf.config import quietly
from llm_export.models.vision.config import Size
from llm_export.models.vision.library.parts import Parts

_TEXT = 2  # tokens before and behind an image
_BESIDE = {"self", "pixel_values", "kwargs", "image_sizes"}


@dataclass(frozen=True)
class LibraryImages:
    """See ``ImageConfig``.

    Attributes:
        stacked: whether pixels have a dimension for the images of a text: [1, 1, 3, h, w].
        unused: names of modules that neither an image nor a text runs through.
    """

    image_size: Size
    tokens_per_image: int
    image_token_id: int
    stacked: bool
    unused: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


def refusal(hf: Any, why: str) -> CheckpointError:
    return CheckpointError(
        f"the generic tier cannot make a program of {type(hf).__name__} that sees: {why}",
        where="model.config.model_type",
        fix="model.task=generate exports a text model alone, where the library has it",
    )


def image_size(config: Any, stated: Size | None) -> Size:
    """Height and width that the model was trained with, unless another size is stated.

    Raises:
        CheckpointError: the config has none.
    """
    if stated is not None:
        return stated
    found = getattr(getattr(config, "vision_config", None), "image_size", None)
    if isinstance(found, int):
        return found, found
    if isinstance(found, list | tuple) and len(found) == 2:
        return int(found[0]), int(found[1])
    raise CheckpointError(
        f"the config of '{config.model_type}' does not say which size images have",
        where="model.task_options.image_size", fix="model.task_options.image_size=[HEIGHT,WIDTH]",
    )  # fmt: skip


def image_token(config: Any) -> int:
    for name in ("image_token_id", "image_token_index"):
        found = getattr(config, name, None)
        if isinstance(found, int):
            return found
    raise CheckpointError(
        f"the config of '{config.model_type}' names no token that stands for an image",
        where="model.config.image_token_id",
    )


def require_images_in_text(hf: Any) -> None:
    """
    Raises:
        CheckpointError: by the inputs that it takes, an image is more than embeddings of tokens.
    """
    encode = _encoder(hf)
    if encode is None:
        raise refusal(
            hf, "it has no get_image_features: its images do not become embeddings of tokens of a "
            "text, as where the decoder attends to the encoder",
        )  # fmt: skip
    needed = [
        name for name, each in inspect.signature(encode).parameters.items()
        if name not in _BESIDE and each.default is inspect.Parameter.empty
        and each.kind is not inspect.Parameter.VAR_KEYWORD
    ]  # fmt: skip
    grids = [name for name in inspect.signature(encode).parameters if "grid" in name]
    if needed or grids:
        names = ", ".join(dict.fromkeys([*needed, *grids]))
        raise refusal(
            hf, f"with each image it takes {names}; a program has images of one size, as pixels"
        )
    marks = [name for name in _taken(hf) if name.endswith("token_type_ids")]
    if marks:
        raise refusal(
            hf, f"it takes {marks[0]}, which of the text's tokens are an image: for attention in "
            "both directions, or positions of rows and columns (M-RoPE)",
        )  # fmt: skip


def _taken(hf: Any) -> list[str]:
    inner = getattr(hf, "model", hf)
    return [*inspect.signature(hf.forward).parameters, *inspect.signature(inner.forward).parameters]


def _encoder(hf: Any) -> Any:
    inner = getattr(hf, "model", None)
    return getattr(inner, "get_image_features", None) or getattr(hf, "get_image_features", None)


def sizes_of(hf: Any, pixels: Tensor) -> dict[str, Any]:
    """Height and width of the image [..., h, w], where a model needs to know them too."""
    asked = inspect.signature(_encoder(hf)).parameters.get("image_sizes")
    needed = asked is not None and asked.default is inspect.Parameter.empty
    return {"image_sizes": [list(pixels.shape[-2:])]} if needed else {}


def _features(hf: Any, pixels: Tensor, stacked: bool) -> tuple[list[Tensor], list[str]]:
    given = pixels[None] if stacked else pixels
    return features_of(_encoder(hf)(given, **sizes_of(hf, pixels)))


def encoded(hf: Any, pixels: Tensor, stacked: bool) -> Tensor:
    """[1, 3, h, w] -> [1, n, H] float32."""
    with one_image():
        found, _ = _features(hf, pixels, stacked)
        rows = [each.reshape(-1, each.shape[-1]) for each in found]
        return (rows[0] if len(rows) == 1 else torch.cat(rows))[None].float()


def followed(hf: Any, parts: Parts, stated: Size | None = None) -> LibraryImages:
    """What is known of the images of a model without values.

    Args:
        stated: size of an image, where it is not the usual one.

    Raises:
        CheckpointError: its language model gets more than embeddings of an image.
    """
    require_images_in_text(hf)
    token, size = image_token(hf.config), image_size(hf.config, stated)
    width = int(hf.config.get_text_config(decoder=True).hidden_size)
    pixels = torch.zeros(1, 3, *size, device=hf.device)
    stacked, count = _stacked(parts.vision, pixels, width, stated)
    unused = _unused(parts.vision, pixels, stacked)
    _require_same_call(hf, pixels[None] if stacked else pixels, token, count, width)
    return LibraryImages(size, count, token, stacked, unused)


def _stacked(vision: Any, pixels: Tensor, width: int, stated: Size | None) -> tuple[bool, int]:
    """(whether pixels are stacked, tokens of an image)"""
    failures = []
    for stacked in (False, True):
        try:
            with torch.no_grad(), quietly(), unchecked(), one_image():
                found, more = _features(vision, pixels, stacked)
        except Exception as error:  # each model fails in its own way
            failures.append(error)
            continue
        if more:
            raise refusal(vision, f"with an image's embeddings it returns {', '.join(more)}")
        if found and all(each.shape[-1] == width for each in found):
            return stacked, sum(each.shape[:-1].numel() for each in found)
        failures.append(ValueError("features have another width than the text"))
    # Pixels of the wrong form are no reason.
    told = failures[1] if "values to unpack" in str(failures[0]) else failures[0]
    line = next(iter(str(told).splitlines()), "")
    height, width = pixels.shape[2:]
    why = f"one image of {height} x {width} alone ({type(told).__name__}: {line})"
    if stated is not None:
        raise CheckpointError(
            f"the vision encoder of {type(vision).__name__} does not run on {why}",
            where="model.task_options.image_size", fix="the size that the model was trained with",
        ) from told  # fmt: skip
    raise refusal(vision, f"its vision encoder does not run on {why}") from told


def _unused(vision: Any, pixels: Tensor, stacked: bool) -> tuple[str, ...]:
    """Names of modules that no image runs through, such as a decoder of images."""
    called: set[int] = set()
    hooks = [
        module.register_forward_pre_hook(lambda module, inputs: called.add(id(module)))
        for module in vision.modules()
    ]
    try:
        with torch.no_grad(), quietly(), unchecked():
            encoded(vision, pixels, stacked)
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for prefix, node in (("", vision), ("model.", getattr(vision, "model", None))):
        for name, child in () if node is None else node.named_children():
            silent = not any(id(each) in called for each in child.modules())
            if silent and name != "model" and next(child.parameters(), None) is not None:
                found.append(prefix + name)
    return tuple(found)


class _Called(Exception):
    """With what the language model was called."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        super().__init__()
        self.given = given


def _require_same_call(hf: Any, pixels: Tensor, token: int, count: int, width: int) -> None:
    """
    Raises:
        CheckpointError: the language model gets something of an image beside embeddings.
    """
    ids = torch.full((1, count + 2 * _TEXT), token, dtype=torch.int64, device=hf.device)
    seeing = _given(hf, input_ids=ids, pixel_values=pixels, **sizes_of(hf, pixels))
    reading = _given(hf, inputs_embeds=torch.zeros(1, ids.shape[1], width, device=hf.device))
    for name in sorted({*seeing, *reading}):
        if _form(seeing.get(name)) != _form(reading.get(name)):
            raise refusal(hf, f"its language model takes '{name}' of a text with an image")
    positions = seeing.get("position_ids")
    if isinstance(positions, Tensor) and positions.dim() > 2:
        raise refusal(hf, "its language model takes positions of rows and columns (M-RoPE)")


def _given(hf: Any, **inputs: Any) -> Mapping[str, Any]:
    decoder = hf.get_decoder()

    def called(*args: Any, **given: Any) -> None:
        raise _Called({**{f"input {i}": each for i, each in enumerate(args)}, **given})

    decoder.forward = called
    try:
        with torch.no_grad(), quietly(), unchecked(), one_image():
            hf(**inputs, use_cache=False)
    except _Called as found:
        return found.given
    except Exception as error:  # each model fails in its own way
        line = next(iter(str(error).splitlines()), "")
        raise refusal(
            hf, f"what it gives its language model cannot be followed ({type(error).__name__}: "
            f"{line})",
        ) from error  # fmt: skip
    finally:
        del decoder.forward
    raise refusal(hf, "what it gives its language model cannot be followed")


def _form(value: Any) -> Any:
    """What of an argument can differ between two calls: a tensor's shape, any other's value."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {key: _form(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_form(each) for each in value]
    return None if isinstance(value, nn.Module) else value
