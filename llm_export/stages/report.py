"""Evidence for people, and the final manifest."""

from __future__ import annotations

from typing import Any

from llm_export.bundle.manifest import ROLES, conclude, seal
from llm_export.files import write_json, write_text
from llm_export.pipeline.artifacts import Benchmarked, Reported
from llm_export.pipeline.stage import RunContext
from llm_export.report.markdown import render_report
from llm_export.resolve.recipe import ResolvedRecipe
from runtime_py import LLM

_ANSWER_TOKENS = 64


def report(artifact: Benchmarked, resolved: ResolvedRecipe, ctx: RunContext) -> Reported:
    """Write recipe and lock, ask the recipe's questions, write report.md, and seal the bundle."""
    recipe = resolved.recipe
    folder = artifact.packaged.bundle
    speed = artifact.speed and {"bundle": recipe.name, **artifact.speed}
    if speed:
        write_json(folder / ROLES["benchmark"], speed)
    packaged = artifact.packaged
    conclude(packaged.bundle, packaged.manifest, recipe, packaged.digests, ctx.provenance)
    answers = _ask(artifact, resolved)
    if answers:
        write_json(folder / ROLES["answers"], answers)
    summary: dict[str, Any] = {
        "name": recipe.name,
        "bytes": (folder / ROLES["program"]).stat().st_size,
        "adapters": {
            name: (folder / file).stat().st_size
            for name, file in artifact.packaged.manifest.get("adapters", {}).items()
        },
        "proof": artifact.proof,
        "speed": speed,
        "answers": answers,
    }
    write_text(folder / ROLES["report"], render_report(recipe, summary, ctx.provenance))
    seal(folder, artifact.packaged.manifest)
    ctx.note(answers=answers, summary=f"{len(answers)} question(s) answered" if answers else "")
    return Reported(folder, summary)


def _ask(artifact: Benchmarked, resolved: ResolvedRecipe) -> list[dict[str, str]]:
    recipe = resolved.recipe
    questions = recipe.deploy.questions
    if not questions or resolved.obstacle_to_running():
        return []
    llm = LLM.load(artifact.packaged.bundle)
    room = min(_ANSWER_TOKENS, recipe.runtime.sampling.max_new_tokens)
    answers = []
    for question in questions:
        llm.reset()
        if llm.template is not None:
            answer = llm.chat([{"role": "user", "content": question}], max_new_tokens=room, seed=0)
        else:
            answer = llm.generate(question, max_new_tokens=room, seed=0)
        answers.append({"question": question, "answer": answer.text.strip()})
    return answers
