"""Tool-call fidelity: do answers to questions with tools hold calls, and the float model's calls?

Questions are rendered with the tools by the model's own chat template, answered greedily, and the
calls read from the text of the answer, special tokens included.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from llm_export.errors import InputError
from llm_export.evaluation.base import EvaluationTask, Request, Subject
from llm_export.evaluation.call_parsing import Call, calls_of
from llm_export.evaluation.generation import greedy
from llm_export.evaluation.harness_names import DATA
from llm_export.evaluation.results import FLOAT, Score
from llm_export.metrics.value import Value
from llm_export.tokenizers.chat_opening import opening
from runtime_py.chat_template import ChatTemplate

_MOST = 128
"""Tokens of an answer."""


class ToolCalls:
    columns = (
        Value("call_rate", "answers with a call", "share", True, short_title="tool calls",
              form="{:.3f}"),
        Value("valid_rate", "with all its arguments", "share", True, form="{:.3f}", brief=False),
        Value("same_tool", "same tool as float32", "share", True, short_title="same tool",
              form="{:.3f}"),
        Value("same_call", "same call as float32", "share", True, form="{:.3f}", brief=False),
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        body = json.loads((DATA / "tool_prompts.json").read_text(encoding="utf-8"))
        tools = body["tools"]
        questions = body["questions"][: request.settings.max_examples]
        self._required = {
            tool["function"]["name"]: set(tool["function"]["parameters"]["required"])
            for tool in tools
        }
        template = request.tool_template
        if template is None:
            raise InputError("the model has no chat template, so it calls no tools")
        self._prompts = [
            request.tokenizer.encode(_rendered(template, question, tools), raw=False)
            for question in questions
        ]
        self._ends = request.tokenizer.eos_ids
        self._decoder = Tokenizer.from_file(str(request.tokenizer_file))
        self._progress = request.progress
        self._reference: list[Call | None] | None = None
        self.about = (
            f"{len(questions)} questions with {len(tools)} tools, answered greedily in up to "
            f"{_MOST} tokens. A valid call has all required arguments. Tool and call are compared "
            "with the float32 model where that makes a call."
        )

    def score(self, subject: Subject) -> Score:
        longest = max(len(prompt) for prompt in self._prompts)
        if longest + _MOST > subject.context_length:
            raise InputError(
                f"prompts of {longest} tokens and answers of {_MOST} do not fit the context of "
                f"{subject.context_length}",
                fix="a larger runtime.context_length",
            )
        calls = [self._call(subject, prompt, i) for i, prompt in enumerate(self._prompts, start=1)]
        values = {
            "call_rate": _share([call is not None for call in calls]),
            "valid_rate": _share([self._is_valid(call) for call in calls]),
        }
        if subject.layer == FLOAT:
            self._reference = calls
        elif self._reference is not None:
            pairs = [(r, c) for r, c in zip(self._reference, calls, strict=True) if r is not None]
            if pairs:
                values["same_tool"] = _share([c is not None and c.name == r.name for r, c in pairs])
                values["same_call"] = _share([c == r for r, c in pairs])
        return Score(subject.layer, len(calls), values)

    def _call(self, subject: Subject, prompt: Sequence[int], number: int) -> Call | None:
        """The first call of the answer."""
        made = greedy(subject, prompt, most=_MOST, ends=self._ends)
        text = self._decoder.decode(made, skip_special_tokens=False)
        self._progress(number, len(self._prompts))
        return next(iter(calls_of(text, self._required)), None)

    def _is_valid(self, call: Call | None) -> bool:
        return call is not None and self._required[call.name] <= set(call.arguments)

    def close(self) -> None:
        pass


def _rendered(template: ChatTemplate, question: str, tools: Sequence[Mapping[str, Any]]) -> str:
    messages = opening(template, question)
    text = template.render(messages, tools=tools)
    if text == template.render(messages):
        raise InputError("the chat template renders no tools, so the model is not told of them")
    return text


def _share(held: Sequence[bool]) -> float:
    return sum(held) / len(held)


TASK = EvaluationTask("tool_calls", ToolCalls)
