"""Verify that the program of a task computes what its model does."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from llm_export.bundle.measures import LOWERING, Measure
from llm_export.bundle.proof import Proof
from llm_export.bundle.roles import ROLES
from llm_export.bundle.verdict import Verdict
from llm_export.bundle.write import seal
from llm_export.config.schema import filled
from llm_export.errors import VerificationError
from llm_export.files import write_json
from llm_export.json_data import to_json
from llm_export.metrics.scale import NOT_JUDGED
from llm_export.models.load_model import load_model
from llm_export.models.task import task_options
from llm_export.pipeline.artifacts import NOT_RUN
from llm_export.pipeline.program_artifacts import ProgramPackaged, ProgramVerified
from llm_export.pipeline.stage import RunContext
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.tasks.contract import Subject

if TYPE_CHECKING:
    from llm_export.models.programs.task_model import TaskModel


def verify(artifact: ProgramPackaged, resolved: ResolvedRecipe, ctx: RunContext) -> ProgramVerified:
    """Compare the program with the exported model and with the float32 model, as its task says.

    Raises:
        VerificationError: a limit is passed.
    """
    recipe, quantized = resolved.recipe, artifact.quantized
    if not recipe.verify.enabled:
        reason = "verification is off in the recipe (verify=off)"
        ctx.note(verified=False, reason=reason, summary=reason)
        return _with_proof(artifact, Proof(False, reason))
    obstacle = resolved.obstacle_to_running()

    def reference() -> TaskModel:
        context = filled(recipe.runtime.context_length)
        made = load_model(recipe, attention="plain", context_length=context, all_logits=True)
        return cast("TaskModel", made.model)

    subject = Subject(
        None if obstacle else artifact.bundle, quantized.model, reference, quantized.source,
        resolved, task_options(recipe),
    )  # fmt: skip
    found = resolved.task.load_contract().compare(subject, ctx.progress)
    measures = _limited(found.measures, resolved)
    random = recipe.checkpoint.is_random
    faithful = all(m.kept for m in measures if m.of == LOWERING) if not obstacle else None
    verdict = Verdict(
        NOT_JUDGED if random else found.word,
        "the weights are random, so there is no quality to lose" if random else found.meaning,
        (), faithful, tuple(filter(None, [f"compared over {found.count}", found.tokenizer])),
    )  # fmt: skip
    problems = [m.problem() for m in measures if not m.kept]
    body = {"measures": [to_json(m) for m in measures], "verdict": to_json(verdict)}
    write_json(artifact.bundle / ROLES["parity"], body)
    figures = ", ".join(f"{m.title} {m.text()}" for m in measures[:2])
    ctx.note(**body, problems=problems, summary=f"{verdict.word}: {figures}")
    if problems:
        said = "the program is not right" if faithful is False else "the program is not good enough"
        raise VerificationError(
            f"{said}: {'; '.join(problems)}",
            where="verify",
            fix="choose another quant option or backend, or change verify.limits",
        )
    unrun = f"{NOT_RUN}: {obstacle}" if obstacle else None
    return _with_proof(
        artifact, Proof(not obstacle, unrun, verdict=verdict, measures=tuple(measures))
    )


def _limited(measures: tuple[Measure, ...], resolved: ResolvedRecipe) -> list[Measure]:
    """With the recipe's limits. Random weights have no quality."""
    recipe = resolved.recipe
    stated, waived = recipe.verify.limits, recipe.checkpoint.is_random
    found = []
    for measure in measures:
        limit = None if waived and measure.of != LOWERING else measure.limit
        found.append(replace(measure, limit=stated.get(measure.name, limit)))
    return found


def _with_proof(artifact: ProgramPackaged, proof: Proof) -> ProgramVerified:
    manifest = seal(artifact.bundle, replace(artifact.manifest, proof=proof))
    return ProgramVerified(replace(artifact, manifest=manifest), proof)
