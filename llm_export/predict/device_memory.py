"""The memory that a process needs to run a program, from shapes alone.

Delegates copy the weights of the matrix products that they take into a layout of their own; the
pages of the file that they were read from are free then. Products outside delegates read the
mapped file. So matrices are resident once, and for a moment the largest one twice. A lookup in an
embedding reads the rows of its tokens. ``docs/fit.md`` compares this with measured processes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

from llm_export.backends.attention_scores import CHUNK, delegates_prefill, held_scores, most_keys
from llm_export.config.quant_schema import ModuleKind
from llm_export.config.schema import AttentionKind, LogitsKind, filled
from llm_export.predict.model_shapes import decoder_shapes
from llm_export.predict.shapes import DecoderShapes
from llm_export.predict.size import bytes_with, cache_bytes, resolve_rules
from llm_export.quant.layer_spec import layer_of
from llm_export.resolve.attention import BFLOAT16, INT8
from llm_export.resolve.recipe import ResolvedRecipe

_FLOAT = 4
_PADDING = 1.1
"""Packed bytes of a matrix to those in the file, at most: rows and groups are padded."""
_KEPT = 3
"""A step's scores are held as products, as softmax and in a copy."""
_FUSED = ("custom_op", INT8[AttentionKind.custom_op])
"""Attention kinds that keep no scores."""
_BRANCHED = ("custom_op_by_head", BFLOAT16)
"""Kinds whose scores are held a head at a time where they are many, unless the fused operator
computes them (``delegates_prefill``)."""
_COPIED = 10
"""Bytes of a key's or value's channel: as cut from a cache in bfloat16, in float32, and packed."""
RUNTIME = 32_000_000
"""Bytes of tokenizer, method and delegates' graphs, beside their weights."""

BASIS = (
    "the matrices once, as delegates pack them or as they are in the mapped file, without tables "
    "of embeddings, which are read row by row; the KV caches of a whole context; activations of a "
    "step of a prompt; 32 MB for tokenizer and graphs. Measured for XNNPACK on Linux. Not in it: "
    "libraries, and the rest of the app."
)


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes.

    Attributes:
        program: of the .pte, on disk.
        weights: of it, what is resident.
        caches: keys, values and recurrent states of a whole context.
        activations: of a step of a long prompt, or the largest matrix while it is packed.
    """

    program: int
    weights: int
    caches: int
    activations: int

    @property
    def whole(self) -> int:
        """Resident at most."""
        return self.weights + self.caches + self.activations + RUNTIME

    def as_dict(self) -> dict[str, int]:
        return {**asdict(self), "runtime": RUNTIME, "whole": self.whole}


def device_memory(resolved: ResolvedRecipe) -> DeviceMemory | None:
    """None where the shapes of the model's layers are not known before it is loaded (the generic
    tier).

    Raises:
        CheckpointError: the model's option is not understood.
    """
    model = decoder_shapes(resolved)
    if model is None:
        return None
    choices = resolve_rules(model, resolved)
    program = bytes_with(model, resolved.recipe, choices)
    # A table that shares the head's integers has none of its own.
    tables = sum(c.bytes for c in choices if c.kind is ModuleKind.embedding)
    products = [c.bytes for c in choices if c.kind is not ModuleKind.embedding]
    return DeviceMemory(
        program,
        weights=max(0, program - tables) + int((_PADDING - 1) * sum(products)),
        caches=cache_bytes(model, resolved, choices),
        activations=_planned(model, resolved) + max(_scores(model, resolved), *products),
    )


def _planned(model: DecoderShapes, resolved: ResolvedRecipe) -> int:
    """What ExecuTorch plans for the longest step: the results of a layer's products, and as much
    for what is computed of them; and the logits."""
    step, widths = resolved.methods.prefill_length, Counter[int]()
    for matrix in model.matrices:
        layer = layer_of(matrix.name)
        # A token runs through few of the experts; their results are as wide as those of one.
        if layer is not None and (".experts." not in matrix.name or ".experts.0." in matrix.name):
            widths[layer] += matrix.rows
    logits = step if resolved.recipe.runtime.logits is LogitsKind.all else 1
    return _FLOAT * (2 * step * max(widths.values(), default=0) + logits * model.vocab_size)


def _scores(model: DecoderShapes, resolved: ResolvedRecipe) -> int:
    """Of attention, in one layer, and the copies of its keys and values."""
    branched = resolved.attention in _BRANCHED
    fused = branched and not delegates_prefill(resolved, resolved.backend.options)
    if fused or resolved.attention in _FUSED:
        return 0
    context = filled(resolved.recipe.runtime.context_length)
    step = min(CHUNK, resolved.methods.prefill_length)
    most = 0
    for config in (kind.attention for kind in model.kinds):
        if config is None:
            continue
        if branched:
            group = config.num_heads // config.num_kv_heads
            keys = most_keys(config.num_kv_heads, config.head_dim, context)
            held = held_scores(config.num_kv_heads, group, step, keys)
            copies = 2 * _COPIED * config.num_kv_heads * config.head_dim * keys
            most = max(most, held.peak(step, keys) + copies)
        else:
            most = max(most, _KEPT * _FLOAT * config.num_heads * step * context)
    return most
