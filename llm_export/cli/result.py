"""The summary that is printed at the end of a run."""

from __future__ import annotations

from llm_export.bundle.proof import Proof
from llm_export.cli.runtime_args import printable
from llm_export.pipeline.artifacts import NOT_RUN
from llm_export.pipeline.record import RunRecord
from llm_export.runner.results import RunResult
from runtime_py.benchmark import table


def print_result(result: RunResult) -> None:
    """Print stages, size, verification results, speed, and answers to the recipe's questions."""
    print()
    rows = [("stage", "seconds", "peak memory", "")]
    for stage in result.record.stages:
        peak = f"{stage.peak_bytes / 1e9:.2f} GB"
        summary = str(stage.facts.get("summary", ""))
        seconds = "reused" if stage.reused else f"{stage.seconds:.1f}"
        rows.append((stage.name, seconds, peak, summary))
    for name, seconds, peak, summary in rows:
        print(f"{name:<10} {seconds:>8} {peak:>12}   {summary}".rstrip())

    facts = [("program", f"{result.summary.bytes / 1e6:.1f} MB")]
    facts += [
        (f"adapter {name}", f"{size / 1e6:.1f} MB")
        for name, size in result.summary.adapters.items()
    ]
    facts += _parity(result.summary.proof)
    facts += table(result.summary.speed.as_dict()) if result.summary.speed else []
    print()
    for name, value in facts:
        print(f"{name:<22} {value}")
    for entry in result.summary.answers:
        text = f"[not answered: {entry.problem}]" if entry.problem else entry.answer
        print(f"\n> {entry.question}\n{printable(text)}")
    print()
    _print_reused(result.record)
    print(f"bundle: {result.bundle}")
    if not (result.summary.proof.reason or "").startswith(NOT_RUN):
        print(f'try it: llm-export chat {result.bundle} --message "Hello"')


def _print_reused(record: RunRecord) -> None:
    stages = [stage for stage in record.stages if stage.reused]
    if stages:
        seconds = sum(stage.seconds for stage in stages)
        names = ", ".join(stage.name for stage in stages)
        times = sorted({stage.made for stage in stages})
        when = times[0] if len(times) == 1 else f"{times[0]} to {times[-1]}"
        print(f"reused: {names} ({seconds:.1f} s of work, done {when}; --no-cache does it again)")


def _parity(proof: Proof) -> list[tuple[str, str]]:
    proven, compared = proof.verified, proof.comparisons
    rows = [] if proven else [("parity", f"not proven: {proof.reason}")]
    if compared is None:
        return rows
    rows.append(("compared positions", str(proof.positions)))
    lowering = "vs eager as exported" if proven else "graph vs as exported"
    quality = "vs float32 eager" if proven else "as exported vs float32"
    for c, label in ((compared.lowering, lowering), (compared.quality, quality)):
        rows.append((label, f"mean KL {c.mean_kl:.2g} nats, top-1 {c.top1_agreement:.4f}"))
    q = compared.quality
    shown = f"{q.perplexity:.2f} (float32 eager {q.reference_perplexity:.2f})"
    return [*rows, ("perplexity", shown)]
