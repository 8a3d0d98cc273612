"""Configs of towers and projectors that are of one family each. Families read them, so they import
no torch."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.models.config import NormConfig
from llm_export.models.vision.config import Size


@dataclass(frozen=True)
class InternViTConfig:
    """
    Attributes:
        image: size of the images, in pixels.
        patch: side of a patch, in pixels.
        norm: of the blocks.
        bias: whether queries, keys and values have one.
        qk_norm: whether they are normed, over all heads.
        placed: whether patches have learned positions.
        norm_last: whether a layer norm follows the last block.
    """

    image: Size
    patch: int
    channels: int
    hidden: int
    heads: int
    ffn: int
    layers: int
    activation: str
    norm: NormConfig
    bias: bool = False
    qk_norm: bool = False
    placed: bool = True
    norm_last: bool = False
    kind: str = "internvit"

    @property
    def grid(self) -> Size:
        """Rows and columns of patches."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    def __post_init__(self) -> None:
        if self.hidden % self.heads:
            raise ValueError(f"{self.hidden} channels do not divide among {self.heads} heads")


@dataclass(frozen=True)
class Qwen3VLTowerConfig:
    """
    Attributes:
        patch: side of a patch, in pixels.
        image: size of the images, in pixels.
        merge: patches a side of a block that becomes one token.
        table: learned positions, of a square grid.
        taps: layers whose results are projected too, and added after layers of the decoder.
        theta: of the RoPE by rows and columns.
    """

    image: Size
    channels: int
    patch: int
    hidden: int
    heads: int
    ffn: int
    layers: int
    activation: str
    merge: int
    table: int
    taps: tuple[int, ...] = ()
    theta: float = 10000.0
    kind: str = "qwen3_vl"

    @property
    def grid(self) -> Size:
        """Rows and columns of patches."""
        return self.image[0] // self.patch, self.image[1] // self.patch

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 4:
            raise ValueError(
                f"{self.hidden} channels in {self.heads} heads cannot be rotated by row and column"
            )
        if round(self.table**0.5) ** 2 != self.table:
            raise ValueError(f"num_position_embeddings={self.table} is not a square number")
        if list(self.taps) != sorted({i for i in self.taps if 0 <= i < self.layers}):
            raise ValueError(
                f"deepstack_visual_indexes={list(self.taps)} are not layers of {self.layers}, in "
                "order"
            )


@dataclass(frozen=True)
class BlockProjectorConfig:
    """
    Attributes:
        grid: rows and columns of the tower's features.
        inputs: size of a feature.
        outputs: size of an embedding.
        merge: features a side of a block that becomes one embedding.
        taps: how many further results the tower has.
    """

    grid: Size
    inputs: int
    outputs: int
    merge: int
    taps: int = 0
    kind: str = "blocks"

    @property
    def token_grid(self) -> Size:
        """Rows and columns of an image's embeddings."""
        return self.grid[0] // self.merge, self.grid[1] // self.merge

    @property
    def tokens(self) -> int:
        return self.token_grid[0] * self.token_grid[1]
