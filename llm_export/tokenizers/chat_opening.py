"""The first messages of a conversation that a chat template accepts."""

from __future__ import annotations

from runtime_py.chat_template import ChatTemplate, Message
from runtime_py.errors import BundleRuntimeError

SYSTEM = "You are a helpful assistant."
"""For templates that need a system message."""


def opening(template: ChatTemplate, text: str) -> list[Message]:
    """A conversation that begins with ``text`` from the user, after a system message if the
    template refuses it otherwise.

    Raises:
        BundleRuntimeError: the template refuses both.
    """
    user = {"role": "user", "content": text}
    try:
        template.render([user])
    except BundleRuntimeError as refused:
        messages = [{"role": "system", "content": SYSTEM}, user]
        try:
            template.render(messages)
        except BundleRuntimeError:
            raise refused from None
        return list(messages)
    return [user]
