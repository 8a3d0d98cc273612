"""Speculative decoding: the same answers as without, and what is proposed, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llm_export.cli.main import main
from llm_export.cli.runtime_args import printable
from llm_export.config.schema import RuntimeConfig
from runtime_py import LLM, ArgumentError, BundleRuntimeError, Generation
from runtime_py.constraints import Choice, Regex
from runtime_py.speculation import DraftModel, PromptLookup, Proposer
from runtime_py.speculation.pace import Pace
from runtime_py.speculation.step_costs import StepCosts
from runtime_py.speculation.trial import Trial, Trials, trials_of

KINDS = {
    "8da8w": ("backend=xnnpack", "quant=8da8w", "runtime.verify_length=16"),
    "float": ("backend=xnnpack", "quant=none", "runtime.verify_length=16"),
}
# The loop is the same for both; with 8-bit activations the methods' rounding could differ too.
PARAMS = ["8da8w", pytest.param("float", marks=pytest.mark.release)]


class Fixed(Proposer):
    """Proposes what it is told to, for any text."""

    def __init__(self, tokens: Sequence[int], *, exact: bool = True) -> None:
        super().__init__(15, exact=exact)
        self.tokens = list(tokens)

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        return self.tokens[:most]


class Known(Proposer):
    """Proposes an answer that is known, but for every ``wrong``-th token."""

    def __init__(self, prompt: Sequence[int], answer: Sequence[int], wrong: int) -> None:
        super().__init__(8)
        self.text, self.wrong = [*prompt, *answer], wrong

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        found = self.text[len(ids) : len(ids) + most]
        return [t ^ 1 if (len(ids) + i) % self.wrong == 0 else t for i, t in enumerate(found)]


@pytest.fixture(scope="module", params=PARAMS)
def bundle(request: pytest.FixtureRequest, export: Callable[..., Path]) -> Path:
    return export(*KINDS[request.param], "model.config.num_hidden_layers=1", "verify=off")


@pytest.fixture(scope="module")
def loaded(bundle: Path) -> Iterator[LLM]:
    with LLM.load(bundle) as llm:
        yield llm


@pytest.fixture(scope="module")
def draft(bundle: Path) -> Iterator[LLM]:
    with LLM.load(bundle) as llm:
        yield llm


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many tokens as possible are proposed, whatever that costs here."""
    monkeypatch.setattr(Pace, "count", lambda self, generated: self._most)


def both(llm: LLM, prompt: list[int], proposer: Proposer, **said: Any) -> tuple[Any, Generation]:
    said = {"max_new_tokens": 24, "ignore_eos": True, **said}
    llm.reset()
    plain = llm.generate(prompt, **said)
    llm.reset()
    return plain, llm.generate(prompt, speculate=proposer, **said)


def same(plain: Generation, other: Generation) -> None:
    assert other.tokens == plain.tokens
    assert (other.text, other.finish) == (plain.text, plain.finish)
    assert other.logprobs == plain.logprobs


