"""What callers can ask of an LLM, from one thread or several, and what they are told otherwise."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runtime_py import LLM, ArgumentError, BundleRuntimeError, Generation, Sampling

USER = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def loaded(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


@pytest.fixture
def impatient() -> Iterator[None]:
    """Threads take turns as often as they can."""
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


@pytest.fixture
def llm(loaded: LLM) -> LLM:
    loaded.reset()
    return loaded


Call = Callable[[Any], Any]
WRONG: dict[str, tuple[Call, str]] = {
    "no prompt": (lambda m: m.generate(None), "a prompt must be a text or a list of token ids"),
    "a number": (lambda m: m.generate(3), "token ids, not int"),
    "bytes": (lambda m: m.generate(b"x"), "token ids, not bytes"),
    "mixed": (lambda m: m.generate([1, "a"]), "token ids, not a list of int"),
    "truths": (lambda m: m.generate([True]), "token ids, not a list of bool"),
    "fractions": (lambda m: m.generate([1.5]), "token ids, not a list of float"),
    "messages": (lambda m: m.generate(USER), "fix: +a list of messages goes to chat"),
    "half a character": (lambda m: m.generate("a\ud83d"), "character 1 is a lone surrogate"),
    "no text": (lambda m: m.generate(""), "the prompt is empty"),
    "no ids": (lambda m: m.generate([]), "the prompt is empty"),
    "id too large": (lambda m: m.generate([320]), "token id 320 is not in the vocabulary of 320"),
    "id negative": (lambda m: m.generate([-1]), "token id -1 is not"),
    "too long": (lambda m: m.generate([1] * 2048), "leaves no room for an answer"),
    "stop 3": (lambda m: m.generate("x", stop=3), "stop must be a text or a list of texts"),
    "stop bytes": (lambda m: m.generate("x", stop=b"a"), "stop must be a text"),
    "stop [3]": (lambda m: m.generate("x", stop=["a", 3]), "stop string must be a text .*, not 3"),
    "stop empty": (lambda m: m.generate("x", stop=""), "that is not empty, not ''"),
    "seed text": (lambda m: m.generate("x", seed="1"), "seed must be a whole number .*, not '1'"),
    "seed large": (lambda m: m.chat(USER, seed=2**64), "seed must be a whole number of 64 bits"),
    "on_text": (lambda m: m.generate("x", on_text="print"), "on_text must be a function, not str"),
    "sampling": (lambda m: m.chat(USER, sampling={"top_k": 1}), "must be a Sampling, not dict"),
    "top_k": (lambda m: m.stream("x", top_k="1"), "top_k must be a whole number .*, not '1'"),
    "mistyped": (lambda m: m.generate("x", temperture=1), "did you mean temperature"),
    "mistyped chat": (lambda m: m.chat(USER, top_kk=1), "did you mean top_k"),
    "mistyped stream": (lambda m: m.stream("x", max_tokens=1), "did you mean max_new_tokens"),
    "stop_ids": (lambda m: m.generate("x", stop_ids=["a"]), "stop_ids must be token ids"),
    "ignore_eos": (lambda m: m.chat(USER, ignore_eos=1), "ignore_eos must be true or false"),
    "bias": (lambda m: m.generate("x", logit_bias=[3]), "logit_bias must map token ids"),
    "bias value": (lambda m: m.generate("x", logit_bias={3: "a"}), "to numbers, not 3 to 'a'"),
    "bias nan": (lambda m: m.chat(USER, logit_bias={3: float("nan")}), "must be from -1e30"),
    "bias token": (lambda m: m.generate("x", logit_bias={320: 1}), "has the token 320"),
    "logprobs": (lambda m: m.generate("x", logprobs=True), "logprobs must be a whole number"),
    "processor": (lambda m: m.chat(USER, logits_processor=3), "logits_processor must be a func"),
    "n": (lambda m: m.n_best("x", 0), "n must be a whole number from 1, not 0"),
    "n seed": (lambda m: m.n_best("x", 2, seed="1"), "seed must be a whole number .*, not '1'"),
    "n seeds": (lambda m: m.n_best("x", 2, seed=2**64 - 1), "seed must be .* of 64 bits"),
    "n on_text": (lambda m: m.n_best("x", 2, on_text=print), "did you mean documents|choices: "),
    "stop token": (lambda m: m.generate("x", stop_ids=[-1]), "stop_ids has the token -1"),
    "score top": (lambda m: m.score("x", top=-1), "top must be a whole number"),
    "score long": (lambda m: m.score([1] * 2049), "the text has 2049 tokens"),
    "variable": (lambda m: m.chat(USER, flavour="sweet"), "there is no argument 'flavour'"),
    "chat 3": (lambda m: m.chat(3), "messages must be a list of messages, not int"),
    "chat texts": (lambda m: m.chat(["hello"]), "a message must be a dict, not str"),
    "stream texts": (lambda m: m.stream(["hello"]), "a message must be a dict, not str"),
    "count": (lambda m: m.count_tokens({}), "a prompt must be a text .*, not dict"),
    "tools": (lambda m: m.chat(USER, tools=[3]), "a tool must be a function or a JSON schema"),
    "documents": (lambda m: m.chat(USER, documents="x"), "documents must be a list of dicts"),
    "path": (lambda m: type(m).load(None), "path must be that of a bundle, not NoneType"),
    "threads": (lambda m: type(m).load(m.bundle.path, threads=0), "threads must be .* not 0"),
    "threads text": (lambda m: type(m).load(m.bundle.path, threads="2"), "threads must be .* not"),
    "adapter": (lambda m: type(m).load(m.bundle.path, adapter=3), "adapter must be a name or None"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_are_named(llm: LLM, case: str) -> None:
    call, words = WRONG[case]
    with pytest.raises(BundleRuntimeError) as caught:
        call(llm)
    caught.match(words)
    assert llm.generate("abc", max_new_tokens=2).tokens  # and nothing is stuck


def test_wrong_arguments_are_value_errors_too(llm: LLM) -> None:
    with pytest.raises(ValueError, match="token id 999"):
        llm.generate([999])
    assert issubclass(ArgumentError, BundleRuntimeError)


def test_ids_are_a_prompt(llm: LLM) -> None:
    ids = llm.tokenizer.encode("hello")
    expected = llm.generate("hello", max_new_tokens=6).tokens
    for prompt in (ids, tuple(ids), torch.tensor(ids), np.array(ids), list(np.array(ids))):
        assert llm.generate(prompt, max_new_tokens=6).tokens == expected  # type: ignore[arg-type]


def test_a_text_is_a_message_of_the_user(llm: LLM) -> None:
    assert llm.chat("hello", max_new_tokens=4).tokens == llm.chat(USER, max_new_tokens=4).tokens


def test_tokens_are_counted_as_they_are_fed(llm: LLM) -> None:
    prompts: list[Any] = ["hello", [1, 2, 3], USER]
    for prompt in prompts:
        stream = llm.stream(prompt, max_new_tokens=1)
        list(stream)
        assert llm.count_tokens(prompt) == stream.result.stats.prompt_tokens


def test_one_stop_string_is_a_list_of_one(llm: LLM) -> None:
    free = llm.generate("abc", max_new_tokens=30)
    word = free.text[8:11]
    for stop in (word, [word], (word, "never there"), {word}):
        stopped = llm.generate("abc", max_new_tokens=30, stop=stop)  # type: ignore[arg-type]
        assert (stopped.finish, stopped.text) == ("stop", free.text[: free.text.index(word)])
    assert llm.generate("abc", max_new_tokens=30, stop=None).text == free.text  # type: ignore[arg-type]


def test_settings_are_those_given(llm: LLM) -> None:
    hot = Sampling(temperature=1.5, top_k=20, max_new_tokens=5, min_p=0.01)
    first = llm.generate("abc", sampling=hot, seed=3)
    again = llm.generate("abc", seed=3, temperature=1.5, top_k=20, max_new_tokens=5, min_p=0.01)
    assert first.tokens == again.tokens
    assert first.tokens != llm.generate("abc", max_new_tokens=5).tokens
    assert len(llm.chat(USER, sampling=hot, max_new_tokens=2, seed=3).tokens) == 2
    assert list(llm.stream("abc", sampling=hot, seed=3)) != []


def test_a_repetition_penalty_applies_to_prompt_and_answer(llm: LLM) -> None:
    once = llm.generate("abc", max_new_tokens=40, repetition_penalty=1e9)
    assert len(set(once.tokens)) == len(once.tokens)
    assert not set(once.tokens) & set(llm.tokenizer.encode("abc"))


def test_a_stream_yields_what_generate_returns(llm: LLM) -> None:
    whole = llm.generate("abc", max_new_tokens=20)
    pieces: list[str] = []
    assert llm.generate("abc", max_new_tokens=20, on_text=pieces.append).text == "".join(pieces)
    with llm.stream("abc", max_new_tokens=20) as stream:
        assert list(stream) == pieces
    assert (stream.result.text, stream.result.tokens) == (whole.text, whole.tokens)
    assert stream.result.finish == whole.finish == "length"
    assert "".join(llm.stream(USER, max_new_tokens=9)) == llm.chat(USER, max_new_tokens=9).text


def test_a_stream_that_is_left_frees_the_model(llm: LLM) -> None:
    whole = llm.generate("abc", max_new_tokens=20).text
    stream = llm.stream("abc", max_new_tokens=20)
    first = next(stream)
    with pytest.raises(BundleRuntimeError, match="still being generated in this thread"):
        llm.generate("x")
    with pytest.raises(BundleRuntimeError, match="finish or close the stream"):
        llm.reset()
    assert first + "".join(stream) == whole
    for leave in (lambda s: s.close(), lambda s: None):
        stream = llm.stream("abc", max_new_tokens=20)
        next(stream)
        leave(stream)
        assert stream.result.finish == ""
        del stream
        assert llm.generate("abc", max_new_tokens=20).text == whole


def test_a_stream_may_go_from_thread_to_thread(llm: LLM) -> None:
    whole = llm.generate("abc", max_new_tokens=12).text
    stream = llm.stream("abc", max_new_tokens=12)
    pieces: list[str] = []
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        for index in range(200):
            piece = (one, other)[index % 2].submit(next, stream, None).result(timeout=300)
            if piece is None:
                break
            pieces.append(piece)
        assert one.submit(lambda: llm.generate("abc", max_new_tokens=12).text).result() == whole
    assert "".join(pieces) == whole


def test_an_answer_within_an_answer_is_refused(llm: LLM) -> None:
    def ask(piece: str) -> None:
        llm.generate("x")

    with pytest.raises(BundleRuntimeError, match="still being generated"):
        llm.generate("abc", on_text=ask)
    assert llm.generate("abc", max_new_tokens=2).tokens


def test_an_error_of_on_text_ends_the_answer(llm: LLM) -> None:
    def broken(piece: str) -> None:
        raise KeyError(piece)

    try:
        llm.generate("abc", on_text=broken)
    except KeyError:  # its traceback still refers to the stream
        assert llm.generate("abc", max_new_tokens=2).tokens
    else:
        pytest.fail("the error was not passed on")


def test_threads_share_a_model(llm: LLM, impatient: None) -> None:
    prompts = [f"{name} went" for name in ("Anne", "Bob", "Charlotte", "Dr Smith")]
    alone: list[Generation] = []
    for prompt in prompts:
        llm.reset()
        alone.append(llm.generate(prompt, max_new_tokens=24))
    together: dict[int, list[Generation]] = {i: [] for i in range(len(prompts))}
    start = threading.Barrier(len(prompts))

    def ask(index: int) -> None:
        start.wait()
        for _ in range(3):
            together[index].append(llm.generate(prompts[index], max_new_tokens=24))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, expected in enumerate(alone):
        assert [a.tokens for a in together[index]] == [expected.tokens] * 3
        assert {a.text for a in together[index]} == {expected.text}


def test_a_template_that_is_not_valid_leaves_generate(
    portable_bundle: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(portable_bundle, tmp_path / "b"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "chat_template.jinja").write_text("{% if %}")
    manifest["files"]["chat_template.jinja"]["bytes"] = 8
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleRuntimeError, match=r"chat_template.jinja has another sha256"):
        LLM.load(bundle)
    with LLM.load(bundle, verify_hashes=False) as llm:
        assert llm.generate("abc", max_new_tokens=2).tokens
        with pytest.raises(BundleRuntimeError, match="the chat template is not valid"):
            llm.chat("hello")


def test_a_template_for_tools_is_taken_with_tools(portable_bundle: Path, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(portable_bundle, tmp_path / "b"))
    name, text = "additional_chat_templates/tool_use.jinja", "tools: {{ tools[0].name }}"
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / name).parent.mkdir()
    (bundle / name).write_text(text)
    manifest["roles"]["tool_use_template"] = name
    digest = hashlib.sha256(text.encode()).hexdigest()
    manifest["files"][name] = {"bytes": len(text), "sha256": digest}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    asked = [{"role": "user", "content": "a"}]
    with LLM.load(bundle) as llm, LLM.load(portable_bundle) as former:
        assert llm.count_tokens(asked) == former.count_tokens(asked)
        prompt = llm.tokenizer.encode("tools: x", raw=False)
        assert llm.count_tokens(asked, tools=[{"name": "x"}]) == len(prompt)
        assert former.tool_use_template is None
        with pytest.raises(ArgumentError, match="does not read tools, so the model"):
            former.count_tokens(asked, tools=[{"name": "x"}])
        assert former.count_tokens(asked, tools=[]) == former.count_tokens(asked)


def test_a_closed_model_says_so(portable_bundle: Path) -> None:
    with LLM.load(portable_bundle) as llm:
        assert "0 cached" in repr(llm)
        llm.generate("abc", max_new_tokens=2)
        assert "tiny_portable_none" in repr(llm)
        assert "context 2048 tokens, 4 cached" in repr(llm)
    assert "closed" in repr(llm)
    llm.close()
    with pytest.raises(BundleRuntimeError, match="the program is closed"):
        llm.generate("abc")
    assert llm.count_tokens("abc") == 3


def test_tokens_that_end_an_answer(llm: LLM) -> None:
    free = llm.generate("abc", max_new_tokens=12)
    end = free.tokens[5]
    stopped = llm.generate("abc", max_new_tokens=12, stop_ids=[end])
    at = free.tokens.index(end)
    assert (stopped.finish, stopped.tokens) == ("stop", free.tokens[: at + 1])
    assert stopped.text == llm.tokenizer.decode(free.tokens[:at])


def test_log_probabilities_are_those_of_the_logits(llm: LLM) -> None:
    answer = llm.generate("abc", max_new_tokens=6, logprobs=2)
    assert [each.token for each in answer.logprobs] == answer.tokens
    assert all(each.top[0] == (each.token, each.logprob) for each in answer.logprobs)  # greedy
    ids = llm.tokenizer.encode("abc")
    scored = llm.score([*ids, *answer.tokens], top=1)
    assert len(scored) == len(ids) + 5
    for each, other in zip(answer.logprobs, scored[len(ids) - 1 :], strict=True):
        assert each.logprob == pytest.approx(other.logprob, abs=1e-4)
    assert llm.generate("abc", max_new_tokens=6).tokens == answer.tokens
    assert llm.generate("abc", max_new_tokens=2).logprobs == []


def test_the_best_of_several_answers_is_first(llm: LLM) -> None:
    said: dict[str, Any] = {"temperature": 1.5, "max_new_tokens": 5}
    answers = llm.n_best("abc", 3, seed=1, **said)
    alone = [llm.generate("abc", seed=1 + i, logprobs=0, **said) for i in range(3)]
    order = sorted(alone, key=lambda answer: -answer.mean_logprob)
    assert [a.tokens for a in answers] == [a.tokens for a in order]
    assert len({tuple(a.tokens) for a in answers}) == 3
    assert llm.n_best("abc", 1, logprobs=None, **said)[0].logprobs, "they give the order"
    assert max(a.stats.cached_tokens for a in answers) > 0


def test_bias_and_processor_rule_the_answer(llm: LLM) -> None:
    free = llm.generate("abc", max_new_tokens=3)
    without = llm.generate("abc", max_new_tokens=3, logit_bias={free.tokens[0]: float("-inf")})
    assert without.tokens[0] != free.tokens[0]
    with pytest.raises(BundleRuntimeError, match="logits_processor that leave tokens"):
        llm.generate("abc", logit_bias=dict.fromkeys(range(320), float("-inf")), stop_ids=None)
    forced = llm.generate("abc", max_new_tokens=3,
                          logits_processor=lambda ids, scores: scores.index_fill(
                              0, torch.tensor([50 + len(ids)]), 1e9))  # fmt: skip
    first = 50 + len(llm.tokenizer.encode("abc"))
    assert forced.tokens == [first, first + 1, first + 2]
