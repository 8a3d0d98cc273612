"""Write report.md of a task whose program is no decoder."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, StrictUndefined

from llm_export.config.schema import Recipe
from llm_export.models.task import task_of
from llm_export.pipeline.record import RunRecord
from llm_export.pipeline.summary import RunSummary
from llm_export.report.description import describe_quant
from llm_export.report.markdown import cell


def render_program_report(recipe: Recipe, summary: RunSummary, record: RunRecord) -> str:
    """Fill the template with the recipe, the summary and the run record."""
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = cell
    source = resources.files("llm_export.report").joinpath("program.md.jinja").read_text("utf-8")
    found = {stage.name: stage for stage in record.stages}
    benchmark, load = found.get("benchmark"), found.get("load")
    return environment.from_string(source).render(
        recipe=recipe,
        task=task_of(recipe.model),
        model=recipe.model.description or recipe.model.name,
        quant=describe_quant(recipe.quant),
        summary=summary,
        record=record,
        remarks=load.facts.get("remarks", []) if load else [],
        unmeasured=(benchmark.error or "") if benchmark else "",
        references=any(a.reference for a in summary.answers),
        stages=[s for s in record.stages if s.state == "done" and not s.skipped],
    )
