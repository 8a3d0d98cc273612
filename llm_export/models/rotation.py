"""Which decoders are invariant under a rotation of the residual stream. Config only, no torch."""

from __future__ import annotations

from llm_export.models.config import DecoderConfig


def residual_refusal(config: DecoderConfig) -> str | None:
    """Why the residual stream cannot be rotated, or None if it can.

    Everything added to the stream must be the output of a linear, so that its rows can be rotated.
    All readers must be behind a norm without a gain: |xQ| = |x|, but g * (xQ) is not (g * x) Q.
    """
    for index, layer in enumerate(config.layers):
        if layer.kind not in ("pre", "parallel"):
            return (
                f"layer {index} has norms after attention and feed-forward, and their gains lie "
                "between the matrices and the residual stream"
            )
    kinds = {config.norm.kind, *(layer.norm.kind for layer in config.layers)}
    if len(kinds) > 1:
        return f"its norms are of several kinds ({', '.join(sorted(kinds))})"
    return None
