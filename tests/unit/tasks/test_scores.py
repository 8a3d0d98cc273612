"""Scores of a user's examples."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import embed_bundles
import pytest
import torch

from llm_export import api
from llm_export.bundle.measures import Measure
from llm_export.cli.main import main
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.errors import BundleError, InputError, RecipeError
from llm_export.tasks.embedding.scores import ranks_of, spearman
from llm_export.tasks.scoring import Scorer
from llm_export.tasks.timing import at_each_count, encode_and_decode
from llm_export.tasks.transcription import scores as transcription
from llm_export.tasks.transcription.scores import plain
from llm_export.tasks.translation import scores as translation
from runtime_py import ArgumentError, Transcriber, Translator


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(embed_bundles.make, "bundle that embeds")


def write(folder: Path, *examples: Any) -> Path:
    file = folder / "examples.jsonl"
    file.write_text(
        "\ufeff" * bool(examples) + "".join(json.dumps(each) + "\n" for each in examples)
    )
    return file


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert plain(" Hello,  WORLD! It\u2019s 'fine' - 3%") == "hello world it's fine 3"
    assert plain("?!") == ""


def test_ranks_of_equal_values_are_their_mean() -> None:
    first = torch.tensor([0.1, 0.5, 0.5, 0.9])
    assert spearman(first, torch.tensor([1.0, 2, 3, 4])) == pytest.approx(0.9486833)
    assert spearman(first, -first) == pytest.approx(-1)
    assert spearman(torch.ones(4), first) == spearman(first, torch.ones(4)) == 0, "not NaN"


def test_equal_embeddings_find_nothing() -> None:
    near = torch.tensor([[0.1, 0.9, 0.5], [0.5, 0.5, 0.5], [0.3, 0.2, torch.nan], [torch.nan] * 3])
    assert ranks_of(near, torch.tensor([2, 0, 0, 1])).tolist() == [2, 3, 2, 3]


def test_retrieval_and_pairs(bundle: Path, tmp_path: Path) -> None:
    texts = ["the sun shines", "a dog ran", "rain falls at night"]
    file = write(tmp_path, *({"query": text, "document": text} for text in texts))
    found = api.score(bundle, file)
    assert (found["task"], found["examples"]) == ("embed", 3)
    assert [each["name"] for each in found["measures"]] == ["recall_1", "recall_10", "mrr_10"]
    assert [each["value"] for each in found["measures"]] == [1, 1, 1]
    shifted = zip(texts, [*texts[1:], texts[0]], strict=True)
    wrong = api.score(bundle, write(tmp_path, *({"query": a, "document": b} for a, b in shifted)))
    assert [each["value"] for each in wrong["measures"]][:2] == [0, 1]
    file = write(tmp_path, *({"query": text, "document": text} for text in texts))
    assert api.score(bundle, file, max_examples=2)["examples"] == 2
    pairs = write(
        tmp_path, {"text": "the sun", "other": "the sun", "score": 5},
        {"text": "a dog ran", "other": "night", "score": 0},
    )  # fmt: skip
    (measure,) = api.score(bundle, pairs)["measures"]
    assert (measure["name"], round(measure["value"], 6)) == ("spearman", 1.0)


@pytest.mark.parametrize(
    ("examples", "what"),
    [
        ([], "there are no examples"),
        ([{"text": "a"}], "line 1 has no 'query', 'document'"),
        ([{"query": "a", "document": "b"}, {"query": "a"}], "line 2 has no 'document'"),
        ([{"query": "a", "document": "b", "x": 1}], "keys that are not known: 'x'"),
        ([{"query": "a", "document": 3}], "example 1: document must be a text, not 3"),
        ([{"text": "a", "other": "b", "score": "x"}], "score must be a number, not 'x'"),
        ([{"text": "a", "other": "b", "score": 1}], "all scores are the same"),
        ([{"text": "a", "other": "b", "score": float("nan")}], "score must be a number, not nan"),
        ([{"text": "a", "other": "b", "score": 10**400}], "score must be a number, not 1000"),
    ],
)
def test_wrong_examples(bundle: Path, tmp_path: Path, examples: list[Any], what: str) -> None:
    with pytest.raises(InputError) as error:
        api.score(bundle, write(tmp_path, *examples))
    assert what in str(error.value)


class Says:
    """A bundle that answers with given texts."""

    def __init__(self, *texts: str) -> None:
        self.texts = list(texts)

    @contextlib.contextmanager
    def load(self, bundle: Path) -> Iterator[Any]:
        yield self

    def translate(self, text: str, **own: Any) -> Any:
        if own.get("prefix") == "wrong":
            raise ArgumentError("there is no prefix 'wrong'", fix="one of a, b")
        return SimpleNamespace(text=self.texts.pop(0))

    def transcribe(self, audio: str, *, seed: int, **own: Any) -> Any:
        stats = SimpleNamespace(audio_seconds=4.0, seconds=0.5)
        return SimpleNamespace(text=self.translate(audio, **own).text, stats=stats)


def measured(
    monkeypatch: pytest.MonkeyPatch, kind: type, score: Scorer, says: Says, *examples: Any
) -> dict[str, float]:
    monkeypatch.setattr(kind, "load", says.load)
    found = score(Path(), examples, lambda done, total: None)
    return {each.name: each.value for each in found}


def test_error_rates_are_of_the_references(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("jiwer")
    found = measured(
        monkeypatch, Transcriber, transcription.score, Says("The CAT, sat. Down!", ""),
        {"audio": "a.wav", "text": "the cat sat"}, {"audio": "b.wav", "text": "no"},
    )  # fmt: skip
    assert found == {"wer": 2 / 4, "cer": 7 / 13, "audio": 8.0, "real_time": 8.0}


def test_translations_are_scored_by_their_references(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sacrebleu")
    examples = [{"text": "a", "reference": f"This is the {n} of two answers."} for n in (1, 2)]
    right = Says(*(each["reference"] for each in examples))
    found = measured(monkeypatch, Translator, translation.score, right, *examples)
    assert found == pytest.approx({"chrf": 100, "bleu": 100})
    others = Says("Something else.", "Nothing.")
    found = measured(monkeypatch, Translator, translation.score, others, *examples)
    assert max(found.values()) < 20
    with pytest.raises(InputError, match="example 2: there is no prefix 'wrong'"):
        measured(monkeypatch, Translator, translation.score, Says("x"),
                 examples[0], {**examples[1], "prefix": "wrong"})  # fmt: skip


def test_what_has_no_scores(bundle: Path, portable_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the examples cannot be read"):
        api.score(bundle, tmp_path / "missing.jsonl")
    with pytest.raises(RecipeError, match="max_examples must be a whole number from 1"):
        api.score(bundle, tmp_path, max_examples=0)
    with pytest.raises(BundleError, match="for generate are not scored by examples"):
        api.score(portable_bundle, tmp_path)


def test_the_speed_of_a_bundle_that_embeds(bundle: Path) -> None:
    found = api.bench(bundle, repetitions=1, warmup=0, threads=1)
    names = [each["name"] for each in found["measures"]]
    assert names == ["texts_per_second", "tokens_per_second", "one_text"]
    with pytest.raises(RecipeError, match="the speed of bundles for embed has no prompt length"):
        api.bench(bundle, prompt_length=3)


def test_the_verb(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path, {"query": "the sun", "document": "the sun"})
    words = ["evaluate", str(bundle), "--data", str(file)]
    assert main(words) == 0
    assert re.search(r"right document first, of 1 documents +1\n", capsys.readouterr().out)
    for option in (["--positions", "5"], ["--task-path", "x"], ["--layers", "float"]):
        assert main([*words, *option]) == 2
        assert f"{option[0]} is for bundles that generate text" in capsys.readouterr().err


def test_figures_of_several_numbers_of_threads_tell_them() -> None:
    begun = []

    @contextlib.contextmanager
    def load(bundle: Path, *, threads: int | None, verify_hashes: bool) -> Iterator[float]:
        begun.append(threads)
        yield 0.25 / (threads or 1)

    def speed(threads: Any) -> tuple[Measure, ...]:
        settings = BenchmarkConfig(threads=threads, warmup=0, repetitions=3, decode_length=8)
        return at_each_count(
            load, Path(), settings,
            lambda each: encode_and_decode(lambda n: (each, n * each), "a text", 6, settings),
        )  # fmt: skip

    assert [(each.name, each.title, each.value) for each in speed(2)] == [
        ("encode", "encoding a text", 125), ("decode", "decoding 6 tokens", 8),
    ]  # fmt: skip
    assert [each.name for each in speed([1, 4])] == [
        "encode_1_threads", "decode_1_threads", "encode_4_threads", "decode_4_threads",
    ]  # fmt: skip
    assert begun == [2, 1, 4]
    assert speed([1, 4])[3].title == "decoding 6 tokens, 4 threads"
    speed(None)
    assert begun[-1] is None
