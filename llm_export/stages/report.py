"""Write the report and the final manifest."""

from __future__ import annotations

from dataclasses import replace

from llm_export.bundle.write import ROLES, conclude, seal
from llm_export.files import write_json, write_text
from llm_export.json_data import to_json
from llm_export.pipeline.artifacts import Benchmarked, Reported
from llm_export.pipeline.stage import RunContext
from llm_export.pipeline.summary import Answer, RunSummary
from llm_export.report.markdown import render_report
from llm_export.resolve.recipe import ResolvedRecipe
from runtime_py import LLM

_ANSWER_TOKENS = 64


def report(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Reported:
    """Write recipe and lock, run the recipe's prompts, write report.md, and finalize the bundle."""
    recipe = resolved.recipe
    packaged, run = artifact.packaged, ctx.run
    assert run is not None, "a report is of a run"
    folder = packaged.bundle
    speed = artifact.speed and replace(artifact.speed, bundle=recipe.name)
    if speed:
        write_json(folder / ROLES["benchmark"], speed.as_dict())
    manifest = conclude(
        folder, packaged.manifest, recipe, resolved.stated, packaged.digests, run.provenance
    )
    answers = _ask(artifact, resolved)
    if answers:
        write_json(folder / ROLES["answers"], [to_json(answer) for answer in answers])
    summary = RunSummary(
        name=recipe.name,
        bytes=(folder / ROLES["program"]).stat().st_size,
        adapters={
            name: (folder / file).stat().st_size for name, file in (manifest.adapters or {}).items()
        },
        proof=artifact.proof,
        speed=speed,
        answers=answers,
    )
    write_text(folder / ROLES["report"], render_report(recipe, summary, run))
    seal(folder, manifest)
    ctx.note(
        answers=[to_json(answer) for answer in answers],
        summary=f"{len(answers)} question(s) answered" if answers else "",
    )
    return Reported(folder, summary)


def _ask(artifact: Benchmarked, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
    recipe = resolved.recipe
    questions = recipe.deploy.questions
    if not questions or resolved.obstacle_to_running():
        return ()
    llm = LLM.load(artifact.packaged.bundle)
    room = min(_ANSWER_TOKENS, recipe.runtime.sampling.max_new_tokens)
    answers = []
    for question in questions:
        llm.reset()
        if llm.template is not None:
            answer = llm.chat([{"role": "user", "content": question}], max_new_tokens=room, seed=0)
        else:
            answer = llm.generate(question, max_new_tokens=room, seed=0)
        answers.append(Answer(question, answer.text.strip()))
    return tuple(answers)
