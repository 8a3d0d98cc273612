"""Which layers attend to a window only, found by running the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from llm_export.compat.transformers_layers import causal_mask
from llm_export.compat.transformers_masks import distance_of, is_by_position, shown
from llm_export.models.hf.config import quietly
from llm_export.models.hf.probe import TOKENS, Seen, run_through
from llm_export.models.hf.rings import Windows

_NAME = "llm_export_windows"


@dataclass
class _Found:
    """Attributes:
    masks: [1, 1, S, T] of each kind of layer, with its window.
    windows: of each layer that called attention.
    unknown: whether a layer was given another mask, or one of another rule.
    """

    masks: list[tuple[Tensor, int | None]] = field(default_factory=list)
    windows: dict[int, int | None] = field(default_factory=dict)
    unknown: bool = False


def layer_windows(model: Any, context: int) -> Windows:
    """Windows shorter than the context, from one step through the model; its attention
    implementation is changed. Empty if it computes attention or masks in a way of its own.
    """
    found = _Found()

    def mask(**said: Any) -> Tensor:
        made, window = _mask(said), _window(said, context)
        found.masks.append((made, window))
        found.unknown = found.unknown or not is_by_position(said)
        return made

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Any = None, **kw: Any
    ) -> tuple[Tensor, None]:
        kinds = [window for made, window in found.masks if mask is not None and _same(made, mask)]
        found.unknown = found.unknown or (mask is not None and not kinds)
        widths = [width for width in kinds if width is not None]
        whole = not widths or len(widths) < len(kinds)
        found.windows[getattr(module, "layer_idx", -1)] = None if whole else max(widths)
        batch, heads, length, _ = query.shape
        return query.new_zeros(batch, length, heads, value.shape[-1]), None

    AttentionInterface.register(_NAME, attention)
    AttentionMaskInterface.register(_NAME, mask)
    try:
        with torch.no_grad(), quietly():
            model.set_attn_implementation(_NAME)
            run_through(model, Seen(max(context, TOKENS)))
    except Exception:  # library models may raise any exception
        return {}
    if found.unknown:
        return {}
    return {index: window for index, window in found.windows.items() if window is not None}


def _mask(said: dict[str, Any]) -> Tensor:
    """The library's mask; without values where its rule reads a tensor that has none."""
    plain = {"device": "cpu", "allow_is_causal_skip": False, "attention_mask": None}
    try:
        made: Tensor = causal_mask(**{**said, **plain})
    except RuntimeError:
        shape = (1, 1, said["q_length"], said["kv_length"])
        return torch.empty(shape, dtype=torch.bool, device="meta")
    return made


def _same(made: Tensor, taken: Any) -> bool:
    if taken is made or not isinstance(taken, Tensor) or made.is_meta or taken.is_meta:
        return taken is made
    return made.shape == taken.shape and torch.equal(made, taken)


def _window(said: dict[str, Any], context: int) -> int | None:
    """The window that a mask's rule keeps to at the positions where it might not. Of a rule that
    reads a tensor without values, that of the library.
    """
    window = distance_of(said)
    if window is None or window >= context:
        return None
    near = {0, 1, window - 1, window, window + 1, 2 * window - 1, 2 * window, context - 2}
    queries = torch.tensor(sorted(p for p in {*near, context - 1} if 0 <= p < context))
    keys = torch.arange(context)
    behind = queries[:, None] - keys
    within = (behind >= 0) & (behind < window)
    try:
        seen = shown(said, queries, keys)[0, 0]
    except RuntimeError:
        return window
    return None if bool((seen & ~within).any()) else window
