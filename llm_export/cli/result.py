"""The short table at the end of a run."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from llm_export.pipeline.runner import RunResult
from runtime_py.benchmark import table


def print_result(result: RunResult) -> None:
    """Stages, size, parity, speed, and what the exported model says."""
    console = Console(highlight=False, soft_wrap=True)
    stages = Table("stage", "seconds", "peak memory", "", box=None, pad_edge=False)
    for column in stages.columns[1:3]:
        column.justify = "right"
    for stage in result.record["stages"]:
        remark = str(stage["facts"].get("remark", ""))
        stages.add_row(
            stage["name"], f"{stage['seconds']:.1f}", f"{stage['peak_bytes'] / 1e9:.2f} GB", remark
        )
    console.print()
    console.print(stages)

    facts = Table("", "", box=None, show_header=False, pad_edge=False)
    facts.add_row("program", f"{result.summary['bytes'] / 1e6:.1f} MB")
    for name, value in _parity(result.summary["proof"]):
        facts.add_row(name, value)
    for name, value in table(result.summary["speed"]) if result.summary["speed"] else []:
        facts.add_row(name, value)
    console.print()
    console.print(facts)
    for entry in result.summary["answers"]:
        console.print(f"\n> {entry['question']}\n{entry['answer']}", markup=False)
    console.print(f"\nbundle: {result.bundle}", markup=False)
    console.print(f'try it: llm-export chat {result.bundle} --message "Hello"', markup=False)


def _parity(proof: dict[str, object]) -> list[tuple[str, str]]:
    if not proof.get("verified"):
        return [("parity", f"not proven: {proof.get('reason')}")]
    rows = []
    comparisons: dict[str, dict[str, float]] = proof["comparisons"]  # type: ignore[assignment]
    labels = {"lowering": "vs eager as exported", "quality": "vs float32 eager"}
    for key, label in labels.items():
        c = comparisons[key]
        text = f"mean KL {c['mean_kl']:.2g} nats, top-1 {c['top1_agreement']:.4f}, "
        text += f"perplexity {c['perplexity']:.2f} / {c['reference_perplexity']:.2f}"
        rows.append((label, f"{text} ({proof['positions']} positions)"))
    return rows
