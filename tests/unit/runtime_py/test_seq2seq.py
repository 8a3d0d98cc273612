"""Decoding of encoder–decoder programs: what is fed, rules, ends, and wrong arguments."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor

from runtime_py import ArgumentError, BundleRuntimeError, Sampling
from runtime_py.errors import Cancelled
from runtime_py.seq2seq.beams import beam_search
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.seq2seq.rules import Suppress, ruled
from runtime_py.seq2seq.search import Search, tokens
from runtime_py.seq2seq.translate_settings import TranslateSettings
from runtime_py.seq2seq.translator import Translator
from runtime_py.speech.timestamps import TimestampRule
from runtime_py.tokenizer import TextTokenizer

VOCABULARY = 12


class Counting:
    """A decoder whose logits depend on all tokens in its cache; it keeps what it was fed."""

    def __init__(self) -> None:
        self.cache: list[int] = []
        self.fed: list[tuple[int, int]] = []

    def __call__(self, name: str, inputs: Sequence[Tensor]) -> list[Tensor]:
        if name == "encoder":
            return [torch.zeros(1, 1, 4)]
        ids, start = inputs[0][0].tolist(), int(inputs[1])
        self.cache[start:] = ids
        self.fed.append((start, len(ids)))
        seed = hash(tuple(self.cache)) % 2**31
        return [torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(seed))]


def model(length: int = 16, step: int = 16) -> tuple[EncoderDecoder, Counting]:
    counting = Counting()
    made = EncoderDecoder(counting, length, step)
    made.encode(())
    return made, counting


def test_only_what_differs_is_fed() -> None:
    made, counting = model()
    first = made.logits([1, 2, 3, 4])
    again = made.logits([1, 2, 5])
    made.logits([1, 2, 5, 6])
    assert torch.equal(made.logits([1, 2, 3, 4]), first)
    # The last token is fed again: its logits are not kept.
    assert torch.equal(made.logits([1, 2, 3, 4]), first)
    assert not torch.equal(first, again)
    assert counting.fed == [(0, 4), (2, 1), (3, 1), (2, 2), (3, 1)]


def test_steps_of_one_token() -> None:
    made, counting = model(step=1)
    made.logits([1, 2, 3])
    assert counting.fed == [(0, 1), (1, 1), (2, 1)]
    assert (made.steps, made.tokens) == (3, 3)


def test_a_source_forgets_the_tokens_before_it() -> None:
    made, counting = model()
    made.logits([1, 2])
    made.encode(())
    made.logits([1, 2])
    assert counting.fed == [(0, 2), (0, 2)]


def test_beams_follow_the_best_sum() -> None:
    made, _ = model()
    one = beam_search(made, [0], (), [1], Search(Sampling(max_new_tokens=5), beams=1))[0]
    greedy = [t.id for t in tokens(made, [0], (), [1], Search(Sampling(max_new_tokens=5)))]
    assert list(one.tokens) == greedy
    six = beam_search(made, [0], (), [1], Search(Sampling(max_new_tokens=5), beams=6))
    assert len(six) == 6
    assert [f.score for f in six] == sorted((f.score for f in six), reverse=True)


def test_rules() -> None:
    scores = torch.zeros(6)
    assert Suppress([1, 99])([], scores).tolist() == [0, -math.inf, 0, 0, 0, 0]
    first = Suppress([1], first=True)
    assert first([], scores)[1] == -math.inf
    assert torch.equal(first([3], scores), scores)
    assert int(ruled([Suppress([0]), Suppress([1])], [4], scores).argmax()) == 2


def test_timestamps_come_in_pairs_and_do_not_decrease() -> None:
    rule = TimestampRule(begin=6, plain=5, end=4, most=2)
    even = torch.zeros(VOCABULARY)

    def allowed(generated: list[int], scores: Tensor = even) -> list[int]:
        return torch.nonzero(rule(generated, scores) > -math.inf)[:, 0].tolist()

    assert allowed([]) == [6, 7, 8]
    text = even.index_fill(0, torch.tensor([0, 4]), 9.0)
    assert allowed([7], text) == [0, 1, 2, 3, 4]  # words follow the first one
    assert allowed([6, 0, 8], text) == [4, 8, 9, 10, 11]  # the end, or the beginning of the next
    assert allowed([6, 0, 8, 8], text) == [0, 1, 2, 3, 4]
    assert allowed([6, 0]) == [7, 8, 9, 10, 11]  # all together are the most likely


def test_an_answer_can_be_cancelled() -> None:
    made, _ = model()
    made.stopped = threading.Event()
    words = tokens(made, [0], (), [], Search(Sampling(max_new_tokens=9)))
    next(words)
    made.stopped.set()
    with pytest.raises(Cancelled):
        next(words)


def test_an_answer_ends_with_the_cache() -> None:
    made, _ = model(length=4)
    assert len(list(tokens(made, [0, 1], (), [], Search()))) == 2
    with pytest.raises(ArgumentError, match="leave no room for an answer in its 4 positions"):
        list(tokens(made, [0, 1, 2, 3], (), [], Search()))
    with pytest.raises(ArgumentError, match="5 tokens do not fit the decoder's 4 positions"):
        made.logits([1, 2, 3, 4, 5])


def test_wrong_searches() -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"beams": 0}, "beams must be a whole number from 1, not 0"),
        ({"beams": 65}, "beams must be at most 64"),
        ({"beams": 2, "sampling": Sampling(temperature=1.0)}, "with 2 beams does not sample"),
        ({"beams": 2, "sampling": Sampling(repetition_penalty=1.2)}, "has no repetition_penalty"),
        ({"length_penalty": "a"}, "length_penalty must be a number"),
        ({"early_stopping": "soon"}, "early_stopping must be true, false or never"),
    )
    for given, what in wrong:
        with pytest.raises(ArgumentError, match=what):
            Search(**given)


def test_prefixes_by_name() -> None:
    stated = {
        "start_ids": [0], "eos_ids": [1], "source_length": 8, "target_length": 8,
        "prefixes": {"de": "translate English to German: "},
    }  # fmt: skip
    found = TranslateSettings.of({"task": {"name": "translate", "settings": stated}}, "b")
    assert found.prefix("de") == "translate English to German: "
    assert found.prefix("say: ") == "say: "
    assert found.prefix(None) == ""
    with pytest.raises(ArgumentError, match="prefix must be a text, not 3"):
        found.prefix(3)  # type: ignore[arg-type]
    with pytest.raises(BundleRuntimeError, match="prefixes that are not names with texts"):
        TranslateSettings.of(
            {"task": {"name": "translate", "settings": {**stated, "prefixes": [1]}}}, "b"
        )


def test_bos_stands_once_before_a_source(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel({"hello": 5}, unk_token="hello")).save(str(path))
    translator = object.__new__(Translator)
    translator.tokenizer = TextTokenizer(path, bos_id=1, eos_ids=[2], add_bos=True)
    translator.settings = TranslateSettings((0,), (2,), 8, 8, (1,), (2,))
    assert translator.encode("hello") == [1, 5, 2]
