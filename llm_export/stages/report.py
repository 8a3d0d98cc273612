"""Write the report and the final manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from llm_export.bundle.app_template import settle_app_template
from llm_export.bundle.manifest import Manifest
from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import conclude, seal, write_manifest
from llm_export.files import write_json, write_text
from llm_export.json_data import to_json
from llm_export.pipeline.artifacts import Benchmarked, Packaged, Reported
from llm_export.pipeline.stage import RunContext
from llm_export.pipeline.summary import Answer, RunSummary
from llm_export.report.answers import agreement, ask, greedy, unreferenced
from llm_export.report.markdown import render_report
from llm_export.report.page.evidence import read_evidence
from llm_export.report.page.run import run_page
from llm_export.report.references import answer_tokens, skipped_because
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.reporting.consumers import compare_consumers
from llm_export.stages.reporting.reference import with_references, without_references
from runtime_py.llm import load_tokenizer


def report(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Reported:
    """Write recipe and lock, run the recipe's prompts, write the report in Markdown and as a page,
    and finalize the bundle.

    Raises:
        VerificationError: a consumer of ``deploy.targets`` cannot load the bundle.
    """
    recipe, run = resolved.recipe, ctx.run
    assert run is not None, "a report is of a run"
    manifest, summary = _concluded(artifact, resolved, ctx)
    folder = artifact.packaged.bundle
    if not resolved.obstacle_to_running():
        summary = replace(summary, answers=_answers(artifact.packaged, resolved))
    if summary.answers:
        write_json(folder / ROLES["answers"], [to_json(answer) for answer in summary.answers])
    said: dict[str, Any] = manifest.as_dict()
    write_text(folder / ROLES["report"], render_report(recipe, summary, run, said.get("chat")))
    found = read_evidence(folder, said, recipe, run.as_dict())
    write_text(folder / ROLES["page"], run_page(found))
    seal(folder, manifest)
    ctx.note(
        answers=[to_json(answer) for answer in summary.answers], summary=_said(summary.answers)
    )
    return Reported(folder, summary)


def _answers(packaged: Packaged, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
    """The program's answers, beside the float32 model's. The program is released before the float
    model is loaded.
    """
    recipe, folder = resolved.recipe, packaged.bundle
    room = answer_tokens(recipe)
    asked = ask(folder, recipe.deploy.questions, room)
    if reason := skipped_because(recipe, packaged.manifest.model.parameters):
        return without_references(asked, reason)
    sampling = greedy(packaged.manifest.sampling.repetition_penalty, room)
    return with_references(asked, resolved, load_tokenizer(folder), sampling)


def without_report(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Reported:
    """The finished bundle without report and answers."""
    _, summary = _concluded(artifact, resolved, ctx)
    return Reported(artifact.packaged.bundle, summary)


def _concluded(
    artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext
) -> tuple[Manifest, RunSummary]:
    """Write all that makes the bundle complete."""
    recipe, packaged, run = resolved.recipe, artifact.packaged, ctx.run
    assert run is not None, "a bundle names the run that made it"
    folder = packaged.bundle
    speed = artifact.speed and replace(artifact.speed, bundle=recipe.name)
    if speed:
        write_json(folder / ROLES["benchmark"], speed.as_dict())
    settled = settle_app_template(folder, packaged.manifest)
    manifest = conclude(folder, settled, recipe, resolved.stated, packaged.digests, run.provenance)
    consumers = compare_consumers(folder, resolved)
    manifest = replace(manifest, consumers=consumers)
    write_manifest(folder, manifest)
    summary = RunSummary(
        name=recipe.name,
        bytes=(folder / ROLES["program"]).stat().st_size,
        adapters={
            name: (folder / file).stat().st_size for name, file in (manifest.adapters or {}).items()
        },
        proof=artifact.proof,
        speed=speed,
        answers=(),
        evaluation=artifact.evaluation,
        consumers=consumers,
        try_it=resolved.task.try_it,
    )
    return manifest, summary


def _said(answers: Sequence[Answer]) -> str:
    problems = [answer.problem for answer in answers if answer.problem]
    count = len(answers) - len(problems)
    parts = [f"{count} question{'s' * (count != 1)} answered"] if answers else []
    parts += [said] if (said := agreement(answers)) else []
    parts += [f"{len(problems)} not: {problems[0]}"] if problems else []
    without = [f"without the float32 model's: {reason}" for reason in unreferenced(answers)]
    return "; ".join([", ".join(parts), *without])
