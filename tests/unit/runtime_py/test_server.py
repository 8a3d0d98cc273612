"""The server with a real program, over a port of this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from server_tools import USER, error_of, events, times_opened

from runtime_py import LLM
from runtime_py.server import Settings
from runtime_py.server.listen import background
from runtime_py.server.serving import Serving
from runtime_py.server.slots import Slot, Slots

Served = tuple[httpx2.Client, Serving]


@pytest.fixture(scope="module")
def served(portable_bundle: Path) -> Iterator[Served]:
    settings = Settings(port=0, max_tokens=400, max_body=100_000, model_name="tiny")
    with (
        background(portable_bundle, settings) as (address, serving),
        httpx2.Client(base_url=address, timeout=300) as client,
    ):
        yield client, serving


@pytest.fixture(scope="module")
def llm(portable_bundle: Path) -> LLM:
    return LLM.load(portable_bundle)


def chat(client: httpx2.Client, **given: Any) -> dict[str, Any]:
    body = {"messages": USER, "max_tokens": 8, **given}
    response = client.post("/v1/chat/completions", json=body)
    assert response.status_code == 200, response.text
    made: dict[str, Any] = response.json()
    return made


def test_a_bundle_is_opened_once(portable_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert times_opened(portable_bundle, monkeypatch) == 1


def test_chat_is_that_of_the_runtime(served: Served, llm: LLM) -> None:
    made = chat(served[0], logprobs=True, top_logprobs=2)
    answer = llm.chat(USER, max_new_tokens=8, logprobs=2)
    (choice,) = made["choices"]
    assert choice["message"] == {"role": "assistant", "content": answer.text, "refusal": None}
    assert choice["finish_reason"] in ("length", "stop")
    assert made["object"] == "chat.completion"
    assert made["usage"]["prompt_tokens"] == answer.stats.prompt_tokens
    assert made["usage"]["completion_tokens"] == answer.stats.generated_tokens
    found = choice["logprobs"]["content"]
    assert [each["logprob"] for each in found] == pytest.approx(
        [each.logprob for each in answer.logprobs], abs=1e-5
    )
    assert all(len(each["top_logprobs"]) == 2 for each in found)
    assert chat(served[0])["usage"]["prompt_tokens_details"]["cached_tokens"] > 0


def test_a_stream_says_the_same(served: Served) -> None:
    whole = chat(served[0], n=2, seed=5, temperature=0.9)
    body = {"messages": USER, "max_tokens": 8, "n": 2, "seed": 5, "temperature": 0.9,
            "stream": True, "stream_options": {"include_usage": True}}  # fmt: skip
    response = served[0].post("/v1/chat/completions", json=body)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    chunks = events(response.text)
    for choice in whole["choices"]:
        own = [c for chunk in chunks for c in chunk["choices"] if c["index"] == choice["index"]]
        text = "".join(each["delta"].get("content", "") for each in own)
        assert text == choice["message"]["content"]
        assert own[-1]["finish_reason"] == choice["finish_reason"]
    assert chunks[-1]["choices"] == []
    same = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert [chunks[-1]["usage"][n] for n in same] == [whole["usage"][n] for n in same]
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


WRONG: dict[str, tuple[str, Any, int, str, str | None, str | None]] = {
    "no json": ("chat/completions", "{", 400, "the body is not valid JSON", None, None),
    "a list": ("chat/completions", "[]", 400, "must be a JSON object", None, None),
    "deep": ("chat/completions", "[" * 50_000, 400, "not valid JSON", None, None),
    "no messages": ("chat/completions", {}, 400, "'messages' is missing", "messages",
                    "missing_required_parameter"),
    "unknown": ("chat/completions", {"temprature": 1}, 400, "did you mean 'temperature'?",
                "temprature", "unknown_parameter"),
    "unsupported": ("chat/completions", {"audio": {}}, 400, "not supported: the model writes text",
                    "audio", "unsupported_parameter"),
    "type": ("chat/completions", {"temperature": "hot"}, 400, "should be a valid number",
             "temperature", "invalid_value"),
    "range": ("chat/completions", {"top_p": 3}, 400, "top_p must be in (0, 1], not 3", "top_p",
              None),
    "seed": ("chat/completions", {"seed": 2**70}, 400, "seed must be a whole number", "seed", None),
    "role": ("chat/completions", {"messages": [{"role": "boss", "content": "x"}]}, 400,
             "role must be one of system", "messages[0].role", None),
    "image": ("chat/completions",
              {"messages": [{"role": "user", "content": [
                  {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]},
              400, "the model reads text only", "messages", "unsupported_content"),
    "image elsewhere": (
        "chat/completions", {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}]}]},
        400, "must be a data URL", "messages[0].content[0].image_url", "unsupported_content"),
    "audio": ("chat/completions",
              {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, 400,
              "must be a part of type text or image_url", "messages[0].content[0]",
              "unsupported_content"),
    "long": ("chat/completions", {"messages": [{"role": "user", "content": "word " * 3000}]}, 400,
             "leaves no room for an answer", "messages", "context_length_exceeded"),
    "model": ("chat/completions", {"model": "gpt-9"}, 404,
              "no model 'gpt-9'; the server has 'tiny'", "model", "model_not_found"),
    "bias": ("chat/completions", {"logit_bias": {"x": 1}}, 400, "must map token ids", "logit_bias",
             None),
    "tools": ("chat/completions", {"tools": [{"type": "web_search"}]}, 400,
              "tools[0] must be a function with a name", "tools[0]", None),
    "choice": ("chat/completions", {"tool_choice": "required"}, 400, "tool_choice needs tools",
               "tool_choice", None),
    "parallel": ("chat/completions",
                 {"tools": [{"type": "function", "function": {"name": "f"}}],
                  "parallel_tool_calls": False}, 400, "the model may call several tools",
                 "parallel_tool_calls", "unsupported_value"),
    "prompts": ("completions", {"prompt": ["x"] * 513}, 400, "512 prompts at most", "prompt",
                None),
    "format": ("chat/completions", {"response_format": {"type": "xml"}}, 400,
               "must have a type of text, json_object, json_schema", "response_format", None),
    "variable": ("chat/completions", {"chat_template_kwargs": {"logits_processor": 1}}, 400,
                 "has no variable 'logits_processor'", "chat_template_kwargs", None),
    "top": ("chat/completions", {"top_logprobs": 3}, 400, "needs logprobs: true", "top_logprobs",
            None),
    "effort": ("chat/completions", {"reasoning_effort": "low"}, 400, "does not know",
               "reasoning_effort", "unsupported_parameter"),
    "prompt": ("completions", {"prompt": []}, 400, "a prompt is empty", "prompt", None),
    "suffix": ("completions", {"prompt": "x", "suffix": "y"}, 400, "only goes on at the end",
               "suffix", "unsupported_parameter"),
    "id": ("completions", {"prompt": [5000]}, 400, "not in the vocabulary", None, None),
    "nothing": ("completions", {"prompt": "x", "max_tokens": 0}, 400, "without echo", "max_tokens",
                None),
    "previous": ("responses", {"input": "x", "previous_response_id": "resp_0"}, 404,
                 "there is no response 'resp_0'", "previous_response_id", "response_not_found"),
    "item": ("responses", {"input": [{"type": "computer_call"}]}, 400, "type must be message",
             "input[0].type", "unsupported_value"),
    "truncation": ("responses", {"input": "x", "truncation": "auto"}, 400, "only be disabled",
                   "truncation", "unsupported_value"),
    "embeddings": ("embeddings", {"input": "x"}, 400, "'tiny' does not embed", "model",
                   "model_not_supported"),
    "route": ("audio/speech", {}, 404, "no such route: POST /v1/audio/speech", None,
              "unknown_route"),
    "digits": ("chat/completions", {"logit_bias": {"9" * 5000: 1}}, 400, "must map token ids",
               "logit_bias", None),
    "arguments": ("chat/completions",
                  {"messages": [{"role": "assistant", "tool_calls": [
                      {"function": {"name": "f", "arguments": "[" * 50_000}}]}]}, 400,
                  "is not valid JSON", "messages[0].tool_calls[0].function.arguments", None),
    "infinite": ("responses", '{"input": "x", "metadata": {"a": 1e999}}', 400, "is not finite",
                 None, None),
    "too long to encode": ("completions", {"prompt": "x" * 99_900}, 400, "99900 characters",
                           "prompt", "context_length_exceeded"),
    "large": ("completions", {"prompt": "x" * 200_000}, 413, "more than 100000 bytes", None,
              "request_too_large"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(served: Served, case: str) -> None:
    path, body, status, text, param, code = WRONG[case]
    if path == "chat/completions" and isinstance(body, dict) and case != "no messages":
        body = {"messages": USER, **body}
    content = body if isinstance(body, str) else json.dumps(body)
    found = error_of(served[0].post(f"/v1/{path}", content=content))
    assert text in found[1]
    assert (found[0], found[2], found[3]) == (status, param, code)
    assert served[1].running == []


def test_a_constraint_that_proves_too_complex_is_the_requests_fault(served: Served) -> None:
    schema = {"type": "string", "pattern": r"^((\w{0,50}\s?){0,50}x?){1,100}$"}
    form = {"type": "json_schema", "json_schema": {"name": "words", "schema": schema}}
    body = {"messages": USER, "max_tokens": 300, "response_format": form, "stream": True}
    response = served[0].post("/v1/chat/completions", json=body)
    assert response.status_code == 200  # an answer has begun
    assert events(response.text)[-1]["error"]["type"] == "invalid_request_error"
    found = error_of(served[0].post("/v1/chat/completions", json={**body, "stream": False}))
    assert found[0] == 400
    assert found[1].startswith("the constraint cannot be followed: ")
    assert found[1].endswith("(a simpler schema, regex or grammar)")


def test_a_slot_is_not_lost_when_there_is_no_memory_for_a_copy(
    llm: LLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots, ids = Slots(llm, 2), [*range(1, 100)]
    first = slots.take([])
    first.generate(ids, max_new_tokens=1)
    slots.give_back(first)

    def fails(self: Slot, count: int) -> Slot:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Slot, "beginning", fails)
        with pytest.raises(MemoryError):
            slots.take([*ids[:30], 200])
    taken = [slots.take([*ids[:30], 200]), slots.take([])]
    assert taken[0].generate(ids[:20], max_new_tokens=1).tokens
    assert taken[1] is first


def test_a_base_model_takes_raw_prompts_only(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LLM, "template", None)
    found = error_of(served[0].post("/v1/chat/completions", json={"messages": USER}))
    assert found[::3] == (400, "no_chat_template")
    assert "use /v1/completions" in found[1]


def test_a_body_without_a_length_is_limited(served: Served) -> None:
    pieces = (b"x" * 10_000 for _ in range(20))
    response = served[0].post("/v1/completions", content=pieces)
    assert error_of(response)[0] == 413


def test_completions_of_several_prompts(served: Served, llm: LLM) -> None:
    prompts = [llm.tokenizer.encode("ab"), [1, 2, 3]]
    body = {"prompt": prompts, "max_tokens": 4, "n": 2, "seed": 1, "temperature": 1.0}
    made = served[0].post("/v1/completions", json=body).json()
    assert [choice["index"] for choice in made["choices"]] == [0, 1, 2, 3]
    first = llm.generate("ab", max_new_tokens=4, seed=1, temperature=1.0)
    last = llm.generate([1, 2, 3], max_new_tokens=4, seed=2, temperature=1.0)
    assert made["choices"][0]["text"] == first.text
    assert made["choices"][3]["text"] == last.text
    assert made["usage"]["prompt_tokens"] == sum(map(len, prompts))


def test_log_probabilities_of_a_prompt(served: Served, llm: LLM) -> None:
    body = {"prompt": "hello", "max_tokens": 0, "echo": True, "logprobs": 1}
    (choice,) = served[0].post("/v1/completions", json=body).json()["choices"]
    expected = [each.logprob for each in llm.score("hello")]
    assert choice["text"] == "hello"
    assert choice["logprobs"]["token_logprobs"][0] is None
    assert choice["logprobs"]["token_logprobs"][1:] == pytest.approx(expected, abs=1e-5)


def test_responses_go_on_from_one_another(served: Served, llm: LLM) -> None:
    client = served[0]
    body = {"input": "hi", "instructions": "Be short.", "max_output_tokens": 4}
    first = client.post("/v1/responses", json=body).json()
    again = {"input": "more", "previous_response_id": first["id"], "max_output_tokens": 4}
    second = client.post("/v1/responses", json=again).json()
    text = first["output"][0]["content"][0]["text"]
    told = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": text},
            {"role": "user", "content": "more"}]  # fmt: skip
    assert second["usage"]["input_tokens"] == llm.count_tokens(told)
    assert second["output"][0]["content"][0]["text"] == llm.chat(told, max_new_tokens=4).text
    assert client.get(f"/v1/responses/{second['id']}").json() == second
    assert client.delete(f"/v1/responses/{second['id']}").json()["deleted"]
    assert client.get(f"/v1/responses/{second['id']}").status_code == 404

    streamed = events(client.post("/v1/responses", json={**again, "stream": True}).text)
    assert [event["sequence_number"] for event in streamed] == list(range(len(streamed)))
    kinds = [event["type"].removeprefix("response.") for event in streamed]
    assert [*kinds[:4], *kinds[-4:]] == [
        "created", "in_progress", "output_item.added", "content_part.added",
        "output_text.done", "content_part.done", "output_item.done", second["status"],
    ]  # fmt: skip
    last = streamed[-1]["response"]
    assert last["output"][0]["content"] == second["output"][0]["content"]
    assert (
        "".join(e["delta"] for e in streamed if "delta" in e)
        == (last["output"][0]["content"][0]["text"])
    )


def test_answers_in_turns_are_those_of_one_after_another(served: Served) -> None:
    client, serving = served
    asked = [[{"role": "user", "content": f"{i} " * (5 * i + 1)}] for i in range(5)]
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        made = chat(client, messages=asked[number], max_tokens=40)
        found[number] = made["choices"][0]["message"]["content"]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
    for thread in threads:
        thread.start()
    most = 0
    while any(thread.is_alive() for thread in threads):
        most = max(most, len(serving.running))
        time.sleep(0.002)
    assert most > 1
    for number, messages in enumerate(asked):
        made = chat(client, messages=messages, max_tokens=40)
        assert made["choices"][0]["message"]["content"] == found[number]


def test_a_conversation_keeps_its_slot_when_another_one_begins_alike(llm: LLM) -> None:
    slots = Slots(llm, 2)
    first = slots.take([])
    system = [*range(1, 31)]
    text = llm.generate([*system, *range(40, 140)], max_new_tokens=1)
    first.generate([*system, *range(40, 140)], max_new_tokens=1)
    slots.give_back(first)
    second = slots.take([*system, 200, 201])
    assert second is not first
    assert second.tokens == system
    answer = second.generate([*system, 200, 201], max_new_tokens=4)
    assert answer.stats.cached_tokens == len(system)
    llm.reset()
    assert answer.tokens == llm.generate([*system, 200, 201], max_new_tokens=4).tokens
    slots.give_back(second)
    again = slots.take([*system, *range(40, 140), 7])
    assert again is first
    assert first.generate([*system, *range(40, 140)], max_new_tokens=1).tokens == text.tokens


def test_an_answer_ends_when_its_client_leaves(served: Served) -> None:
    client, serving = served
    before = serving.metrics.text()
    # So many answers that they last, however late this thread goes on.
    body = {"messages": USER, "max_tokens": 400, "ignore_eos": True, "stream": True, "n": 128}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        # Kept, because an iterator that is collected closes the connection.
        lines = response.iter_lines()
        while not _delta(next(lines)).get("content"):
            pass  # the model has not begun with the answer
        assert len(serving.running) == 1
    limit = time.monotonic() + 120
    while serving.running and time.monotonic() < limit:
        time.sleep(0.005)
    assert serving.running == []
    assert _counted(serving.metrics.text(), "cancelled") == _counted(before, "cancelled") + 1


def _delta(line: str) -> dict[str, Any]:
    chunk = json.loads(line.removeprefix("data: ")) if line else {"choices": [{"delta": {}}]}
    delta: dict[str, Any] = chunk["choices"][0]["delta"]
    return delta


def _counted(text: bytes, word: str) -> float:
    name = f"llm_answers_{word}_total "
    return next(
        float(line.removeprefix(name))
        for line in text.decode().splitlines()
        if line.startswith(name)
    )


def test_what_the_server_says_of_itself(served: Served) -> None:
    client = served[0]
    assert client.get("/health").json() == {"status": "ok"}
    (model,) = client.get("/v1/models").json()["data"]
    assert (model["id"], model["meta"]["n_ctx"]) == ("tiny", 2048)
    assert client.get("/v1/models/tiny").json() == model
    assert error_of(client.get("/v1/models/big"))[3] == "model_not_found"
    assert error_of(client.get("/v1/completions"))[3] == "method_not_allowed"
    text = client.get("/metrics").text
    for name in ("requests_total", "generated_tokens_total", "cached_tokens_total",
                 "requests_waiting", "time_to_first_token_seconds_bucket"):  # fmt: skip
        assert f"\nllm_{name}" in text
    assert "_created" not in text
