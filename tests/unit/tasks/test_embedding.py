"""What is measured of programs that embed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import embed_bundles
import pytest
import torch
from torch import nn

from llm_export.bundle.measures import LOWERING, Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.errors import VerificationError
from llm_export.models.programs.task_model import Method, TaskModel
from llm_export.tasks.contract import Subject
from llm_export.tasks.embedding.contract import CONTRACT
from llm_export.tasks.embedding.texts import QUERY, text_set
from llm_export.tasks.embedding.vectors import cosines, eager_vectors, perturbed, same_nearest
from llm_export.tasks.embedding.verify import MEANINGS, _widened, word
from llm_export.tokenizers.base import TokenizerAssets


def test_the_shipped_texts() -> None:
    texts = text_set()
    assert (len(texts.queries), len(texts.passages)) == (40, 500)
    assert len({*texts.queries, *texts.passages}) == 540
    assert all(query.endswith("?") for query in texts.queries)
    assert len(text_set(30).passages) == 30
    prompted = texts.prompted({QUERY: "query: "})
    assert prompted[0] == f"query: {texts.queries[0]}"
    assert prompted[40] == texts.passages[0]


class Mean(nn.Module):
    """The mean of a text's rows of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(9, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        weights = mask.float().unsqueeze(-1)
        found: torch.Tensor = (self.table(ids) * weights).sum(1) / weights.sum(1)
        return found

    def token_tables(self) -> list[nn.Module]:
        return [self.table]


def test_vectors_of_an_eager_model_are_in_the_order_of_texts() -> None:
    model: Any = Mean()
    rows = [[1, 2, 3], [4], [5, 6]] * 12
    seen: list[int] = []
    found = eager_vectors(model, rows, 0, seen.append)
    wanted = torch.stack([model.table.weight[row].mean(0) for row in rows])
    assert torch.allclose(found, wanted, atol=1e-6)
    assert sum(seen) == 36
    with perturbed(model):
        noisy = eager_vectors(model, rows, 0, seen.append)
    assert 0 < float((noisy - found).abs().max()) < 1e-4
    assert torch.equal(eager_vectors(model, rows, 0, seen.append), found)


def test_the_nearest_in_any_order() -> None:
    a = torch.tensor([[0.9, 0.8, 0.7, 0.1], [0.1, 0.2, 0.3, 0.4]])
    swapped = torch.tensor([[0.7, 0.8, 0.9, 0.1], [0.4, 0.2, 0.3, 0.1]])
    assert same_nearest(a, a) == 1
    assert same_nearest(a, swapped) == 0.5
    assert same_nearest(a[:, :2], swapped[:, :2]) == 1
    tied = torch.tensor([[0.5, 0.4, 0.3, 0.3]])
    assert same_nearest(torch.tensor([[0.5, 0.4, 0.2, 0.3]]), tied) == 1


def test_no_number_is_the_worst() -> None:
    a = torch.tensor([[1.0, 0.0], [float("nan"), 1.0]])
    assert cosines(a, a).tolist() == [1.0, -1.0]
    assert word(float("nan"), 1.0)[0] == "broken"


@pytest.mark.parametrize(
    ("cosine", "same", "said"),
    [
        (0.99999, 1.0, "lossless"), (0.99999, 0.95, "near-lossless"), (0.996, 1.0, "near-lossless"),
        (0.99, 1.0, "good"), (0.9999, 0.6, "visible loss"), (0.9, 1.0, "poor"),
        (0.1, 1.0, "broken"),
    ],
)  # fmt: skip
def test_the_word_is_that_of_the_worse_figure(cosine: float, same: float, said: str) -> None:
    assert word(cosine, same) == (said, MEANINGS[said])


