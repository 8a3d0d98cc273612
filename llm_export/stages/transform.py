"""Eager model -> the model as it will be exported."""

from __future__ import annotations

from collections import Counter

from tokenizers import Tokenizer
from torch import nn

from llm_export.config.checks import resolved_attention
from llm_export.config.schema import Recipe, SmoothConfig
from llm_export.errors import InputError
from llm_export.models.components.lora import FACTORS
from llm_export.models.contract import LanguageModel
from llm_export.models.definitions import DEFINITIONS
from llm_export.pipeline.artifacts import Loaded, Transformed
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import Choice, choose
from llm_export.stages.adapters import keep_apart, pairs_of
from llm_export.stages.text import read_text
from llm_export.transforms import fuse_projections, quantize
from llm_export.transforms.attention import exchange
from llm_export.transforms.base import Transform, run_transform
from llm_export.transforms.smooth import smooth

_WINDOW = 256
"""Tokens that calibration feeds at a time."""


def transform(artifact: Loaded, recipe: Recipe, ctx: RunContext) -> Transformed:
    """Fuse projections, exchange attention, quantize; each with its post-condition.

    Raises:
        PostConditionError: a transform did not do what it promises.
        RecipeError: a quantization rule does not fit the model.
    """
    model = artifact.model
    done: list[Transform] = []
    changed: dict[str, int] = {}

    def run(step: Transform) -> None:
        changed[step.name] = run_transform(step, model)
        done.append(step)

    known = DEFINITIONS.get(recipe.model.definition).transforms
    adapter = artifact.source.adapter
    # Found by the names that fusing takes away.
    lora = None if adapter is None else keep_apart(recipe, model, pairs_of(adapter))
    if recipe.runtime.fuse_projections and "fuse_projections" in known:
        run(fuse_projections.TRANSFORM)
    if lora is not None:
        run(lora)
    if recipe.quant.smooth is not None:
        run(smooth(_calibration(artifact, recipe.quant.smooth), recipe.quant.smooth.alpha))
    kind = resolved_attention(recipe)
    if kind != "plain":
        run(exchange(kind, **_cache_limits(kind, recipe)))
    choices = tuple(choose(model, recipe.quant.rules))
    predicted = predict_bytes(model, choices)
    if any(c.scheme != "none" for c in choices):
        run(quantize.by_choices(choices))
    model.init_buffers()  # calibration has filled the cache
    tied = model.facts.tied_embeddings
    ctx.note(
        transforms=changed,
        quantization=[c.as_dict() for c in choices],
        predicted_bytes=predicted,
        tied_embedding=_tied_remark(model, choices) if tied else None,
        remark=_remark(choices),
    )
    return Transformed(model, artifact.source, tuple(done), choices, predicted)


def _cache_limits(kind: str, recipe: Recipe) -> dict[str, int]:
    """What the layout of this kind of cache depends on."""
    if kind == "ring":
        return {"step_length": recipe.runtime.prefill_length}
    if kind == "endless":
        return {"sink_tokens": recipe.runtime.sink_tokens}
    return {}


def _calibration(artifact: Loaded, settings: SmoothConfig) -> list[list[int]]:
    """Windows of ids from the end of the text: verification reads it from the beginning."""
    tokenizer = Tokenizer.from_str(artifact.source.tokenizer.tokenizer_json)
    ids = tokenizer.encode(read_text(settings.text), add_special_tokens=False).ids
    if len(ids) < settings.tokens:
        raise InputError(
            f"the text has {len(ids)} tokens; smoothing asks for {settings.tokens}",
            where="quant.smooth.tokens",
            fix="fewer quant.smooth.tokens, or a longer quant.smooth.text",
        )
    ids = ids[-settings.tokens :]
    length = min(_WINDOW, artifact.model.context_length)
    return [ids[start : start + length] for start in range(0, len(ids), length)]


def predict_bytes(model: nn.Module, choices: tuple[Choice, ...]) -> int:
    """Bytes of all constants in the file: chosen matrices, other parameters, tables.

    Mutable buffers (the KV cache) are allocated at run time and not stored; the factors of an
    adapter are in a file of their own.
    """
    matrices = {f"{c.name}.weight" for c in choices}
    others = [
        p.numel() * p.element_size()
        for name, p in model.named_parameters(remove_duplicate=False)
        if name not in matrices and not name.endswith(FACTORS)
    ]
    tables = [
        b.numel() * b.element_size() for name, b in model.named_buffers() if "cache" not in name
    ]
    return sum(c.bytes for c in choices) + sum(others) + sum(tables)


def _tied_remark(model: LanguageModel, choices: tuple[Choice, ...]) -> str:
    modules = dict(model.named_modules())
    table = next((c.scheme for c in choices if modules[c.name] is model.input_embedding()), None)
    head = next((c.scheme for c in choices if c.name == model.head_name), None)
    return f"stored twice: once as a table to look up ({table}), once as the output matrix ({head})"


def _remark(choices: tuple[Choice, ...]) -> str:
    counts = Counter(c.scheme for c in choices)
    return ", ".join(f"{count} x {scheme}" for scheme, count in sorted(counts.items()))
