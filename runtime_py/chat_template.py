"""Render a conversation with the model's chat template."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

from runtime_py.errors import BundleRuntimeError

Message = Mapping[str, str]


class ChatTemplate:
    """A Jinja template, rendered in a sandbox because it comes from an untrusted model."""

    def __init__(self, source: str, special_tokens: Mapping[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise BundleRuntimeError(f"the chat template is not valid: {error}") from None
        self._special_tokens = dict(special_tokens)

    def render(self, messages: Sequence[Message], **extra: Any) -> str:
        """The prompt up to the start of the assistant's next turn."""
        for message in messages:
            if not {"role", "content"} <= set(message):
                raise BundleRuntimeError(
                    f"a message needs 'role' and 'content', got {sorted(message)}"
                )
        try:
            return self._template.render(
                messages=list(messages), add_generation_prompt=True, **self._special_tokens, **extra
            )
        except TemplateError as error:
            raise BundleRuntimeError(f"the chat template refuses these messages: {error}") from None


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
