"""A chat template for apps without Jinja: an example, and the strings around each turn."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

from llm_export.json_data import OPTIONAL
from llm_export.tokenizers.chat_opening import SYSTEM, opening
from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.errors import BundleRuntimeError


@dataclass(frozen=True)
class ChatExample:
    """
    Attributes:
        text: what the template renders, with the start of the assistant's answer.
        date: of that rendering, where the text contains it.
    """

    messages: tuple[Mapping[str, str], ...]
    text: str
    date: str | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class RoleFormat:
    prefix: str
    suffix: str


@dataclass(frozen=True)
class ChatTurns:
    """Strings whose concatenation is what the template renders.

    Attributes:
        start: before the first turn, unless that is a system message.
        roles: user, assistant, and system if it is a turn of its own.
        generation_prompt: after the last turn.
        trims: white space around each content is removed.
        drops_reasoning: in the assistant's turns, the text up to ``</think>`` and the line breaks
            after it are removed.
    """

    start: str
    roles: Mapping[str, RoleFormat]
    generation_prompt: str
    trims: bool = False
    drops_reasoning: bool = False

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt, as far as ``roles`` has the roles."""
        text = "" if messages[0]["role"] == "system" else self.start
        for message in messages:
            around = self.roles[message["role"]]
            text += around.prefix + self._content(message) + around.suffix
        return text + self.generation_prompt

    def _content(self, message: Message) -> str:
        content: str = message["content"]
        if self.drops_reasoning and message["role"] == "assistant" and "</think>" in content:
            content = content.split("</think>")[-1].lstrip("\n")
        return content.strip() if self.trims else content


@dataclass(frozen=True)
class EngineEntry:
    """Of the template for apps in one engine.

    Attributes:
        same: conversations with the text that Jinja2 makes of chat_template.jinja.
        of: conversations that Jinja2 renders.
        failed: the names of the others.
    """

    same: int
    of: int
    failed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChatEntry:
    """
    Attributes:
        turns: None if the template does more than put strings around contents.
        engines: name -> what it makes of the template for apps; None: no engine was tried.
        rewritten: rules that rewrote the template for apps; None: it is the original.
    """

    example: ChatExample
    turns: ChatTurns | None = field(default=None, metadata=OPTIONAL)
    engines: Mapping[str, EngineEntry] | None = field(default=None, metadata=OPTIONAL)
    rewritten: tuple[str, ...] | None = field(default=None, metadata=OPTIONAL)


def chat_entry(
    source: str, special_tokens: Mapping[str, str], now: datetime.datetime
) -> ChatEntry | None:
    """Describe a chat template; None if it is not valid or refuses every plain conversation.

    Args:
        source: Jinja source.
        special_tokens: name (bos_token, eos_token, ...) -> text.
        now: the time that the template is given.
    """
    try:
        template = ChatTemplate(source, special_tokens, now=lambda: now)
        later = ChatTemplate(source, special_tokens, now=lambda: now + datetime.timedelta(days=400))
        messages = _example(template)
    except BundleRuntimeError:
        return None
    text = template.render(messages)
    dated = later.render(messages) != text
    example = ChatExample(tuple(messages), text, now.date().isoformat() if dated else None)
    return ChatEntry(example, _turns(template, later, special_tokens))


def _example(template: ChatTemplate) -> list[Mapping[str, str]]:
    turns = [_user("Hello!"), _assistant("Hello, how can I help?"), _user("What is 2 + 2?")]
    for messages in ([_system(SYSTEM), *turns], turns):
        try:
            template.render(messages)
        except BundleRuntimeError:
            continue
        return messages
    return list(opening(template, "Hello!"))


# -- turns ---------------------------------------------------------------------------------


