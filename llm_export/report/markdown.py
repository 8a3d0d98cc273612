"""Write report.md: the program, its verification and its speed."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from llm_export.bundle.proof import Proof
from llm_export.config.schema import Recipe
from llm_export.metrics import columns
from llm_export.metrics.value import Value, present
from llm_export.models.task import GENERATE, task_name, task_of
from llm_export.pipeline.record import RunRecord
from llm_export.pipeline.summary import RunSummary
from llm_export.report import templates
from llm_export.report.answers import agreement, unreferenced
from llm_export.report.description import describe_model, describe_quant
from llm_export.report.evaluation import markdown
from runtime_py.benchmark import table


def render_report(
    recipe: Recipe,
    summary: RunSummary,
    record: RunRecord,
    chat: Mapping[str, Any] | None = None,
) -> str:
    """Fill the template with the recipe, the summary and the run record.

    Args:
        chat: what the manifest says of the chat template.
    """
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell
    source = resources.files("llm_export.report").joinpath("report.md.jinja").read_text("utf-8")
    return environment.from_string(source).render(
        recipe=recipe,
        task=None if task_name(recipe.model) == GENERATE else task_of(recipe.model),
        model=describe_model(recipe),
        quant=describe_quant(recipe.quant),
        summary=summary,
        record=record,
        remarks=next((s.facts.get("remarks", []) for s in record.stages if s.name == "load"), []),
        profile=next(
            (s.facts.get("profile") for s in record.stages if s.name == "benchmark"), None
        ),
        unmeasured=next((s.error for s in record.stages if s.name == "benchmark"), ""),
        evaluation=markdown(summary.evaluation) if summary.evaluation else "",
        unevaluated=next((s.error for s in record.stages if s.name == "evaluate"), ""),
        stages=[s for s in record.stages if s.state == "done" and not s.skipped],
        values=_values(summary.proof),
        speed=table(summary.speed.as_dict()) if summary.speed else [],
        agreement=agreement(summary.answers),
        unreferenced=unreferenced(summary.answers),
        chat_templates=templates.markdown(chat),
        systems=sorted({a.system for a in summary.answers if a.system}),
    )


def cell(text: str) -> str:
    """In one line of a table. Text of a model is not markup."""
    return escape(text, quote=False).replace("|", "\\|").replace("\n", "<br>")


def _values(proof: Proof) -> list[Value]:
    """The columns of the metrics that verification could tell."""
    compared = proof.comparisons
    return [] if compared is None else present(columns(), compared.quality.values.get)
