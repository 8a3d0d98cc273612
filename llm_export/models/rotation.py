"""Which decoders are invariant under which rotations. Config only, no torch."""

from __future__ import annotations

from llm_export.models.config import DecoderConfig, FeedForwardConfig


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


def rotation_refusals(config: DecoderConfig, *, r1: bool, r4: int | None) -> dict[str, str]:
    """Setting that the decoder excludes -> why."""
    found = {}
    why = residual_refusal(config) if r1 else None
    if why is not None:
        found["r1"] = f"the residual stream cannot be rotated: {why}"
    if r4 is not None:
        sizes = sorted({f.size for f in _networks(config)})
        if not sizes:
            found["r4"] = "the model has no feed-forward networks without experts"
        for size in sizes:
            if size % r4:
                found["r4"] = f"feed-forward networks of {size} channels have no blocks of {r4}"
    return found


def stays_tied(config: DecoderConfig, *, r1: bool, untied: bool) -> bool:
    """Whether embedding and output matrix are one weight, also after a rotation: R1 takes the mean
    that a layer norm subtracts out of the embedding, and the output matrix needs it."""
    parted = r1 and (untied or config.norm.kind == "layer")
    return config.tied_embeddings and not parted


def _networks(config: DecoderConfig) -> list[FeedForwardConfig]:
    found = [layer.feed_forward for layer in config.layers]
    return [f for f in found if isinstance(f, FeedForwardConfig)]
