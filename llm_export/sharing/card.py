"""README.md of a shared recipe: what it is, how to run it, what was measured where."""

from __future__ import annotations

from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined

from llm_export.bundle.verdict import Verdict
from llm_export.checkpoints.licence import licence_at_hand
from llm_export.config.library import LOCK
from llm_export.config.schema import Recipe
from llm_export.evaluation.results import Evaluation
from llm_export.json_data import from_json
from llm_export.metrics import columns
from llm_export.metrics.value import Value, present
from llm_export.report.description import describe_quant
from llm_export.report.evaluation import markdown
from llm_export.sharing.bundle_evidence import Evidence, as_json
from llm_export.sharing.examine import weights_of
from llm_export.sharing.licences import Licence
from runtime_py.benchmark import table


def render_card(
    recipe: Recipe,
    licence: Licence,
    model_licence: str | None,
    evidence: Evidence,
    target: str,
    brought: dict[str, str],
) -> str:
    """Fill the template.

    Args:
        model_licence: as the user says it; None looks at the checkpoint at hand.
        target: ``hf:ORG/NAME`` or a folder.
        brought: key -> place of files that are not packed.
    """
    speed, record = as_json(evidence.files, "benchmark.json"), as_json(evidence.files, "run.json")
    manifest, machine = evidence.manifest, record.get("machine", {})
    on_hub = target.startswith("hf:")
    program = manifest.get("roles", {}).get("program")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = resources.files("llm_export.sharing").joinpath("card.md.jinja").read_text("utf-8")
    return environment.from_string(source).render(
        recipe=recipe,
        quant=describe_quant(recipe.quant),
        verdict=_verdict(manifest),
        licence=licence,
        model_licence=model_licence or licence_at_hand(recipe.checkpoint),
        weights="bring your own" if "checkpoint.path" in brought else weights_of(recipe.checkpoint),
        get=f"llm-export get {target}" if on_hub else "llm-export get FOLDER_OR_ARCHIVE",
        run=f"llm-export run {target.removeprefix('hf:') if on_hub else f'local/{recipe.name}'}",
        brought=brought,
        lock=LOCK in evidence.files,
        bundle=bool(manifest),
        proof={"positions": 0, "reason": "", "comparisons": {}, **manifest.get("proof", {})},
        evaluation=_evaluation(as_json(evidence.files, "evaluation.json")),
        values=_values(manifest),
        executorch=manifest.get("requires", {}).get("executorch", ""),
        machine=", ".join(str(machine[k]) for k in ("system", "cpu") if k in machine),
        bytes=manifest["files"][program]["bytes"] if program else 0,
        speed=table(speed) if speed else [],
        processor=speed.get("machine", {}).get("processor", "an unnamed machine"),
    )


def _verdict(manifest: dict[str, Any]) -> Verdict | None:
    """The verdict of a bundle; None for one that was not judged, as those of earlier versions."""
    found = manifest.get("proof", {}).get("verdict")
    return None if found is None else from_json(Verdict, found)


def _values(manifest: dict[str, Any]) -> list[Value]:
    """The columns of the metrics that the bundle has."""
    compared = manifest.get("proof", {}).get("comparisons", {}).values()
    return present(
        (value for value in columns() if value.brief),
        lambda name: next((found[name] for found in compared if name in found), None),
    )


def _evaluation(body: dict[str, Any]) -> str:
    return markdown(from_json(Evaluation, body)) if body else ""
