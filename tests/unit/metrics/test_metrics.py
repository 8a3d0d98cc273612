"""Metrics are declared, each in its file, and a comparison reads them from the registry."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from llm_export import api
from llm_export.bundle.proof import ComparisonResult, Comparisons, Proof
from llm_export.cli.result import print_result
from llm_export.config.schema import Thresholds
from llm_export.json_data import to_json
from llm_export.metrics import METRICS, metrics
from llm_export.metrics.base import Batch, Metric
from llm_export.metrics.comparison import Comparison
from llm_export.pipeline.record import RunRecord
from llm_export.pipeline.summary import RunSummary
from llm_export.report.markdown import render_report
from llm_export.report.page.evidence import read_evidence
from llm_export.report.page.run import run_page
from llm_export.resolve.recipe import resolve
from llm_export.runner.results import RunResult
from llm_export.sharing.bundle_evidence import Evidence
from llm_export.sharing.card import render_card
from llm_export.sharing.licences import licence
from llm_export.stages.verification.metrics import summary, violations, widened
from llm_export.sweep.page import sweep_page
from llm_export.sweep.state import Results, Row
from llm_export.sweep.table import document


class Entropy:
    """A metric that nothing else knows."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, batch: Batch) -> None:
        self._sum -= float((batch.log_program.exp() * batch.log_program).sum())
        self._count += len(batch.targets)

    def values(self) -> dict[str, float]:
        return {"entropy": self._sum / self._count}


ENTROPY = Metric(
    "entropy", "nats", False, Entropy, summary="entropy {value:.2f}", title="mean entropy",
    short_title="entropy", form="{:.4f}", short_form="{:.2f}",
)  # fmt: skip


@pytest.fixture
def entropy() -> Iterator[None]:
    METRICS.register("entropy", f"{__name__}:ENTROPY")
    yield
    del METRICS._entries["entropy"]


def compared() -> ComparisonResult:
    generator = torch.Generator().manual_seed(0)
    program, reference = (torch.randn(40, 12, generator=generator) for _ in range(2))
    found = Comparison()
    found.add(program[:30], reference[:30], torch.arange(30) % 12)
    found.add(program[30:], reference[30:], torch.arange(10))
    return found.result()


def test_results_have_these_keys_in_this_order() -> None:
    assert list(to_json(compared())) == [
        "positions", "mean_kl", "p99_kl", "top1_agreement", "max_logit_diff", "perplexity",
        "reference_perplexity",
    ]  # fmt: skip


def test_every_limit_of_the_schema_is_a_metric_s() -> None:
    assert {m.limit for m in metrics() if m.limit} == {f.name for f in fields(Thresholds)}


@pytest.mark.parametrize("metric", [m for m in metrics() if m.limit], ids=lambda m: m.name)
def test_directions_and_limits(metric: Metric) -> None:
    worse = -1 if metric.higher_is_better else 1
    limit = metric.best + worse * 0.1
    assert metric.keeps(limit, limit)
    assert not metric.keeps(limit + worse * 1e-6, limit)
    assert not metric.keeps(math.nan, limit)
    # A quiet model leaves the limit; a noisier one moves it, to twice its distance from the best.
    assert metric.widened(limit, metric.best + worse * 0.01, 2) == limit
    assert metric.widened(limit, metric.best + worse * 0.1, 2) == metric.best + worse * 0.2
    widest = metric.widened(limit, metric.best + worse * 10, 2)
    assert widest == (metric.best + worse * 20 if metric.widest is None else metric.widest)
    text = metric.violation.format(value=limit + worse, limit=limit)
    assert f"{limit:g}" in text


def test_a_new_metric_is_in_the_results_and_in_the_summary(entropy: None) -> None:
    result = compared()
    assert 0 < result.entropy < math.log(12)
    assert f"entropy {result.entropy:.2f}" in summary(result)
    assert violations(result, Thresholds(), "x") == []
    limits = Thresholds(max_mean_kl=0.1)
    assert widened(limits, result, 2.0) == Thresholds(max_mean_kl=0.25)


def test_the_perplexity_of_certain_wrong_answers_is_finite() -> None:
    """Logits far apart, as those of random weights: JSON has no number for infinity."""
    logits = torch.tensor([[0.0, 5000.0], [0.0, 5000.0]])
    comparison = Comparison()
    comparison.add(logits, logits, torch.tensor([0, 0]))
    assert math.isfinite(comparison.result().perplexity)


def test_a_new_metric_is_in_reports_terminal_sweep_and_card(
    entropy: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = compared()
    proof = Proof(True, None, 40, Comparisons(found, found))
    summary = RunSummary("x", 10**6, {}, proof, None, ())
    recipe = resolve(api.compose_recipe(None, ["model=tiny"]).recipe).recipe
    record = RunRecord(tmp_path / "run.json", recipe, {}, [])
    report = render_report(recipe, summary, record)
    assert "| mean KL | p99 KL | top-1 agreement | largest logit difference | perplexity" in report
    assert "| reference perplexity | mean entropy |" in report
    assert report.count(f"| {found.entropy:.4f} |") == 2
    body = to_json(proof)
    page = run_page(read_evidence(tmp_path, {"proof": body}, recipe, record.as_dict()))
    cells = rf"(\s*<td class=.n.>{found.entropy:.4f}</td>){{2}}"
    assert re.search(rf">mean entropy \(nats\)</th>{cells}", page)
    print_result(RunResult(tmp_path, summary, record))
    printed = capsys.readouterr().out
    assert re.search(rf"mean entropy +{found.entropy:.4f}\n", printed)
    both = rf"{found.perplexity:.3f} \(float32 {found.reference_perplexity:.3f}\)"
    assert re.search(rf"perplexity +{both}", printed)
    row = Row("x", [], {}, "", "done", results=Results(1.0, None, None, values=found.values))
    text = document("s", [row], together=False)
    assert "| verdict" not in text
    assert re.search(r"\| mean KL +\| top-1 +\| ppl +\| entropy +\| MB", text)
    assert f"{found.entropy:.2f}" in text
    assert "mean entropy (entropy, nats)" in text
    page = sweep_page(tmp_path, [row], state="done", together=False)
    assert f'data-value="{found.entropy}">{found.entropy:.2f}</td>' in page
    assert '"title": "mean entropy (nats)"' in page
    evidence = Evidence({"proof": body}, {})
    card = render_card(recipe, licence(None, None), None, evidence, "folder", {})
    assert "| mean entropy (nats) |\n" in card
    assert card.count(f"{found.entropy:.4f}") == 2


def test_words_and_bytes_normalize_the_same_loss() -> None:
    logits = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    targets = torch.tensor([0, 1, 2, 3, 4, 0])
    comparison = Comparison()
    words, sizes = torch.tensor([1, 0, 1, 0, 0, 1]), torch.tensor([3, 2, 4, 1, 1, 3])
    for some in (slice(0, 4), slice(4, 6)):
        comparison.add(logits[some], logits[some], targets[some], words[some], sizes[some])
    found = comparison.result()
    loss = float(torch.nn.functional.cross_entropy(logits.double(), targets, reduction="sum"))
    assert found.perplexity == pytest.approx(math.exp(loss / 6))
    assert found.word_perplexity == pytest.approx(math.exp(loss / 3))
    assert found.bits_per_byte == pytest.approx(loss / math.log(2) / 14)


def test_reading_the_declarations_needs_no_torch() -> None:
    code = (
        "import sys; from llm_export.metrics import columns; columns(); "
        "print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout == "False\n"
