"""The summary that is printed at the end of a run."""

from __future__ import annotations

import shlex
from pathlib import Path

from llm_export.amounts import amount
from llm_export.bundle.proof import Proof
from llm_export.cli.answers_text import print_answers
from llm_export.cli.evaluation_text import print_evaluation
from llm_export.cli.verdict_text import print_rows, print_verdict
from llm_export.metrics import columns, metrics
from llm_export.metrics.comparison import ComparisonResult
from llm_export.metrics.value import REFERENCE, Value
from llm_export.pipeline.artifacts import NOT_RUN
from llm_export.pipeline.record import RunRecord, for_people
from llm_export.runner.results import RunResult
from runtime_py.benchmark import table


def print_result(result: RunResult, *, stages: bool = False) -> None:
    """Print the verdict, size, verification results, speed, and answers to the recipe's questions.

    Args:
        stages: print the stages too, where no progress was shown.
    """
    summary = result.summary
    print()
    if stages:
        _print_stages(result.record)
    print_verdict(summary.proof)
    facts = [("program", f"{summary.bytes / 1e6:.1f} MB")]
    facts += [(f"adapter {name}", amount(size)) for name, size in summary.adapters.items()]
    facts += _parity(summary.proof)
    facts += table(summary.speed.as_dict()) if summary.speed else []
    print()
    print_rows(facts)
    if measures := [*(summary.proof.measures or ()), *summary.measures]:
        print()
        print_rows([(m.title, m.text()) for m in measures], max(len(m.title) for m in measures))
    print_evaluation(summary.evaluation)
    print_answers(summary.answers)
    print()
    _print_reused(result.record)
    bundle = from_here(result.bundle)
    print(f"bundle: {bundle}")
    if not (summary.proof.reason or "").startswith(NOT_RUN):
        print(f"try it: {summary.try_it.format(bundle=shlex.quote(str(bundle)))}")


def from_here(path: Path) -> Path:
    """As a command names it: relative where it lies in the working directory."""
    try:
        return path.relative_to(Path.cwd())
    except (OSError, ValueError):  # elsewhere, or there is no working directory any longer
        return path


def _print_stages(record: RunRecord) -> None:
    rows = [("stage", "seconds", "peak memory", "")]
    for stage in record.stages:
        if stage.skipped:
            continue
        peak = f"{stage.peak_bytes / 1e9:.2f} GB"
        seconds = "reused" if stage.reused else f"{stage.seconds:.1f}"
        rows.append((stage.name, seconds, peak, str(stage.facts.get("summary", ""))))
    for name, seconds, peak, said in rows:
        print(f"{name:<10} {seconds:>8} {peak:>12}   {said}".rstrip())
    print()


def _print_reused(record: RunRecord) -> None:
    stages = [stage for stage in record.stages if stage.reused]
    if stages:
        seconds = sum(stage.seconds for stage in stages)
        names = ", ".join(stage.name for stage in stages)
        times = [for_people(made) for made in sorted({stage.made for stage in stages})]
        when = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
        print(f"reused: {names} ({seconds:.1f} s of work, done {when}; --no-cache does it again)")


def _parity(proof: Proof) -> list[tuple[str, str]]:
    compared = proof.comparisons
    if compared is None:
        return []
    lowering, quality = compared.lowering, compared.quality
    known = {figure.name for figure in proof.verdict.figures} if proof.verdict else set()
    known |= {value.name for metric in metrics() if metric.limit for value in metric.columns()}
    label = "vs exported model" if proof.verified else "graph vs exported"
    return [
        ("compared positions", str(proof.positions)),
        (label, ", ".join(_limited(lowering))),
        *((v.heading, _beside_reference(v, quality)) for v in columns()
          if v.brief and v.name in quality.values and v.name not in known),
    ]  # fmt: skip


def _limited(found: ComparisonResult) -> list[str]:
    """The metrics of which there are limits."""
    values = [v for m in metrics() if m.limit for v in m.columns() if v.brief]
    return [
        f"{v.short_heading} {v.text(found.values.get(v.name))}"
        f"{'' if v.unit in ('', 'share') else f' {v.unit}'}"
        for v in values
    ]


def _beside_reference(value: Value, found: ComparisonResult) -> str:
    reference = found.values.get(f"{REFERENCE}{value.name}")
    beside = "" if reference is None else f" (float32 {value.text(reference)})"
    return f"{value.text(found.values[value.name])}{beside}"