def test_a_limit_is_widened_by_the_noise_floor_and_not_without_end() -> None:
    measure = Measure("x_mean", "x", 0.9, LOWERING, limit=0.999, higher_is_better=True)
    noise = torch.tensor([0.998, 1.0], dtype=torch.double)
    assert _widened(measure, noise, 2.0).limit == pytest.approx(0.998)
    least = SimpleNamespace(**{**vars(measure), "name": "x_min"})
    assert _widened(Measure(**vars(least)), noise, 2.0).limit == pytest.approx(0.996)
    assert _widened(measure, torch.zeros(2), 2.0).limit == 0.98


class Tiny(TaskModel):
    """The model of the bundle."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.model = embed_bundles.TinyEncoder()
        if seed:
            nn.init.normal_(self.model.out.weight, generator=torch.Generator().manual_seed(seed))

    def settings(self, options: Any) -> dict[str, Any]:
        return dict(embed_bundles.SETTINGS)

    def methods(self, options: Any, *, dynamic: bool) -> tuple[Method, ...]:
        return (Method("forward", self.model, (), ()),)

    def token_tables(self) -> list[nn.Module]:
        return [self.model.table]


def subject(bundle: Path | None, exported: Tiny, *, rules: tuple[str, ...] = ()) -> Any:
    made = embed_bundles.tokenizer()
    assets = TokenizerAssets(made.to_str(), None, None, (), False)
    recipe = SimpleNamespace(
        verify=SimpleNamespace(positions=60, tokenizer=True, noise_factor=2.0),
        quant=SimpleNamespace(rules=rules),
    )
    return Subject(bundle, exported, Tiny, cast(Any, SimpleNamespace(tokenizer=assets)),
                   cast(Any, SimpleNamespace(recipe=recipe)), None)  # fmt: skip


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(embed_bundles.make, "bundle that embeds")


def test_a_program_is_compared_with_both_models(bundle: Path) -> None:
    steps: list[tuple[int, int]] = []
    found = CONTRACT.compare(
        subject(bundle, Tiny(), rules=("any",)), lambda *now: steps.append(now)
    )
    assert all(measure.kept for measure in found.measures)
    names = [measure.name for measure in found.measures]
    assert names == ["cosine_mean", "same_nearest", "cosine_min", "lowering_cosine_min",
                     "lowering_cosine_mean", "padding_cosine_min"]  # fmt: skip
    assert found.count == "60 sentences and 40 queries"
    assert found.tokenizer.startswith("the tokenizer gives the checkpoint's ids for ")
    assert steps[-1] == (404, 404)
    alone = CONTRACT.compare(subject(None, Tiny()), lambda *now: None)
    assert [measure.of for measure in alone.measures] == ["quality"] * 3


def test_a_program_of_another_model_is_found(bundle: Path) -> None:
    found = CONTRACT.compare(subject(bundle, Tiny(1)), lambda *now: None)
    (bad,) = [m.problem() for m in found.measures if m.name == "lowering_cosine_min"]
    assert bad.startswith("least cosine to the exported model ")
    assert not all(measure.kept for measure in found.measures if measure.of == LOWERING)


def test_another_tokenizer_is_found(bundle: Path) -> None:
    wrong = subject(bundle, Tiny())
    text = wrong.source.tokenizer.tokenizer_json.replace('"[SEP]"', '"[PAD]"')
    wrong.source.tokenizer = replace(wrong.source.tokenizer, tokenizer_json=text)
    with pytest.raises(VerificationError, match="the runtime tokenizer differs"):
        CONTRACT.compare(wrong, lambda *now: None)


def test_speed_and_samples(bundle: Path) -> None:
    settings = BenchmarkConfig(repetitions=1, warmup=0, threads=[1, 2])
    found = CONTRACT.speed(bundle, settings)
    names = [m.name.removesuffix("_1_threads") for m in found]
    assert names[:3] == ["texts_per_second", "tokens_per_second", "one_text"]
    assert all(m.value > 0 and m.of == "speed" for m in found)
    answers = CONTRACT.samples(bundle, cast(Any, None))
    assert len(answers) == 5
    assert all(len(answer.answer.splitlines()) == 3 for answer in answers)
