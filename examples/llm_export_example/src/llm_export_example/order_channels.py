"""Order feed-forward channels by the size of their weights, so that groups hold like with like.

What a feed-forward network computes does not depend on the order of its inner channels. Weights
that are rounded in groups along the input do: a group's largest weight sets the scale of all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.config.schema import Recipe
from llm_export.transforms.base import NamedTransform

if TYPE_CHECKING:
    from llm_export.transforms.base import Transform

_MEASURES = ("largest", "mean")


@dataclass(frozen=True)
class Options:
    """``by``: what is compared of the weights that read a channel: largest or mean, absolute."""

    by: str = "largest"

    def __post_init__(self) -> None:
        if self.by not in _MEASURES:
            raise ValueError(f"by is one of {', '.join(_MEASURES)}, not {self.by!r}")


def make(options: Any, recipe: Recipe) -> Transform:
    # Here, because checks read the options and need no torch for that.
    from llm_export_example.channels import ordering

    return ordering(options.by)


TRANSFORM = NamedTransform(make, Options)