PROMPTS = st.lists(st.integers(3, 9), min_size=2, max_size=40)
SAID = st.fixed_dictionaries(
    {"temperature": st.sampled_from([0.0, 0.0, 0.8]), "seed": st.integers(0, 99)},
    optional={
        "repetition_penalty": st.just(1.3), "frequency_penalty": st.just(0.4),
        "logprobs": st.just(2), "top_k": st.just(5), "logit_bias": st.just({7: 2.0}),
        "presence_penalty": st.just(0.5), "stop": st.sampled_from(["a", ["e", "th"]]),
        "constraint": st.sampled_from([Regex("[a-m]{1,20}(, [a-z ]*)?"), Choice(["yes " * 5])]),
        "stop_ids": st.sets(st.integers(0, 319), min_size=60, max_size=80),
    },
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
@given(prompt=PROMPTS, said=SAID, drafted=st.booleans())
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_answers_are_those_of_the_plain_loop(
    loaded: LLM, draft: LLM, prompt: list[int], said: dict[str, Any], drafted: bool
) -> None:
    proposer: Proposer = DraftModel(draft) if drafted else PromptLookup(shortest=1)
    if "constraint" in said:  # without logprobs, the plain loop feeds several tokens at once
        said = {"logprobs": 0, **said}
        # Letters, commas and spaces are no ends: the answer has to go on.
        said["stop_ids"] = {token for token in said.get("stop_ids", ()) if token > 220}
    same(*both(loaded, prompt, proposer, **said))


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_several_answers_of_a_session_with_proposals(loaded: LLM) -> None:
    said: dict[str, Any] = {
        "seed": 3, "temperature": 0.9, "max_new_tokens": 12, "frequency_penalty": 0.3,
        "constraint": Regex("[a-f]{3,9}"), "logprobs": 1,
    }  # fmt: skip
    prompt = list(range(3, 30))
    plain = loaded.n_best(prompt, 3, **said)
    with loaded.session() as session:
        found = session.n_best(prompt, 3, speculate=PromptLookup(shortest=1), **said)
        for one, other in zip(plain, found, strict=True):
            same(one, other)
        # Nothing that was proposed in vain is left.
        with session.fork() as fork:
            assert fork.tokens == session.tokens
            assert fork.tokens[: len(prompt)] == prompt


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_what_is_accepted_and_taken_back(loaded: LLM) -> None:
    prompt = list(range(3, 40))
    plain, _ = both(loaded, prompt, Fixed([]), max_new_tokens=40)
    for wrong in (2, 5, 1000):
        same(
            *(found := both(loaded, prompt, Known(prompt, plain.tokens, wrong), max_new_tokens=40))
        )
        stats = found[1].stats
        assert 0 < stats.accepted_tokens <= stats.proposed_tokens
        assert (stats.acceptance == 1) == (wrong == 1000)
        # The text in the cache is that of the answer, and goes on as without proposals.
        assert loaded._cache.ids == [*prompt, *plain.tokens[:-1]]
    more = [*prompt, *plain.tokens, 50, 51]
    again = loaded.generate(more, max_new_tokens=6, ignore_eos=True)
    loaded.reset()
    loaded.generate(prompt, max_new_tokens=40, ignore_eos=True)
    assert again.tokens == loaded.generate(more, max_new_tokens=6, ignore_eos=True).tokens


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_ends_are_those_of_the_plain_loop(loaded: LLM) -> None:
    prompt = list(range(3, 40))
    plain, _ = both(loaded, prompt, Fixed([]))
    known = Known(prompt, plain.tokens, 1000)
    stop = loaded.tokenizer.decode(plain.tokens[:12])[-3:]
    same(*(found := both(loaded, prompt, known, stop=stop)))
    assert found[1].finish == "stop"
    long = [3 + i % 300 for i in range(loaded.program.context_length - 40)]
    same(*(found := both(loaded, long, PromptLookup(shortest=1), max_new_tokens=100)))
    assert found[1].finish == "context"
    # A stream that is closed leaves what was given out, and the token that was not.
    loaded.reset()
    with loaded.stream(prompt, ignore_eos=True, speculate=known) as stream:
        for _ in range(3):
            next(stream)
    fed = [*prompt, *stream.result.tokens]
    assert loaded._cache.ids in (fed, fed[:-1])


@pytest.mark.slow
def test_it_turns_itself_off_and_on(loaded: LLM) -> None:
    prompt = list(range(3, 40))
    plain, useless = both(loaded, prompt, Fixed([319] * 15), max_new_tokens=200)
    same(plain, useless)
    assert useless.stats.proposed_tokens < 100


def test_programs_that_cannot_check(portable_bundle: Path, recurrent_bundle: Path) -> None:
    with LLM.load(portable_bundle) as llm:
        with pytest.raises(BundleRuntimeError, match=r"one token per step(.|\n)*verify_length=16"):
            llm.generate("x", speculate=PromptLookup())
        with pytest.raises(ArgumentError, match="speculate must be a proposer of tokens, not str"):
            llm.generate("x", speculate="lookup")
        with pytest.raises(BundleRuntimeError, match="cannot be its own draft"):
            DraftModel(llm).check(llm.program, llm.tokenizer)
        with LLM.load(recurrent_bundle) as other:
            assert other.tokenizer.difference(llm.tokenizer) is None
        llm.program.rows_length, llm.program.recurrent = 16, True
        with pytest.raises(BundleRuntimeError, match="recurrent state, which cannot go back"):
            llm.generate("x", speculate=PromptLookup())


@pytest.mark.slow
def test_programs_that_compute_differently(loaded: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trials, "_tried", lambda *_: Trial(2e-6, 16))
    monkeypatch.setattr(trials_of(loaded.program), "_made", {})
    loaded.reset()
    with pytest.raises(BundleRuntimeError, match=r"16 tokens at once in another way(.|\n)*exact"):
        loaded.generate("hello", speculate=PromptLookup())
    assert loaded.generate("hello", speculate=PromptLookup(exact=False), max_new_tokens=2).tokens


@pytest.mark.slow
def test_sessions_prefill_the_next_turn(loaded: LLM) -> None:
    with loaded.session() as session:
        session.send("hello", max_new_tokens=3, speculate=PromptLookup())
        expected = session.fork()
        assert session.prefill_next_turn() > 0
        assert session.prefill_next_turn() == 0
        assert loaded.tokenizer.decode(session.tokens)
        prefilled = session.send("more", max_new_tokens=3).stats
        assert prefilled.cached_tokens > expected.send("more", max_new_tokens=3).stats.cached_tokens
        session.append([5] * (session.capacity - session.position))
        session.messages = [{"role": "user", "content": "x" * 3000}]
        assert session.prefill_next_turn() == 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["lookup", "draft"])
