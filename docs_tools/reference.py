"""Pages of the reference, generated from the schema, the options, the verbs and docstrings.

python docs_tools/reference.py FOLDER     writes them; mkdocs generates them with hooks.py
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from llm_export import api  # noqa: E402
from llm_export.cli.verbs import VERBS  # noqa: E402
from llm_export.config.compose import Composer  # noqa: E402
from llm_export.config.reference import describe_group  # noqa: E402
from llm_export.config.schema import GROUPS  # noqa: E402

KEYED = ("checkpoint", *GROUPS)


def keys() -> str:
    """Every key of the schema, by group."""
    lines = [
        "# Keys",
        "",
        "Set a key with `GROUP.KEY=VALUE`. This page is generated from the schema.",
    ]
    for group in KEYED:
        lines += ["", f"## {group}", "", "| key | type | meaning |", "|---|---|---|"]
        lines += [
            f"| `{group}.{key}` | {_cell(kind)} | {_cell(text)} |"
            for key, kind, text in describe_group(group)
        ]
    return "\n".join(lines) + "\n"


def options() -> str:
    """The shipped options of every group."""
    composer = Composer()
    lines = [
        "# Options",
        "",
        "Choose one with `GROUP=OPTION`. `llm-export ls` also lists options from plugins.",
    ]
    for group in GROUPS:
        lines += ["", f"## {group}", "", "| option | |", "|---|---|"]
        for name in composer.options(group):
            lines.append(f"| `{name}` | {_cell(composer.describe(group, name)[0])} |")
    return "\n".join(lines) + "\n"


def cli() -> str:
    """The verbs and their help."""
    lines = [
        "# Command line",
        "",
        "`llm-export VERB ...`. Exit codes: 2 for an error in the recipe or",
    ]
    lines += [
        "its input, 3 for the environment, 1 for a failed stage.",
        "",
        "| verb | |",
        "|---|---|",
    ]
    lines += [f"| [`{verb}`](#{verb}) | {text} |" for verb, text in VERBS.items()]
    for verb in VERBS:
        module = importlib.import_module(f"llm_export.cli.{verb}")
        parser = argparse.ArgumentParser(
            prog=f"llm-export {verb}",
            description=module.__doc__,
            formatter_class=_Wide,
            add_help=not hasattr(module, "print_help"),
        )
        module.add_arguments(parser)
        lines += ["", f"## {verb}", "", "```text", parser.format_help().rstrip(), "```"]
    return "\n".join(lines) + "\n"


class _Wide(argparse.RawDescriptionHelpFormatter):
    """Formats help with a fixed width, independent of the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


def python() -> str:
    """The functions of ``llm_export.api`` and the classes of ``runtime_py``."""
    import runtime_py

    lines = ["# Python", "", "## llm_export.api"]
    offered = {name: getattr(api, name) for name in api.__all__}
    for name, value in offered.items():
        if inspect.isfunction(value) and value.__name__ == name:  # not under a former name
            lines += ["", *_described(value, "api.", "###")]
    for name, value in offered.items():
        if inspect.isclass(value):
            lines += ["", f"### api.{name}", "", *_prose(inspect.getdoc(value) or "")]
    lines += [
        "",
        "## runtime_py",
        "",
        "Loads a bundle and generates text. Does not import `llm_export`.",
    ]
    for name in runtime_py.__all__:
        cls = getattr(runtime_py, name)
        lines += ["", f"### runtime_py.{name}", "", *_prose(inspect.getdoc(cls) or "")]
        for member, value in _members(cls).items():
            inner = value.__func__ if isinstance(value, classmethod) else value
            if not member.startswith("_") and inspect.isfunction(inner) and inner.__doc__:
                lines += ["", *_described(inner, f"{name}.", "####")]
    return "\n".join(lines) + "\n"


def _members(cls: type) -> dict[str, Any]:
    """Its own, then those of the runtime's classes that it derives from."""
    found: dict[str, Any] = {}
    for base in cls.__mro__:
        if base.__module__.startswith("runtime_py."):
            found |= {name: value for name, value in vars(base).items() if name not in found}
    return found


def _public(module: Any, kind: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    for name, value in vars(module).items():
        if kind(value) and value.__module__ == module.__name__ and not name.startswith("_"):
            yield name, value


def _described(function: Any, prefix: str, mark: str) -> Iterator[str]:
    yield f"{mark} {prefix}{function.__name__}"
    yield ""
    # Annotations are strings: print them without quotes.
    signature = re.sub(r"'([^']*)'", r"\1", str(inspect.signature(function)))
    text = f"{prefix}{function.__name__}{signature}"
    if len(text) > 78:
        text = text.replace("(", "(\n    ", 1).replace(", ", ",\n    ")
    yield from ("```python", text, "```", "")
    yield from _prose(inspect.getdoc(function) or "")


def _prose(text: str) -> Iterator[str]:
    """A docstring as Markdown, with its sections as lists."""
    section = False
    for line in text.replace("``", "`").replace("<", "&lt;").splitlines():
        head = re.fullmatch(r"(Args|Raises|Attributes):(.*)", line)
        if head:
            yield from ("", f"**{head[1]}**{head[2]}", "")
            section = True
        elif section and re.match(r" {4}\S", line):
            name, _, meaning = line.strip().partition(":")
            yield f"- `{name}`:{meaning}" if meaning else f"- {name}"
        else:
            section = section and line.startswith(" ")
            yield line.strip() if not section else "  " + line.strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


PAGES: dict[str, Callable[[], str]] = {
    "reference/cli.md": cli,
    "reference/keys.md": keys,
    "reference/options.md": options,
    "reference/python.md": python,
}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name, make in PAGES.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        part.write_text(make(), encoding="utf-8")
        part.replace(file)
