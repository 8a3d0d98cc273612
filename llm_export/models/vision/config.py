"""Config of a vision-language model: that of its decoder, its tower and its projector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llm_export.models.config import DecoderConfig

Size = tuple[int, int]
"""Height and width."""

GRID = "token_grid"
"""Of a config's settings: rows and columns of an image's tokens, where positions count them."""

ROTATE_INSIDE = {"attention_sink"}
"""Kinds of attention that rotate by the slot of a cache: the cores with ``rotates_inside``."""


@dataclass(frozen=True)
class EncoderConfig:
    """A stack of pre-norm transformer layers in which every position attends to every other.

    Attributes:
        activation: a name from ``components.feed_forward.ACTIVATIONS``.
        eps: of the layer norms.
    """

    hidden: int
    ffn: int
    layers: int
    heads: int
    activation: str
    eps: float


@dataclass(frozen=True)
class TowerConfig:
    """A vision transformer (arXiv:2010.11929) for images of one size.

    Attributes:
        kind: a name of ``towers.TOWERS``.
        patch: side of a patch, in pixels.
        image: size of the images, in pixels.
        table: positions of the learned table, rows and columns.
        feature_layer: number of layers that run; the others are left out. None: all of them.
        norm_last: whether the features pass the tower's last norm.
    """

    kind: str
    encoder: EncoderConfig
    patch: int
    image: Size
    table: Size
    channels: int = 3
    feature_layer: int | None = None
    norm_last: bool = True

    @property
    def grid(self) -> Size:
        """Rows and columns of patches."""
        return self.image[0] // self.patch, self.image[1] // self.patch


@dataclass(frozen=True)
class ProjectorConfig:
    """From the tower's features to embeddings of the decoder.

    Attributes:
        kind: a name of ``projectors.PROJECTORS``.
        grid: rows and columns of the tower's features.
        inputs: size of a feature.
        outputs: size of an embedding.
        factor: rows, and columns, of features that become one embedding.
        inner: size of the inner layer, where there is one.
        activation: after the inner layer.
        norm_eps: of a norm at the input; None: there is no norm.
        bias: whether linears have one.
    """

    kind: str
    grid: Size
    inputs: int
    outputs: int
    factor: int = 1
    inner: int | None = None
    activation: str = "gelu"
    norm_eps: float | None = None
    bias: bool = True

    @property
    def tokens(self) -> int:
        """Embeddings of an image."""
        rows, columns = self.grid
        return (rows // self.factor) * (columns // self.factor)


@dataclass(frozen=True)
class VisionConfig:
    """
    Attributes:
        family: see ``families.VISION_FAMILIES``.
        tower, projector: frozen configs with the attribute ``kind``.
        image_size: of an image, or of a tile of one, in pixels.
        tokens_per_image: embeddings of an image or tile.
        image_token_id: of the token that stands in a prompt for one embedding of an image.
        bidirectional: whether the tokens of an image attend to each other in both directions.
        settings: further facts of the prompt format, as a runtime's settings.
    """

    family: str
    language: DecoderConfig
    tower: Any
    projector: Any
    image_size: Size
    tokens_per_image: int
    image_token_id: int
    bidirectional: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def takes_step_inputs(language: DecoderConfig, bidirectional: bool) -> bool:
    """Whether a decoder takes any of ``step_inputs``; said without importing torch."""
    return (
        bidirectional
        or any(rope.streams for rope in language.ropes)
        or any(layer.addition is not None for layer in language.layers)
    )


def kinds_for(
    config: DecoderConfig, kinds: tuple[str, ...], bidirectional: bool = False
) -> tuple[str, ...]:
    """Those of ``kinds`` of attention that a program with ``step_inputs`` can have: not those that
    rotate by the slot of a cache, and for ``attend_until`` not those whose masks are inputs.
    """
    if not takes_step_inputs(config, bidirectional):
        return kinds
    without = {*ROTATE_INSIDE, "static_io"} if bidirectional else ROTATE_INSIDE
    return tuple(kind for kind in kinds if kind not in without)
