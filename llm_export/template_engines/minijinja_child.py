"""Render conversations with minijinja: a program, which imports nothing of this package.

In: a JSON object on standard input. Out: lines [source, case, text or null, refusal].
"""

from __future__ import annotations

import datetime
import json
import re
import sys
from typing import Any

_BYTES = 1 << 30
_FUEL = 50_000_000
"""Of minijinja: about one for each instruction."""


def main() -> None:
    asked = json.load(sys.stdin)
    _limit(int(asked["seconds"]))
    # It may lie outside of what -I -S leaves on the path.
    sys.path.append(asked["packages"])
    environment = _environment(
        asked["python_methods"], datetime.datetime.fromisoformat(asked["now"])
    )
    for i, source in enumerate(asked["sources"]):
        for j, case in enumerate(asked["cases"]):
            row = [i, j, *_attempt(environment, source, case, asked["max_text"])]
            print(json.dumps(row), flush=True)


def _limit(seconds: int) -> None:
    try:
        import resource
    except ImportError:  # Windows; the time of the whole process is bounded from outside
        return
    resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def _environment(python_methods: bool, now: datetime.datetime) -> Any:
    import minijinja

    def raise_exception(message: str) -> None:
        raise minijinja.TemplateError(message)

    environment = minijinja.Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        fuel=_FUEL,
        pycompat=python_methods,
        # LiteRT-LM keeps the line break at a template's end.
        keep_trailing_newline=not python_methods,
        auto_escape_callback=lambda name: False,
    )
    environment.add_global("raise_exception", raise_exception)
    environment.add_global("strftime_now", now.strftime)
    environment.add_filter("tojson", _tojson)
    if not python_methods:
        environment.add_filter("lstrip", lambda text, chars=None: text.lstrip(chars))
        environment.add_filter("rstrip", lambda text, chars=None: text.rstrip(chars))
    return environment


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """transformers' filter, which apps set: minijinja's own writes no spaces and escapes HTML."""
    if isinstance(indent, int) and indent > 16:
        raise ValueError("an indent of more than 16")
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _with_values(source: str, case: dict[str, Any]) -> str:
    """The template below the values that it is given. The binding would pass them as objects of
    Python, which have methods of Python; an app passes values of its own language."""
    said = "".join(f"{{% set {name} = {_literal(value)} %}}" for name, value in case.items())
    # The line break goes with the tag.
    return f"{said}\n{source}" if said else source


def _literal(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_literal(k)}: {_literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _attempt(environment: Any, source: str, case: dict[str, Any], most: int) -> tuple[Any, str]:
    try:
        text = environment.render_str(_with_values(source, case))
        if len(text) > most:
            return None, f"it makes more than {most:,} characters"
        json.dumps(text).encode()
    except Exception as error:
        # The line would be one too many.
        return None, re.sub(r" \(in <string>:\d+\)$", "", str(error).partition("\n")[0][:400])
    return text, ""


if __name__ == "__main__":
    main()
