"""The proof: the program on disk does what the model does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from llm_export.backends import BACKENDS
from llm_export.config.quant_schema import CacheDtype
from llm_export.config.schema import Recipe
from llm_export.config.shapes import shapes_of
from llm_export.errors import VerificationError
from llm_export.models.contract import LanguageModel
from llm_export.models.load import load_model
from llm_export.pipeline.artifacts import Packaged, Verified
from llm_export.pipeline.files import write_json
from llm_export.pipeline.stage import RunContext
from llm_export.quant.rules import Choice
from llm_export.quant.schemes import SCHEMES
from llm_export.stages.package import ROLES
from llm_export.stages.parity import Comparison, violations, widened, window_count, windows
from llm_export.stages.text import read_text
from llm_export.stages.tokenizer_check import compare_tokenizers
from llm_export.stages.trained import perplexity_problems, quality_limits
from runtime_py import LLM
from runtime_py.program import Program


def verify(artifact: Packaged, recipe: Recipe, ctx: RunContext) -> Verified:
    """Compare the program with the quantized eager and the float32 eager model.

    The float32 model is built anew from the checkpoint, with attention that has no cache and
    without any transform. What both share is the reading of the checkpoint; that is held
    against transformers by the tests of each family.

    A model that was trained on the way is held against the one before training; see
    ``quality_limits``.

    Raises:
        VerificationError: a threshold of the recipe is passed, or the tokenizer differs.
    """
    if not recipe.verify.enabled:
        return _unproven(artifact, ctx, "verification is off in the recipe (verify=off)")
    state = BACKENDS.get(recipe.backend.name).runnable_here()
    if not state.ok:
        return _unproven(artifact, ctx, f"not run on its target: {state.reason}")

    llm = LLM.load(artifact.bundle)
    tokens = _compare_tokens(artifact, llm) if recipe.verify.tokenizer else None
    results = _compare_logits(artifact, recipe, llm, ctx)
    limits = widened(recipe.verify.lowering, results.get("floor"), recipe.verify.noise_factor)
    problems = violations(results["lowering"], limits, "program vs the eager model as exported")
    problems += violations(
        results["quality"], quality_limits(recipe), "program vs the float32 eager model"
    )
    problems += perplexity_problems(recipe, results["quality"])
    proof = {"positions": results["quality"]["positions"], "comparisons": results}
    if recipe.train.enabled:
        ctx.note(quality_compares_with="the float32 model before training")
    write_json(artifact.bundle / ROLES["parity"], {**proof, "tokenizer": tokens})
    ctx.note(**proof, tokenizer=tokens, problems=problems, remark=_remark(results))
    if problems:
        raise VerificationError(
            "the program is not right: " + "; ".join(problems),
            where="verify",
            fix="choose a finer quant option, or change the threshold if the loss is acceptable",
        )
    artifact.manifest["proof"] = {"verified": True, **proof}
    return Verified(artifact, artifact.manifest["proof"])


def _compare_logits(
    artifact: Packaged, recipe: Recipe, llm: LLM, ctx: RunContext
) -> dict[str, dict[str, Any]]:
    limits = recipe.verify
    reference = load_model(
        recipe, attention="cacheless", context_length=limits.window, all_logits=True
    ).model
    count = window_count(limits)
    ids = llm.tokenizer.encode(read_text(limits.text), raw=False)
    lowering, quality, floor = Comparison(), Comparison(), Comparison()
    noisy = is_noisy(artifact.transformed.choices, recipe.quant.kv_cache)
    model, chunk = artifact.transformed.model, shapes_of(recipe).prefill_length
    for index, window in enumerate(windows(ids, limits.window, count)):
        fed, targets = window[:-1], torch.tensor(window[limits.prefill :])
        program = program_logits(llm.program, fed, limits.prefill)
        exported = eager_logits(model, fed, chunk)[limits.prefill - 1 :]
        lowering.add(program, exported, targets)
        if noisy:
            with perturbed(model):
                other = eager_logits(model, fed, chunk)[limits.prefill - 1 :]
            floor.add(other, exported, targets)
        quality.add(program, eager_logits(reference, fed)[limits.prefill - 1 :], targets)
        ctx.progress(index + 1, count)
    results = {"lowering": lowering.result(), "quality": quality.result()}
    return {**results, "floor": floor.result()} if noisy else results


def is_noisy(choices: Iterable[Choice], cache: CacheDtype) -> bool:
    """Whether anything is quantized while the program runs; see ``verify.noise_factor``."""
    dynamic = any(SCHEMES[choice.scheme].noisy for choice in choices)
    return dynamic or cache is CacheDtype.int8


@contextlib.contextmanager
def perturbed(model: LanguageModel) -> Iterator[None]:
    """Multiply the embeddings by 1 + 1e-6 * normal noise: less than one float32 rounding
    error a layer, which is what another order of summation would do. In half precision the
    noise has the size of that dtype's rounding error."""
    generator = torch.Generator().manual_seed(0)

    def noise(module: Any, inputs: Any, output: Tensor) -> Tensor:
        size = max(1e-6, torch.finfo(output.dtype).eps)
        factor = 1 + size * torch.randn(output.shape, generator=generator)
        return (output * factor).to(output.dtype)

    handle = model.input_embedding().register_forward_hook(noise)
    try:
        yield
    finally:
        handle.remove()


def program_logits(program: Program, ids: list[int], prefill: int) -> Tensor:
    """[S - prefill + 1, V]: one chunk of prompt, then token by token, as an app would."""
    program.reset()
    rows = [program.prefill(ids[:prefill])]
    rows += [program.step([token])[0, -1] for token in ids[prefill:]]
    program.reset()
    return torch.stack(rows).float()


def eager_logits(model: LanguageModel, ids: list[int], chunk: int | None = None) -> Tensor:
    """[S, V] of an eager model, fed ``chunk`` tokens a step, or as many as its cache takes."""
    wanted, model.all_logits = model.all_logits, True
    # A fixed-shape program is fed one token a step; its eager model may take all at once.
    size = chunk if chunk and chunk > 1 else model.step_length or len(ids)
    rows = []
    try:
        with torch.no_grad():
            for start in range(0, len(ids), size):
                tokens = torch.tensor([ids[start : start + size]])
                rows.append(model(tokens, torch.tensor([start]))[0])
    finally:
        model.all_logits = wanted
    return torch.cat(rows).float()


def _compare_tokens(artifact: Packaged, llm: LLM) -> dict[str, Any]:
    source = artifact.transformed.source.checkpoint.tokenizer()
    return compare_tokenizers(source, llm.tokenizer, artifact.bundle / ROLES["tokenizer"])


def _unproven(artifact: Packaged, ctx: RunContext, reason: str) -> Verified:
    proof = {"verified": False, "reason": reason}
    artifact.manifest["proof"] = proof
    ctx.note(**proof, remark=reason)
    return Verified(artifact, proof)


def _remark(results: dict[str, dict[str, Any]]) -> str:
    q = results["quality"]
    return f"mean KL {q['mean_kl']:.2g} to float32, top-1 {q['top1_agreement']:.3f}"
