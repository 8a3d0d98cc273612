"""Load a checkpoint into an eager model."""

from __future__ import annotations

from dataclasses import replace

from tokenizers import Tokenizer

from llm_export.bundle.processor_file import processor_json
from llm_export.checkpoints.base import Checkpoint, remarks_of
from llm_export.checkpoints.open import add_adapter, describe_source
from llm_export.config.schema import AdapterMode, LogitsKind, Recipe, filled
from llm_export.evaluation.eval_text import read_text
from llm_export.files import sha256_of
from llm_export.models.load_model import load_model
from llm_export.models.task import task_options
from llm_export.models.vision.families import VISION_FAMILIES
from llm_export.models.vision.options import SeeOptions
from llm_export.pipeline.artifacts import Loaded, Source, Start
from llm_export.pipeline.stage import RunContext
from llm_export.quant.blocks import one_thread
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.loaded_source import compare_loaded
from llm_export.stages.verification.metrics import window_count, windows
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.usable import usable_tokenizer


def load(artifact: Start, resolved: ResolvedRecipe, ctx: RunContext) -> Loaded:
    """Load the checkpoint into a model with plain attention. An adapter to be kept separate is
    attached by the transforms.

    Raises:
        CheckpointError: missing, damaged, of another architecture, or without a tokenizer.
        VerificationError: the C++ tokenizer that apps link does not take the tokenizer, or
            transformers reads something else of the checkpoint.
    """
    recipe = resolved.recipe
    separate = recipe.checkpoint.adapter_mode is AdapterMode.separate
    base = replace(recipe, checkpoint=replace(recipe.checkpoint, adapter=None))
    with one_thread():
        loaded = load_model(
            base if separate else recipe,
            attention="plain",
            context_length=filled(recipe.runtime.context_length),
            all_logits=recipe.runtime.logits is LogitsKind.all,
            progress=ctx.progress,
        )
    checkpoint, adapter = loaded.checkpoint, None
    if separate:
        checkpoint = add_adapter(checkpoint, recipe.checkpoint)
        adapter = checkpoint.adapter
    tokenizer = checkpoint.tokenizer()
    compare = recipe.verify.enabled and recipe.verify.tokenizer
    tokenizer, left_out = usable_tokenizer(
        tokenizer, loaded.model.metadata.vocab_size, compare=compare
    )
    require_enough_text(recipe, tokenizer)
    options = task_options(recipe)
    if isinstance(options, SeeOptions):
        # Now, because it is written only after minutes of lowering.
        processor_json(checkpoint, options.processor)
    digests = {str(path): sha256_of(path) for path in checkpoint.files}
    coverage = loaded.coverage
    remarks = [
        *remarks_of(checkpoint),
        *could_see(checkpoint),
        *left_out,
        *_generation_remarks(tokenizer),
    ]
    ctx.note(
        checkpoint=describe_source(recipe.checkpoint),
        format=checkpoint.format,
        files=digests,
        parameters=coverage.parameters,
        tensors_used=coverage.used,
        tensors_ignored=coverage.ignored,
        tensors_tied=coverage.tied,
        remarks=remarks,
        summary="; ".join(
            [f"{coverage.parameters / 1e6:.1f} M parameters from {checkpoint.format}", *remarks]
        ),
    )
    source = Source(
        checkpoint, tokenizer, loaded.model.metadata, coverage.parameters, digests, adapter
    )
    comparison = compare_loaded(recipe, source, loaded.model)
    if comparison is not None:
        ctx.note(source=str(comparison))
    return Loaded(loaded.model, replace(source, comparison=comparison))


def could_see(checkpoint: Checkpoint) -> tuple[str, ...]:
    """A remark on a text model that is part of a model whose whole can be exported."""
    base = getattr(checkpoint, "base", checkpoint)  # without an adapter
    whole = getattr(base, "whole", None)
    if whole is None or str(whole.config().get("model_type")) not in VISION_FAMILIES:
        return ()
    return ("model.task=see exports it with its vision encoder",)


def _generation_remarks(assets: TokenizerAssets) -> list[str]:
    off = assets.generation.not_done
    return [f"the runtimes do not implement {', '.join(off)} of the checkpoint"] if off else []


def require_enough_text(recipe: Recipe, assets: TokenizerAssets) -> None:
    """Check the verification text now, because verification runs only after minutes of lowering."""
    if recipe.verify.enabled:
        tokenizer = Tokenizer.from_str(assets.tokenizer_json)
        ids = tokenizer.encode(read_text(recipe.verify.text), add_special_tokens=False).ids
        list(windows(ids, filled(recipe.verify.window), window_count(recipe.verify)))
