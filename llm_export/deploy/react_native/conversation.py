"""What the library's chat session does with a chat template.

``createLLMChatSession`` of react-native-executorch 0.10 renders the conversation so far and the
longer one, and feeds what the second has more: the first must be its beginning. With
``resetOnTurn`` it renders and feeds the whole conversation in each turn. It gives a template the
messages, the tools and ``add_generation_prompt``, and no special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llm_export.template_engines.rewriting.base import before_all
from runtime_py.chat_template import ChatTemplate
from runtime_py.errors import BundleRuntimeError

_SYSTEM = {"role": "system", "content": "Answer in one word."}
_ROUNDS = [
    {"role": "user", "content": "What is the capital of France?"},
    {"role": "assistant", "content": "Paris."},
    {"role": "user", "content": "And of Italy?"},
    {"role": "assistant", "content": "Rome."},
]
_THINKING = [
    _ROUNDS[0], {"role": "assistant", "content": "<think>\nFrance: Paris.\n</think>\n\nParis."},
    *_ROUNDS[2:],
]  # fmt: skip


@dataclass(frozen=True)
class Session:
    """How an app opens a session.

    Attributes:
        system: whether the template takes a system message.
        reset_on_turn: whether each turn must be rendered and fed from the start.
    """

    system: bool
    reset_on_turn: bool


def with_tokens(source: str, special_tokens: Mapping[str, str]) -> str:
    """A template that defines the special tokens that it reads, which the library does not pass."""
    read = [name for name in special_tokens if name in source]
    if not read:
        return source
    texts = {name: json.dumps(special_tokens[name], ensure_ascii=False) for name in read}
    return before_all(
        source, "".join(f"{{% set {name} = {text} %}}" for name, text in texts.items())
    )


def session_of(source: str) -> Session | None:
    """How the library can hold a conversation with a template; None: it cannot.

    Raises:
        BundleRuntimeError: the template is not valid.
    """
    template = ChatTemplate(source, {})
    plain = _grows(template, _ROUNDS)
    if plain is None:
        return None
    system = _grows(template, [_SYSTEM, *_ROUNDS])
    thinking = _grows(template, _THINKING)
    grows = plain and thinking is not False and system is not False
    return Session(system is not None, not grows)


def _grows(template: ChatTemplate, messages: Sequence[Mapping[str, str]]) -> bool | None:
    """Whether each text begins with the one before; None: not even within a turn, or the template
    refuses the messages."""
    try:
        texts = [
            template.render(messages[:count], add_generation_prompt=False)
            for count in range(1, len(messages) + 1)
        ]
        asked = [
            template.render(messages[:count])
            for count, message in enumerate(messages, 1)
            if message["role"] == "user"
        ]
    except BundleRuntimeError:
        return None
    turns = [n for n, message in enumerate(messages) if message["role"] == "user"]
    within = all(
        prompt.startswith(texts[n]) and texts[n + 1].startswith(texts[n])
        for n, prompt in zip(turns, asked, strict=True)
    )
    if not within:
        return None
    return all(after.startswith(before) for before, after in pairwise(texts))
