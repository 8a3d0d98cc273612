"""Render a conversation with the model's chat template."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import meta, nodes

from runtime_py.errors import ArgumentError, BundleRuntimeError, shown
from runtime_py.guard import guarded
from runtime_py.template_budget import MAX_NODES, MAX_SOURCE, budgeted
from runtime_py.template_data import message_data, plain_data
from runtime_py.template_environment import Now, template_environment
from runtime_py.tool_schema import Tool, tool_schemas

Message = Mapping[str, Any]

_GIVEN = frozenset(
    ("messages", "tools", "documents", "add_generation_prompt",
     *(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask")))
)  # fmt: skip
"""Variables that are not the caller's to name."""
_OPTIONAL = ("tools", "documents")


class ChatTemplate:
    """A Jinja template, rendered in a sandbox because it comes from an untrusted model. The text is
    that of transformers' ``apply_chat_template``.

    Args:
        source: Jinja source.
        special_tokens: name (bos_token, eos_token, ...) -> text.
        now: the clock, for templates that print a date.

    Raises:
        BundleRuntimeError: the template is not valid.
    """

    def __init__(
        self, source: str, special_tokens: Mapping[str, str], now: Now = datetime.datetime.now
    ) -> None:
        if not isinstance(source, str):
            raise ArgumentError(f"a template must be a text, not {type(source).__name__}")
        with guarded("special_tokens cannot be read", kind=ArgumentError):
            self._special_tokens = {name: plain_data(t) for name, t in special_tokens.items()}
        if len(source) > MAX_SOURCE:
            raise BundleRuntimeError(
                f"the chat template is not valid: it has more than {MAX_SOURCE:,} characters"
            )
        self.source = source
        environment = template_environment(now)
        # Beside errors of syntax: too many nested blocks, a number with too many digits and so on.
        with guarded("the chat template is not valid"):
            tree = environment.parse(source)
            if sum(1 for _ in tree.find_all(nodes.Node)) > MAX_NODES:
                raise BundleRuntimeError(
                    f"the chat template is not valid: it has more than {MAX_NODES:,} parts"
                )
            read = _variables(tree)
            names = {name.name for name in tree.find_all(nodes.Name) if name.ctx == "load"}
            self._template = environment.from_string(tree)
        self.variables = frozenset(read - _GIVEN - set(environment.globals))
        """Further variables that the template reads, such as enable_thinking."""
        self._unread = frozenset(_OPTIONAL) - names

    def render(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] | None = None,
        documents: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """The conversation as text, up to the start of the assistant's next turn.

        Args:
            messages: each has a ``role``, and ``content`` (text, a list of parts, or None) or other
                keys that the template reads, such as ``tool_calls``.
            tools: JSON schemas, or functions with type hints and a docstring.
            documents: for templates with retrieval; each has a ``title`` and a ``text``.
            add_generation_prompt: whether the text ends with the start of the assistant's turn.
            variables: of the template, such as ``enable_thinking``. Those that it does not read
                have no effect.

        Raises:
            ArgumentError: an argument has the wrong form.
            BundleRuntimeError: the template refuses the conversation.
        """
        given = {**self._special_tokens, "add_generation_prompt": add_generation_prompt}
        for name, value, checked in (
            ("messages", messages, _checked_messages),
            ("tools", tools, _checked_tools),
            ("documents", documents, _checked_documents),
            *((name, value, plain_data) for name, value in variables.items()),
        ):
            with guarded(f"{name} cannot be read", kind=ArgumentError):
                given[name] = None if value is None and name in _OPTIONAL else checked(value)
        # Whatever fails is an operation of the template.
        with guarded("the chat template refuses these messages"), budgeted(given) as left:
            pieces = []
            for piece in self._template.generate(given):
                left.tick()
                left.expect(len(piece))
                pieces.append(piece)
            text = left.kept("".join(pieces))
        return text

    def require_known(self, names: Sequence[str], others: Sequence[str]) -> None:
        """Check that the template reads the variables ``names``.

        Args:
            others: names that the caller could have meant besides.

        Raises:
            ArgumentError: one is unknown; the message has the nearest name.
        """
        for name in names:
            if name not in self.variables:
                raise unknown_argument(name, [*others, *self.variables])

    def require_read(self, **given: Any) -> None:
        """Check that the template reads tools and documents, where there are any.

        Raises:
            ArgumentError: the model would never see them.
        """
        for name, value in given.items():
            if value and name in self._unread:
                raise ArgumentError(
                    f"the chat template does not read {name}, so the model would not see them",
                    where=name, fix="leave them out, or take a model whose template reads them",
                )  # fmt: skip


def _variables(template: nodes.Template) -> set[str]:
    """Names that the template reads and does not set itself; of those that it sets, the ones that
    it tests first, as in ``{% if not date_string is defined %}``.
    """
    names = [name for name in template.find_all(nodes.Name) if name.ctx == "store"]
    tests = [t for t in template.find_all(nodes.Test) if t.name in ("defined", "undefined")]
    tested = {t.node.name for t in tests if isinstance(t.node, nodes.Name)}
    return meta.find_undeclared_variables(template) - ({n.name for n in names} - tested)


def unknown_argument(name: str, known: Sequence[str]) -> ArgumentError:
    """The error for a keyword that nothing reads, with the nearest name."""
    known = [each for each in known if each != name]  # one that another function has
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return ArgumentError(
        f"there is no argument '{name}'",
        fix=f"did you mean {near[0]}?" if near else f"choices: {', '.join(sorted(known))}",
    )


def _checked_messages(messages: Any) -> list[dict[str, Any]]:
    if isinstance(messages, str | bytes | Mapping) or not isinstance(messages, Sequence):
        raise ArgumentError(
            f"messages must be a list of messages, not {type(messages).__name__}",
            fix='[{"role": "user", "content": TEXT}]',
        )
    return [_checked_message(message) for message in messages]


def _checked_message(message: Any) -> dict[str, Any]:
    data = message_data(message)
    if not isinstance(data, dict):
        raise ArgumentError(
            f"a message must be a dict, not {type(message).__name__}",
            fix='{"role": "user", "content": TEXT}',
        )
    keys = sorted(map(str, message if isinstance(message, Mapping) else data))
    if "role" not in keys or len(keys) < 2:
        raise ArgumentError(f"a message needs 'role' and 'content', got {keys}")
    if not isinstance(data.get("role"), str):
        raise ArgumentError(f"a message's role must be a text, not {shown(data.get('role'))}")
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, str | Sequence | Mapping | int | float | None) or isinstance(
        content, bytes | bytearray
    ):
        raise ArgumentError(
            f"a message's content must be a text or a list of parts, not {type(content).__name__}"
        )
    return data


def _checked_tools(tools: Any) -> list[Any]:
    made: list[Any] = plain_data(tool_schemas(tools))
    return made


def _checked_documents(documents: Any) -> list[Any]:
    whole = not isinstance(documents, str | bytes | Mapping) and isinstance(documents, Sequence)
    if not whole or not all(isinstance(d, Mapping) for d in documents):
        raise ArgumentError(
            "documents must be a list of dicts", fix='[{"title": TEXT, "text": TEXT}]'
        )
    made: list[Any] = plain_data(list(documents))
    return made