def test_command_line(
    loaded: LLM, bundle: Path, how: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded.reset()
    expected = loaded.generate("abcabcabcabc", max_new_tokens=20, temperature=0).text
    said = ["--prompt", "abcabcabcabc", "--max-new-tokens", "20", "--temperature", "0", "--stats"]
    chosen = how if how == "lookup" else str(bundle)
    main(["generate", str(bundle), *said, "--speculate", chosen])
    shown = capsys.readouterr()
    assert shown.out == printable(expected) + "\n"
    assert how == "lookup" or "proposed tokens accepted; ended by" in shown.err


def test_lengths_that_cannot_be_verified() -> None:
    with pytest.raises(ValueError, match="must be 0 or from 2 to 64"):
        RuntimeConfig(verify_length=1)


def _any(value: Any) -> Any:
    return value


WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "most": (lambda: PromptLookup(most=0), "most must be a whole number from 1, not 0"),
    "ngram": (
        lambda: PromptLookup(ngram=_any("2")),
        "ngram must be a whole number from 1, not '2'",
    ),
    "shortest": (lambda: PromptLookup(ngram=2, shortest=3), "at most ngram, 2"),
    "exact": (lambda: PromptLookup(exact=_any(1)), "exact must be true or false, not 1"),
    "draft": (lambda: DraftModel(_any("path")), "draft must be a loaded bundle, not str"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments(name: str) -> None:
    make, text = WRONG[name]
    with pytest.raises(ArgumentError, match=text):
        make()


@given(st.lists(st.integers(0, 3), max_size=30), st.integers(1, 6))
@settings(max_examples=40)
def test_lookup_finds_the_latest_longest_match(ids: list[int], most: int) -> None:
    found = PromptLookup(ngram=3, shortest=1).propose(ids, most)
    for size in (3, 2, 1):
        places = [i for i in range(len(ids) - size) if ids[i : i + size] == ids[-size:]]
        if places and size < len(ids):
            rest = ids[places[-1] + size :]
            assert found == [rest[i % len(rest)] for i in range(most)]
            return
    assert found == []


def test_lookup_of_bytes_that_look_alike() -> None:
    # The bytes of 256 contain those of 1, at a place where no token begins.
    assert PromptLookup(ngram=1, shortest=1).propose([256, 5, 1], 2) == []


def test_costs_are_interpolated_and_outliers_count_little() -> None:
    costs = StepCosts()
    assert costs.of(3) == 0
    costs.measured(1, 1.0)
    costs.measured(5, 2.0)
    assert (costs.of(3), costs.of(9)) == (1.5, 3.0)
    costs.measured(1, 100.0)
    assert costs.of(1) == pytest.approx(1.2)
    costs.measured(3, 100.0)
    assert costs.of(3) < 4


def test_pace_follows_what_is_accepted() -> None:
    costs = StepCosts()
    costs.measured(1, 1.0)
    costs.measured(16, 2.5)
    pace = Pace(costs, 15)
    for _ in range(20):
        pace.checked(15, 15)
    assert pace.count(1) == 15
    for _ in range(40):
        pace.checked(0, 3)
    counts = [pace.count(i) for i in range(400)]
    assert 0 < sum(map(bool, counts)) < 8
    assert max(counts) == 3
    slow = Pace(costs, 15)
    slow.proposed(1, 50.0)  # a draft that takes longer than it saves
    assert slow.count(1) == 0
    assert Pace(costs, 0).count(1) == 0
