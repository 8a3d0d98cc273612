"""The Jinja environment of chat templates: that of transformers, for which they are written.

Filters, globals, tags and limits are those of transformers 5.23 (utils/chat_template_utils.py).
Jinja's own ``tojson`` escapes HTML and sorts keys, which would change the prompt.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.utils import Namespace, generate_lorem_ipsum

from runtime_py.template_bounds import BoundedEnvironment
from runtime_py.template_budget import TemplateLimit, budget
from runtime_py.template_limits import TAKES_LISTS, check_filter, check_time_format

Now = Callable[[], datetime.datetime]


def template_environment(now: Now = datetime.datetime.now) -> BoundedEnvironment:
    """The environment, a sandbox because templates come from untrusted models.

    Args:
        now: the clock of ``strftime_now``.
    """
    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )

    def strftime_now(format: str) -> str:
        check_time_format(format)
        return now().strftime(format)

    environment.filters["tojson"] = _tojson
    environment.filters = {n: _bounded_filter(n, f) for n, f in environment.filters.items()}
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = strftime_now
    environment.globals["dict"] = _PlainDict()
    environment.globals["namespace"] = _PlainNamespace
    environment.globals["lipsum"] = _lipsum
    return environment


class GenerationTag(Extension):
    """``{% generation %} ... {% endgeneration %}`` marks what training should learn; it renders its
    body. As in transformers the body is a scope: variables set in it end with it.
    """

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Callable[[], str]) -> str:
        return caller()


def _tojson(
    x: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _bounded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter whose result is limited. It keeps the mark by which Jinja passes it a context."""

    @functools.wraps(function)
    def bounded(*args: Any, **kwargs: Any) -> Any:
        left = budget()
        first = 1 if hasattr(function, "jinja_pass_arg") else 0
        value = args[first] if len(args) > first else None
        if name in TAKES_LISTS and isinstance(value, Iterator):
            value = left.kept(list(value))
            args = (*args[:first], value, *args[first + 1 :])
        check_filter(left, name, value, [*args[first + 1 :], *kwargs.values()])
        return left.kept(function(*args, **kwargs))

    return bounded


_LIPSUM = 1000


def _lipsum(n: int = 5, html: bool = True, min: int = 20, max: int = 100) -> str:
    """Jinja's filler text: ``n`` paragraphs of ``min`` to ``max`` words."""
    if not all(isinstance(v, int) and v <= _LIPSUM for v in (n, min, max)):
        raise TemplateLimit("asks for too much filler text")
    return generate_lorem_ipsum(n, html, min, max)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)


class _PlainDict:
    """``dict`` without the attributes of Python's type, which lead out of the sandbox."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _PlainNamespace(Namespace):
    """``namespace`` that stores no name with a leading underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:
        # Positional, so that a template can name an attribute "self".
        self, values = args[0], dict(*args[1:], **kwargs)
        for name in values:
            _refuse_private(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        budget().tick()
        text = super().__repr__()
        budget().expect(len(text))
        return text


def _refuse_private(name: object) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot store '{name}'")
