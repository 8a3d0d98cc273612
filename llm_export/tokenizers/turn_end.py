"""The tokens with which a chat template ends an assistant's turn.

A model generates them where its answer ends, whether or not a config lists them as end-of-sequence
ids. They are found by rendering conversations and looking at what follows the assistant's text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.chat_opening import opening
from llm_export.tokenizers.common_start import common_start
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.errors import BundleRuntimeError

_ASKED, _ANSWERED, _NEXT, _THOUGHT = "qzUuq", "qzAaq", "qzVvq", "qzTtq"
_NAMES, _VALUE = ("qzNnq", "qzMmq"), "qzXxq"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "A tool.",
            "parameters": {
                "type": "object",
                "properties": {"x": {"type": "string", "description": "A text."}},
                "required": ["x"],
            },
        },
    }
    for name in _NAMES
]


def with_turn_ends(assets: TokenizerAssets) -> tuple[TokenizerAssets, tuple[str, ...]]:
    """The tokenizer with the ends of turns of its chat templates among ``eos_ids``, and a remark if
    that adds any.
    """
    found = turn_ends(assets)
    added = {text: i for text, i in found.items() if i not in assets.eos_ids}
    if not added:
        return assets, ()
    texts = ", ".join(f"{text!r} ({i})" for text, i in added.items())
    ends = (*assets.eos_ids, *added.values())
    return replace(assets, eos_ids=tuple(dict.fromkeys(ends))), (
        f"an answer ends with {texts} too, which the chat template has and no config lists",
    )


def turn_ends(assets: TokenizerAssets) -> dict[str, int]:
    """Text of a token -> its id, for the tokens that end an answer or a call of tools.

    Empty without a template, or if it puts no token there: then the model generates the start of
    the next turn, which only a config can list.
    """
    sources = dict.fromkeys([assets.chat_template, assets.tool_use_template])
    if not any(sources):
        return {}
    tokens = _added_tokens(assets.tokenizer_json)
    found: dict[str, int] = {}
    for source in filter(None, sources):
        try:
            template = ChatTemplate(source, assets.special_tokens)
            turns = _Turns(template, tokens, opening(template, _ASKED))
        except BundleRuntimeError:
            continue
        bos = assets.special_tokens.get("bos_token")
        ends = (turns.answer_end(), turns.call_end())
        found |= {text: tokens.ids[text] for text in ends if text and text != bos}
    return found


@dataclass(frozen=True)
class _Tokens:
    """Added tokens: text -> id, and the texts of those that are special."""

    ids: Mapping[str, int]
    special: frozenset[str]
    pattern: re.Pattern[str]

    def inside(self, text: str) -> list[str]:
        """The special ones in the text, in order."""
        return [found for found in self.pattern.findall(text) if found in self.special]

    def sequence(self, tail: str) -> list[str]:
        """The special ones. Without any, the added token that the text begins with: some training
        scripts add ``<|im_end|>`` as an ordinary token.
        """
        found = self.inside(tail)
        first = None if found else self.pattern.match(tail.lstrip())
        return [first.group()] if first else found


def _added_tokens(tokenizer_json: str) -> _Tokens:
    listed = json.loads(tokenizer_json).get("added_tokens") or []
    ids = {token["content"]: int(token["id"]) for token in listed if token["content"].strip()}
    longest = sorted(ids, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest)) or r"(?!)")
    special = frozenset(token["content"] for token in listed if token.get("special"))
    return _Tokens(ids, special, pattern)


class _Turns:
    """What a template puts around the texts of a conversation that begins with ``asked``."""

    def __init__(self, template: ChatTemplate, tokens: _Tokens, asked: Sequence[Message]) -> None:
        self._template, self._tokens, self._asked = template, tokens, asked
        prompted, plain = self._rendered(prompt=True) or "", self._rendered()
        known = plain is not None and prompted.startswith(plain)
        prompt = prompted[len(plain or "") :] if known else ""
        self._always_prompts = not prompt
        self._starts = frozenset(tokens.inside(prompt))

    def answer_end(self) -> str | None:
        """The token after an answer; None if there is none, or it ends parts of an answer."""
        answer = {"role": "assistant", "content": _ANSWERED}
        last = _after(self._rendered(answer), _ANSWERED)
        followed = self._rendered(answer, {"role": "user", "content": _NEXT})
        before_next = _between(followed, _ANSWERED, _NEXT)
        ends = self._ends(last)
        shared = ends[: common_start(ends, self._tokens.sequence(before_next))]
        if not ends and before_next:  # an end between turns, and none after the last one
            known = self._tokens.inside((followed or "").partition(_ASKED)[0])
            starts = {*self._starts, *known}
            shared = [t for t in self._tokens.sequence(before_next)[:1] if t not in starts]
        found = next(iter(shared[-1:] or ends), None)
        return None if found is None or found in self._within() else found

    def call_end(self) -> str | None:
        """The last token after calls of tools; None if it separates calls."""
        if self._always_prompts:
            return None
        for calls in _calls():
            rendered = self._rendered(calls, tools=True)
            tail = _after(rendered, _VALUE)
            ends = [t for t in self._ends(tail) if t in self._tokens.special]
            if not ends:
                continue
            found, made = ends[-1], (rendered or "").partition(_ASKED)[2]
            repeated = self._tokens.inside(_between(made, *_NAMES))
            return None if found in repeated or found in self._within() else found
        return None

    def _ends(self, tail: str) -> list[str]:
        """The tokens of a text after an answer, up to the start of another turn."""
        found = []
        for token in self._tokens.sequence(tail):
            if token in self._starts:
                break
            found.append(token)
        if self._always_prompts and found:
            # The start of the next turn follows unasked: it is the last token before an answer.
            answered = self._rendered({"role": "assistant", "content": _ANSWERED})
            opens = self._tokens.inside(_between(answered, _ASKED, _ANSWERED))[-1:]
            return found[:1] if found[:1] != opens else []
        return found

    def _within(self) -> set[str]:
        """Tokens between the reasoning of a turn and its answer or call: ``<|end|>`` of Harmony."""
        reasoning = dict.fromkeys(("thinking", "reasoning_content", "reasoning"), _THOUGHT)
        answer = {"role": "assistant", "content": _ANSWERED, **reasoning}
        found = set(self._tokens.inside(_between(self._rendered(answer), _THOUGHT, _ANSWERED)))
        for calls in _calls():
            rendered = self._rendered({**calls, **reasoning}, tools=True)
            if rendered is not None:
                made = rendered.partition(_ASKED)[2]
                found |= set(self._tokens.inside(_between(made, _THOUGHT, _NAMES[0])))
                break
        return found

    def _rendered(self, *more: Message, prompt: bool = False, tools: bool = False) -> str | None:
        """None if the template refuses the conversation."""
        given: dict[str, Any] = {"tools": _TOOLS} if tools else {}
        messages = [*self._asked, *more]
        try:
            return self._template.render(messages, add_generation_prompt=prompt, **given)
        except BundleRuntimeError:
            return None


def _calls() -> Iterator[dict[str, Any]]:
    """An assistant's turn that calls two tools, or one, in each form that some template needs."""
    value = {"x": _VALUE}
    for names, arguments, content in product(
        (_NAMES, _NAMES[:1]), (value, json.dumps(value)), ("", None)
    ):
        calls = [
            {
                "id": f"abcdefgh{place}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for place, name in enumerate(names)
        ]
        yield {"role": "assistant", "content": content, "tool_calls": calls}


def _after(text: str | None, mark: str) -> str:
    """What follows the last ``mark``; nothing if it is not there."""
    return text.rpartition(mark)[2] if text and mark in text else ""


def _between(text: str | None, first: str, second: str) -> str:
    """What stands between two marks; nothing if they are not there in this order."""
    rest = (text or "").partition(first)[2]
    middle, found, _ = rest.partition(second)
    return middle if found else ""
