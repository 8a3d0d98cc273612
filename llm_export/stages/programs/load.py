"""Load a checkpoint into an eager model of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from llm_export.checkpoints.base import remarks_of
from llm_export.checkpoints.open import describe_source
from llm_export.config.schema import Recipe, filled
from llm_export.errors import VerificationError
from llm_export.files import sha256_of
from llm_export.models.load_model import load_model
from llm_export.models.programs.definition import option_remarks
from llm_export.pipeline.artifacts import Source, Start
from llm_export.pipeline.program_artifacts import ProgramLoaded
from llm_export.pipeline.stage import RunContext
from llm_export.quant.blocks import one_thread
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.compare import compare_with_cpp
from llm_export.tokenizers.usable import encoding_tokenizer

if TYPE_CHECKING:
    from llm_export.models.programs.task_model import TaskModel


def load(artifact: Start, resolved: ResolvedRecipe, ctx: RunContext) -> ProgramLoaded:
    """Load the checkpoint.

    Raises:
        CheckpointError: missing, damaged, of another architecture, or without a tokenizer.
    """
    recipe = resolved.recipe
    with one_thread():
        loaded = load_model(
            recipe, attention="plain", context_length=filled(recipe.runtime.context_length),
            all_logits=False, progress=ctx.progress,
        )  # fmt: skip
    model, checkpoint, coverage = (
        cast("TaskModel", loaded.model), loaded.checkpoint, loaded.coverage,
    )  # fmt: skip
    tokenizer, changes = encoding_tokenizer(checkpoint.tokenizer(), model.metadata.vocab_size)
    digests = {str(path): sha256_of(path) for path in checkpoint.files}
    remarks = [
        *remarks_of(checkpoint), *changes, *option_remarks(recipe, checkpoint),
        *_apps(recipe, tokenizer),
    ]  # fmt: skip
    ctx.note(
        checkpoint=describe_source(recipe.checkpoint),
        format=checkpoint.format,
        files=digests,
        parameters=coverage.parameters,
        tensors_used=coverage.used,
        tensors_ignored=coverage.ignored,
        remarks=remarks,
        summary="; ".join(
            [f"{coverage.parameters / 1e6:.1f} M parameters from {checkpoint.format}", *remarks]
        ),
    )
    source = Source(checkpoint, tokenizer, model.metadata, coverage.parameters, digests)
    return ProgramLoaded(model, source)


def _apps(recipe: Recipe, tokenizer: TokenizerAssets) -> list[str]:
    """A line where ExecuTorch's C++ tokenizer library does not take the tokenizer. Apps may link
    another, such as Hugging Face's, so it is no reason to stop."""
    if not (recipe.verify.enabled and recipe.verify.tokenizer):
        return []
    try:
        compare_with_cpp(tokenizer)
    except VerificationError as error:
        return [f"apps need another tokenizer library than ExecuTorch's: {error.what}"]
    return []
