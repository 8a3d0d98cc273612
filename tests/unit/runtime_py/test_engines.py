"""Engines: the same tokens by each, what they lack, and how others are added."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_export import api
from runtime_py import LLM, ArgumentError, BundleRuntimeError
from runtime_py.engines import engines, opener, register
from runtime_py.engines.raw_tokens import raw_ids, without_decoder

PROMPT = "hello world"


@pytest.fixture(scope="module")
def llm(portable_bundle: Path) -> Iterator[LLM]:
    with LLM.load(portable_bundle) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def runner(portable_bundle: Path) -> Iterator[LLM]:
    with LLM.load(portable_bundle, engine="runner", threads=1) as loaded:
        yield loaded


@pytest.fixture(scope="module")
def eager(portable_bundle: Path) -> Iterator[LLM]:
    with api.load(portable_bundle, engine="eager") as loaded:
        yield loaded


def test_eager_gives_the_same_tokens(llm: LLM, eager: LLM) -> None:
    given: dict[str, Any] = {"max_new_tokens": 128, "temperature": 0, "ignore_eos": True}
    expected = llm.generate(PROMPT, **given)
    assert eager.generate(PROMPT, **given).tokens == expected.tokens
    given["max_new_tokens"] = 8
    again = eager.generate(PROMPT + " again", **given)
    assert again.tokens == llm.generate(PROMPT + " again", **given).tokens
    assert again.stats.cached_tokens == llm.count_tokens(PROMPT)
    assert eager.score(PROMPT)[0].logprob == pytest.approx(llm.score(PROMPT)[0].logprob, abs=1e-4)


def test_eager_ends_a_long_prompt_that_is_cancelled(
    eager: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream, step, fed = eager.stream([5 + i % 200 for i in range(600)]), eager.engine.step, []

    def cancelling(tokens: Any) -> Any:
        fed.append(len(tokens))
        stream.cancel()
        return step(tokens)

    monkeypatch.setattr(eager.engine, "step", cancelling)
    monkeypatch.setattr(eager.engine, "prefill_length", 256)
    assert stream.read().finish == "cancelled"
    assert fed == [256]


def test_a_closed_engine_says_so(portable_bundle: Path) -> None:
    with api.load(portable_bundle, engine="eager") as llm:
        pass
    with pytest.raises(BundleRuntimeError, match="the program is closed"):
        llm.generate(PROMPT)


def test_eager_goes_back_in_a_recurrent_model(recurrent_bundle: Path) -> None:
    given: dict[str, Any] = {"max_new_tokens": 20, "temperature": 0}
    with LLM.load(recurrent_bundle) as one, api.load(recurrent_bundle, engine="eager") as other:
        for prompt in ([5, 6, 7, 8], [5, 6, 9]):
            assert one.generate(prompt, **given).tokens == other.generate(prompt, **given).tokens


def test_eager_needs_a_recipe(llm: LLM) -> None:
    roles = {r: f for r, f in llm.bundle.manifest["roles"].items() if r != "recipe"}
    bundle = type(llm.bundle)(llm.bundle.path, {**llm.bundle.manifest, "roles": roles})
    with pytest.raises(BundleRuntimeError, match="made from the bundle's recipe, and it has none"):
        opener("eager")(bundle, None, None)


@pytest.mark.slow
def test_the_runner_gives_the_same_tokens(llm: LLM, runner: LLM) -> None:
    """The process imports torch, which takes seconds."""
    given: dict[str, Any] = {"max_new_tokens": 128, "temperature": 0}
    for prompt in (PROMPT, "Zürich 雪 🎿"):
        expected = llm.generate(prompt, **given)
        found = runner.generate(prompt, **given)
        assert (found.tokens, found.text) == (expected.tokens, expected.text)
        assert found.finish == expected.finish
        assert found.stats.prompt_tokens == expected.stats.prompt_tokens
    expected = llm.generate(PROMPT, **given)
    cut = expected.tokens[5]
    stopped = runner.generate(PROMPT, stop_ids=[cut], **given)
    assert stopped.tokens == llm.generate(PROMPT, stop_ids=[cut], **given).tokens
    long = "a" * 20 + " the" * 600
    ids = runner.tokenizer.encode(long)[: runner.engine.context_length - 9]
    assert runner.tokenizer.encode(runner.tokenizer.decode(ids)) == ids
    found, expected = (each.generate(ids, **given) for each in (runner, llm))
    assert found.finish == "context"
    assert found.tokens == expected.tokens[:9]
    expected = llm.generate(PROMPT, **given)
    with runner.stream(PROMPT, **given) as stream:
        next(stream)
    assert runner.generate(PROMPT, **given).tokens == expected.tokens


@pytest.mark.slow
def test_the_runner_names_what_it_lacks(runner: LLM) -> None:
    sampling: tuple[dict[str, Any], ...] = ({"top_k": 5}, {"seed": 1}, {"repetition_penalty": 1.5})
    for setting in sampling:
        with pytest.raises(ArgumentError, match=f"'runner' has no {next(iter(setting))}: it"):
            runner.generate(PROMPT, temperature=1.0, **setting)
    for setting in ({"logprobs": 0}, {"logit_bias": {3: 1.0}}, {"ignore_eos": True}):
        with pytest.raises(ArgumentError, match=f"'runner' has no {next(iter(setting))}: it"):
            runner.generate(PROMPT, temperature=0, **setting)
    with pytest.raises(BundleRuntimeError, match="chooses the tokens itself and gives no logits"):
        runner.score(PROMPT)
    with pytest.raises(BundleRuntimeError, match="'runner' does not give out its state"):
        runner.snapshot()
    half = runner.tokenizer.encode("é", raw=False)[:1]
    with pytest.raises(BundleRuntimeError, match="no text has the tokens of this prompt"):
        runner.generate(half, temperature=0)


@pytest.mark.slow
def test_a_runner_whose_process_has_ended(portable_bundle: Path) -> None:
    with LLM.load(portable_bundle, engine="runner") as llm:
        os.kill(llm.engine._process.pid, 9)  # type: ignore[attr-defined]
        with pytest.raises(BundleRuntimeError, match="its process has ended"):
            llm.generate(PROMPT, temperature=0)
        with pytest.raises(BundleRuntimeError, match="the program is closed"):
            llm.generate(PROMPT, temperature=0)


def test_a_program_that_the_runner_cannot_run_is_refused(llm: LLM) -> None:
    facts = {**llm.bundle.manifest["program"], "token_dtype": "int32"}
    bundle = type(llm.bundle)(llm.bundle.path, {**llm.bundle.manifest, "program": facts})
    with pytest.raises(BundleRuntimeError, match="cannot run this program: its tokens are not int"):
        opener("runner")(bundle, None, None)


def test_tokens_without_a_decoder_are_their_ids(portable_bundle: Path) -> None:
    from tokenizers import Tokenizer

    content = without_decoder(portable_bundle / "tokenizer.json")
    ids, tokenizer = raw_ids(content), Tokenizer.from_str(content)
    for token in tokenizer.encode("Zürich 雪 🎿").ids:
        assert ids[str(tokenizer.id_to_token(token))] == token


def test_unknown_engines_are_refused(portable_bundle: Path) -> None:
    with pytest.raises(ArgumentError, match="there is no engine 'llamacpp'\n  fix:   one of "):
        LLM.load(portable_bundle, engine="llamacpp")
    with pytest.raises(ArgumentError, match="engine must be a name, not int"):
        LLM.load(portable_bundle, engine=1)  # type: ignore[arg-type]


def test_another_package_adds_an_engine(
    llm: LLM, portable_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("another_engine")
    module.OPENER = lambda bundle, data, threads: llm.program  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "another_engine", module)
    register("another", "another_engine:OPENER")
    assert "another" in engines()
    assert LLM.load(portable_bundle, engine="another").program is llm.program
    register("broken", "no_such_module:OPENER")
    with pytest.raises(BundleRuntimeError, match="the engine 'broken' cannot be used"):
        LLM.load(portable_bundle, engine="broken")


@pytest.mark.slow
def test_the_flag_chooses_an_engine(cli: Callable[..., Any], portable_bundle: Path) -> None:
    words = ["generate", str(portable_bundle), "--prompt", PROMPT, "--max-new-tokens", "8"]
    expected = cli(*words)
    found = cli(*words, "--engine", "eager")
    assert (found.returncode, found.stdout) == (0, expected.stdout)
    assert "no engine 'x'" in cli(*words, "--engine", "x").stderr
