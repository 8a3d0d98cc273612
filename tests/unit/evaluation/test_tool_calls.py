"""The share of answers with a call, and with the float model's call."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from llm_export.config.evaluate_schema import EvaluateConfig
from llm_export.errors import InputError
from llm_export.evaluation.base import Request
from llm_export.evaluation.generation import greedy
from llm_export.evaluation.tool_calls import ToolCalls
from runtime_py.chat_template import ChatTemplate
from runtime_py.llm import load_tokenizer
from runtime_py.tokenizer import TextTokenizer

TEMPLATE = "{% if tools %}{{ tools | length }} tools.{% endif %}{{ messages[-1].content }}\n"
WEATHER = '{"name": "get_weather", "arguments": {"location": "Oslo"}}'
OTHER_PLACE = '{"name": "get_weather", "arguments": {"location": "Rome"}}'
ALARM = '{"name": "set_alarm", "arguments": {"label": "tea"}}'


class Scripted:
    """A model that answers its questions, in order, with certain texts."""

    context_length = 4096

    def __init__(self, layer: str, tokenizer: TextTokenizer, answers: Sequence[str]) -> None:
        self.layer, self._end = layer, min(tokenizer.eos_ids)
        self._answers = [tokenizer.encode(answer, raw=False) for answer in answers]
        self._asked: list[list[int]] = []

    def rows(self, ids: Sequence[int], first: int) -> Iterator[Tensor]:
        assert first == len(ids) - 1
        if not self._asked or list(ids[: len(self._asked[-1])]) != self._asked[-1]:
            self._asked.append(list(ids))
        done = len(ids) - len(self._asked[-1])
        answer = [*self._answers[len(self._asked) - 1], self._end]
        yield torch.nn.functional.one_hot(torch.tensor([answer[done]]), 400).float()


@pytest.fixture(scope="module")
def request_(portable_bundle: Path) -> Request:
    template = ChatTemplate(TEMPLATE, {})
    return Request(
        EvaluateConfig(name="x", max_examples=4), load_tokenizer(portable_bundle),
        portable_bundle / "tokenizer.json", 320, template, template, portable_bundle,
    )  # fmt: skip


def test_calls_are_counted_and_compared(request_: Request) -> None:
    task, tokenizer = ToolCalls(request_), request_.tokenizer
    first = task.score(Scripted("float", tokenizer, [WEATHER, ALARM, "Sure!", WEATHER]))
    assert first.values == {"call_rate": 0.75, "valid_rate": 0.5}
    assert first.count == 4
    made = task.score(Scripted("program", tokenizer, [WEATHER, "No.", ALARM, OTHER_PLACE]))
    assert made.values == pytest.approx(
        {"call_rate": 0.75, "valid_rate": 0.5, "same_tool": 2 / 3, "same_call": 1 / 3}
    )


def test_a_model_that_is_not_told_of_tools_is_not_measured(request_: Request) -> None:
    deaf = ChatTemplate("{{ messages[-1].content }}", {})
    for template, said in ((deaf, "renders no tools"), (None, "no chat template")):
        with pytest.raises(InputError, match=said):
            ToolCalls(replace(request_, tool_template=template))
    short = Scripted("program", request_.tokenizer, [])
    short.context_length = 100
    with pytest.raises(InputError, match="do not fit the context of 100"):
        ToolCalls(request_).score(short)


def test_an_answer_ends_with_its_context(request_: Request) -> None:
    subject = Scripted("program", request_.tokenizer, ["abcdef"] * 3)
    ids = request_.tokenizer.encode("ask", raw=False)
    assert len(greedy(subject, ids, most=4, ends=())) == 4
    subject.context_length = len(ids) + 1
    assert len(greedy(subject, ids, most=9, ends=())) == 2
