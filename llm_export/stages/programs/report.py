"""Write the report and the final manifest of a task's program."""

from __future__ import annotations

from dataclasses import replace

from llm_export.bundle.manifest import Manifest
from llm_export.bundle.roles import ROLES
from llm_export.bundle.write import conclude, seal, write_manifest
from llm_export.files import write_json, write_text
from llm_export.json_data import to_json
from llm_export.pipeline.artifacts import Reported
from llm_export.pipeline.program_artifacts import ProgramMeasured
from llm_export.pipeline.stage import RunContext
from llm_export.pipeline.summary import RunSummary
from llm_export.report.page.evidence import read_evidence
from llm_export.report.page.run import run_page
from llm_export.report.program import render_program_report
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.reporting.consumers import compare_consumers


def report(artifact: ProgramMeasured, resolved: ResolvedRecipe, ctx: RunContext) -> Reported:
    """Write recipe and lock, try the program, write the report in Markdown and as a page, and
    finalize the bundle.

    Raises:
        VerificationError: a consumer of ``deploy.targets`` cannot load the bundle.
    """
    run = ctx.run
    assert run is not None, "a report is of a run"
    manifest, summary = _concluded(artifact, resolved, ctx)
    folder = artifact.packaged.bundle
    if not resolved.obstacle_to_running():
        contract = resolved.task.load_contract()
        summary = replace(summary, answers=tuple(contract.samples(folder, resolved)))
    if summary.answers:
        write_json(folder / ROLES["answers"], [to_json(answer) for answer in summary.answers])
    write_text(folder / ROLES["report"], render_program_report(resolved.recipe, summary, run))
    found = read_evidence(folder, manifest.as_dict(), resolved.recipe, run.as_dict())
    write_text(folder / ROLES["page"], run_page(found))
    seal(folder, manifest)
    tried = f"{len(summary.answers)} inputs tried" if summary.answers else "written"
    ctx.note(answers=[to_json(answer) for answer in summary.answers], summary=tried)
    return Reported(folder, summary)


def without_report(
    artifact: ProgramMeasured, resolved: ResolvedRecipe, ctx: RunContext
) -> Reported:
    """The finished bundle without report and samples."""
    _, summary = _concluded(artifact, resolved, ctx)
    return Reported(artifact.packaged.bundle, summary)


def _concluded(
    artifact: ProgramMeasured, resolved: ResolvedRecipe, ctx: RunContext
) -> tuple[Manifest, RunSummary]:
    """Write all that makes the bundle complete."""
    recipe, packaged, run = resolved.recipe, artifact.packaged, ctx.run
    assert run is not None, "a bundle names the run that made it"
    folder, digests = packaged.bundle, packaged.quantized.source.digests
    manifest = conclude(folder, packaged.manifest, recipe, resolved.stated, digests, run.provenance)
    consumers = compare_consumers(folder, resolved)
    manifest = replace(manifest, consumers=consumers)
    write_manifest(folder, manifest)
    summary = RunSummary(
        name=recipe.name,
        bytes=(folder / ROLES["program"]).stat().st_size,
        adapters={},
        proof=artifact.proof,
        speed=None,
        answers=(),
        consumers=consumers,
        measures=artifact.speed,
        try_it=resolved.task.try_it,
    )
    return manifest, summary
