"""The summary that is printed at the end of a run."""

from __future__ import annotations

from llm_export.bundle.proof import Proof
from llm_export.cli.runtime_args import printable
from llm_export.cli.verdict_text import print_rows, print_verdict
from llm_export.pipeline.artifacts import NOT_RUN
from llm_export.pipeline.record import RunRecord, for_people
from llm_export.predict.cost import amount
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
    for entry in summary.answers:
        text = f"[not answered: {entry.problem}]" if entry.problem else entry.answer
        print(f"\n> {entry.question}\n{printable(text)}")
    print()
    _print_reused(result.record)
    print(f"bundle: {result.bundle}")
    if not (summary.proof.reason or "").startswith(NOT_RUN):
        print(f'try it: llm-export chat {result.bundle} --message "Hello"')


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
    label = "vs exported model" if proof.verified else "graph vs exported"
    return [
        ("compared positions", str(proof.positions)),
        (label, f"mean KL {lowering.mean_kl:.2g} nats, top-1 {lowering.top1_agreement:.4f}"),
        ("perplexity", f"{quality.perplexity:.2f} (float32 {quality.reference_perplexity:.2f})"),
    ]