def _turns(
    template: ChatTemplate, later: ChatTemplate, specials: Mapping[str, str]
) -> ChatTurns | None:
    """Found by rendering marks and taking the text between them, then tried on other texts, and at
    another date: strings that contain one would soon be wrong.
    """
    try:
        found = _derived(template, specials.get("eos_token", ""))
    except (BundleRuntimeError, ValueError):
        return None
    without = {name: each for name, each in found.roles.items() if name != "system"}
    for roles, trims, drops in product((found.roles, without), (False, True), (False, True)):
        turns = ChatTurns(found.start, roles, found.generation_prompt, trims, drops)
        if _reproduces(turns, template) and _reproduces(turns, later):
            return turns
    return None


def _derived(template: ChatTemplate, eos: str) -> ChatTurns:
    """Raises ValueError if the text between the marks cannot be assigned to turns."""
    u, a, v, s = "qzUuq", "qzAaq", "qzVvq", "qzSsq"
    whole = template.render([_user(u), _assistant(a), _user(v)])
    before, user_to_assistant, assistant_to_user, after = _between(whole, u, a, v)
    asked = template.render([_user(u)], add_generation_prompt=False)
    answered = template.render([_user(u), _assistant(a)], add_generation_prompt=False)
    ends = [e for e in _without(_between(asked, u)[-1], eos) if user_to_assistant.startswith(e)]
    user_suffix = next(e for e in [*ends, ""] if after.startswith(e))
    prefixes = [
        assistant_to_user[len(end) :]
        for end in _without(_between(answered, u, a)[-1], eos)
        if assistant_to_user.startswith(end)
    ]
    shared = _common_suffix(before, assistant_to_user)
    user_prefix = next(p for p in [*prefixes, shared] if before.endswith(p))
    roles = {
        "user": RoleFormat(user_prefix, user_suffix),
        "assistant": RoleFormat(
            user_to_assistant[len(user_suffix) :], assistant_to_user.removesuffix(user_prefix)
        ),
    }
    try:
        first, second, _ = _between(template.render([_system(s), _user(u)]), s, u)
    except (BundleRuntimeError, ValueError):
        first, second = "", ""
    if second.endswith(user_prefix) and second:
        roles = {"system": RoleFormat(first, second.removesuffix(user_prefix)), **roles}
    start = before.removesuffix(user_prefix)
    return ChatTurns(start, roles, after[len(user_suffix) :])


def _between(text: str, *marks: str) -> list[str]:
    """The parts around the marks. Raises ValueError if one is not there once, in this order."""
    parts = re.split("|".join(map(re.escape, marks)), text)
    if re.findall("|".join(map(re.escape, marks)), text) != list(marks):
        raise ValueError("marks are repeated or missing")
    return parts


def _without(end: str, eos: str) -> list[str]:
    """The end of a conversation, and without the EOS that some templates put after it all."""
    return [end, end.removesuffix(eos)] if eos and end.endswith(eos) else [end]


def _common_suffix(a: str, b: str) -> str:
    count = 0
    while count < min(len(a), len(b)) and a[-1 - count] == b[-1 - count]:
        count += 1
    return a[len(a) - count :]


def _reproduces(turns: ChatTurns, template: ChatTemplate) -> bool:
    try:
        return all(
            turns.render(messages) == template.render(messages)
            for messages in _trials("system" in turns.roles)
        )
    except BundleRuntimeError:
        return False


def _trials(system: bool) -> Iterator[list[Message]]:
    """Conversations with several turns, white space, markup and reasoning."""
    one = [_user(" \n a  b\n\n ")]
    two = [_user("a"), _assistant("\n\nc <b>'d' \n"), _user("{{ e }}")]
    thought = [_user("a"), _assistant("<think>\nplan\n</think>\n\nb"), _user("c")]
    for messages in (one, two, [*two, *thought[1:]], [*two, *two[1:], *thought[1:]], thought):
        yield list(messages)
        if system:
            yield [_system(" s \n t "), *messages]


def _user(text: str) -> Mapping[str, str]:
    return {"role": "user", "content": text}


def _assistant(text: str) -> Mapping[str, str]:
    return {"role": "assistant", "content": text}


def _system(text: str) -> Mapping[str, str]:
    return {"role": "system", "content": text}
