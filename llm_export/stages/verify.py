"""Verify that the program on disk computes what the model does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from llm_export.bundle.measures import LOWERING
from llm_export.bundle.parity import Parity
from llm_export.bundle.proof import Comparisons, Proof, SourceComparison
from llm_export.bundle.roles import ROLES
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe, filled
from llm_export.evaluation.eval_text import read_text
from llm_export.files import write_json
from llm_export.json_data import to_json
from llm_export.memory import release_memory, released_between
from llm_export.metrics.comparison import Comparison
from llm_export.metrics.kept_logits import KeptLogits
from llm_export.models.contract import parts_of
from llm_export.models.load_model import load_model
from llm_export.pipeline.artifacts import NOT_RUN, Packaged, Verified
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import LayerQuantSpec
from llm_export.quant.schemes import SCHEMES
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.arm_kernels import compare_on_arm, remark
from llm_export.stages.verification.chunking import compare_chunkings
from llm_export.stages.verification.logits import eager_logits, in_slices, perturbed, program_rows
from llm_export.stages.verification.metrics import (
    has_limit,
    summary,
    violations,
    widened,
    window_count,
    windows,
)
from llm_export.stages.verification.quality_limits import perplexity_problems, quality_limits
from llm_export.stages.verification.restoring import compare_restored
from llm_export.stages.verification.source_check import compare_source
from llm_export.stages.verification.verdict import judge, require_kept
from llm_export.tasks.beside_text import Look
from llm_export.tokenizers.compare import TokenizerComparison, compare_tokenizers
from llm_export.tokenizers.fit import as_bundled
from runtime_py import LLM
from runtime_py.heap import malloc_trim
from runtime_py.llm import load_tokenizer
from runtime_py.tokenizer import TextTokenizer


def verify(artifact: Packaged, resolved: ResolvedRecipe, ctx: RunContext) -> Verified:
    """Compare the program with the quantized eager model and the float32 eager model.

    The float32 model is rebuilt from the checkpoint with cacheless attention and without
    transforms. The two share only the code that reads the checkpoint, which each family's tests
    compare with transformers.

    A model that was trained is compared with the model before training; see ``quality_limits``.

    Raises:
        VerificationError: a threshold of the recipe is passed, or the tokenizer differs.
    """
    recipe = resolved.recipe
    if not recipe.verify.enabled:
        return _unproven(artifact, ctx, "verification is off in the recipe (verify=off)")
    state = resolved.obstacle_to_running()
    tokenizer = load_tokenizer(artifact.bundle)
    tokens = _compare_tokens(artifact, tokenizer) if recipe.verify.tokenizer else None
    texts = _texts(recipe, tokenizer)
    model = artifact.transformed.model
    beside = resolved.task.load_beside_text()
    look = None if beside is None else beside.look(model, texts[0])
    results, source = _compare_logits(artifact, resolved, texts, ctx, look, runs=not state)
    arm, wrong_on_arm = (
        (None, []) if state else compare_on_arm(artifact, resolved, texts, results.floor)
    )
    limits = widened(recipe.verify.lowering, results.floor, recipe.verify.noise_factor)
    if state:
        # Top-1 over a few random tokens is not informative; only KL is checked.
        limits = replace(limits, min_top1=None)
    what = "graph" if state else "program"
    unfaithful = violations(results.lowering, limits, f"{what} vs the eager model as exported")
    few = replace(limits, min_top1=None)  # a few positions only
    for other, how in (
        (results.chunking, "program fed in other chunks vs in one"),
        (results.restored, "program after its state was restored vs before"),
    ):
        if other is not None:
            unfaithful += violations(other, few, how)
    unfaithful += wrong_on_arm
    quality = quality_limits(recipe)
    if _computes_in(resolved) != "float32":
        quality = widened(quality, results.floor, recipe.verify.noise_factor)
    what = "model as exported" if state else "program"
    lossy = violations(results.quality, quality, f"{what} vs the float32 eager model")
    lossy += perplexity_problems(recipe, results.quality)
    measures = look.measures(resolved, quality) if look is not None else None
    for measure in measures or ():
        if not measure.kept:
            (unfaithful if measure.of == LOWERING else lossy).append(measure.problem())
    positions = results.quality.positions
    if source is not None:
        ctx.note(source=str(source))
    if recipe.train.enabled:
        ctx.note(quality_compares_with="the float32 model before training")
    verdict = judge(
        recipe, results, quality, artifact.manifest.program.vocab_size,
        not unfaithful if has_limit(limits) else None,
    )  # fmt: skip
    parity = to_json(Parity(positions, results, tokens, verdict, arm, measures))
    write_json(artifact.bundle / ROLES["parity"], parity)
    ctx.note(**parity, problems=[*unfaithful, *lossy],
             summary=f"{verdict.word}: {summary(results.quality)}{remark(arm)}")  # fmt: skip
    require_kept(unfaithful, lossy, verdict)
    reason = f"{NOT_RUN}: {state}" if state else None
    proof = Proof(
        not state, reason, positions, results, source=source, verdict=verdict, arm=arm,
        measures=measures,
    )  # fmt: skip
    return _with_proof(artifact, proof)


def _compare_logits(
    artifact: Packaged,
    resolved: ResolvedRecipe,
    texts: list[list[int]],
    ctx: RunContext,
    look: Look | None,
    *,
    runs: bool,
) -> tuple[Comparisons, SourceComparison | None]:
    """If the program cannot run here, compare the eager model as exported with the float model,
    and the lowered graph with the eager model. The float model is released before the program is
    loaded, because each needs as much memory as everything else together.
    """
    recipe = resolved.recipe
    count, prefill = len(texts), filled(recipe.verify.prefill)
    lowering, quality, floor = Comparison(), Comparison(), Comparison()
    computes_in = _computes_in(resolved)
    noisy = is_noisy(artifact.transformed.choices, recipe.quant.kv_cache, computes_in)
    model, chunk = artifact.transformed.model, resolved.methods.prefill_length
    with KeptLogits(ctx.bundle) as reference:
        for index, logits in enumerate(_reference_logits(recipe, texts, look)):
            reference.add(logits)
            ctx.progress(index + 1, 2 * count)
        release_memory(always=True)
        source = compare_source(
            recipe, artifact.transformed.source, texts[0][:-1], lambda: reference[0]
        )
        run = LLM.load(artifact.bundle).program if runs else None
        if look is not None:
            look.look(model, run, noisy=noisy)
        with released_between(parts_of(model)), in_slices(model):
            for index, window in enumerate(texts):
                fed, targets = window[:-1], torch.tensor(window[prefill:])
                exported = eager_logits(model, fed, chunk)[prefill - 1 :]
                if noisy:
                    with perturbed(model, computes_in):
                        other = eager_logits(model, fed, chunk)[prefill - 1 :]
                    floor.add(other, exported, targets)
                    del other
                wanted = reference[index]
                if run is None:
                    quality.add(exported, wanted, targets)
                else:
                    rows = program_rows(run, fed, prefill)
                    both = (exported.split(1), wanted.split(1), targets.split(1))
                    for row, of_exported, of_float, target in zip(rows, *both, strict=True):
                        lowering.add(row, of_exported, target)
                        quality.add(row, of_float, target)
                for comparison in (quality, lowering, floor):
                    comparison.end_window()
                del exported, wanted
                malloc_trim()
                ctx.progress(count + index + 1, 2 * count)
    made = lowering.result() if run is not None else artifact.edge_check
    assert made is not None, "lowering compares what cannot be run here"
    chunking = compare_chunkings(run, texts[0]) if run is not None and run.recurrent else None
    restored = compare_restored(run, texts[0]) if run is not None and run.gives_state else None
    noise = floor.result() if noisy else None
    found = Comparisons(made, quality.result(), noise, chunking, restored)
    return found, source


def _texts(recipe: Recipe, tokenizer: TextTokenizer) -> list[list[int]]:
    limits = recipe.verify
    ids = tokenizer.encode(read_text(limits.text), raw=False)
    return list(windows(ids, filled(limits.window), window_count(limits)))


def _reference_logits(
    recipe: Recipe, texts: list[list[int]], look: Look | None
) -> Iterator[Tensor]:
    """[P, V] of each window, from the float32 model, which is built here and released."""
    longest, prefill = filled(recipe.verify.window), filled(recipe.verify.prefill)
    if look is not None:
        longest = max(longest, look.slots)
    reference = load_model(
        recipe, attention="cacheless", context_length=longest, all_logits=True
    ).model
    release_memory()  # what loading has needed
    if look is not None:
        look.look_at_reference(reference)
    with released_between(parts_of(reference)), in_slices(reference):
        for window in texts:
            yield eager_logits(reference, window[:-1])[prefill - 1 :]
            malloc_trim()


def _computes_in(resolved: ResolvedRecipe) -> str:
    return resolved.capabilities.computes_in


def is_noisy(
    choices: Iterable[LayerQuantSpec], cache: CacheDtype, computes_in: str = "float32"
) -> bool:
    """Whether anything is rounded at run time; see ``verify.noise_factor``."""
    dynamic = any(SCHEMES[choice.scheme].noisy for choice in choices)
    return dynamic or cache is not CacheDtype.float or computes_in != "float32"


def _compare_tokens(artifact: Packaged, tokenizer: TextTokenizer) -> TokenizerComparison:
    made = artifact.transformed.source
    source, _ = as_bundled(made.checkpoint.tokenizer(), made.metadata.vocab_size)
    return compare_tokenizers(source, tokenizer, artifact.bundle / ROLES["tokenizer"])


def _unproven(artifact: Packaged, ctx: RunContext, reason: str) -> Verified:
    ctx.note(verified=False, reason=reason, summary=reason)
    return _with_proof(artifact, Proof(False, reason))


def _with_proof(artifact: Packaged, proof: Proof) -> Verified:
    return Verified(replace(artifact, manifest=replace(artifact.manifest, proof=proof)), proof)
