"""Show which backends this machine can lower for and run, what is missing, and how to install it.

llm-export doctor              every backend
llm-export doctor xnnpack      one of them, with its options, attention kinds and schemes
llm-export doctor --json       the same for programs
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llm_export import api

if TYPE_CHECKING:
    from llm_export.checks.doctor import BackendState, Diagnosis

_NARROW = 120
"""On terminals with fewer columns, missing packages are listed below the table, so that lines do
not wrap."""
_PIPED = 1000
"""Width if the output is not a terminal: wide enough for one line per backend."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a backend")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    found = api.doctor(options.name, options.config_dir)
    if options.json:
        print(json.dumps(found if isinstance(found, dict) else found.as_dict(), indent=2))
    elif isinstance(found, dict):
        _print_one(_console(), found)
    else:
        _print_all(_console(), found)


def _console() -> Console:
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPED, no_color=True)


def _print_all(console: Console, found: Diagnosis) -> None:
    _print_machine(console, found)
    narrow = console.width < _NARROW
    console.print(_table(found.backends, narrow, piped=not console.is_terminal))
    if narrow:
        _line(console, "* experimental\n")
        for state in found.backends:
            for lack in state.lacking:
                _say(console, f"{state.name}: {lack.reason}", lack.fix)
    console.print()
    _print_issues(console, "bad versions here", [i for i in found.issues if i.of_versions])
    guarded = [issue for issue in found.issues if not issue.of_versions]
    _print_issues(console, "faults of the installed versions that are kept from you", guarded)
    _print_plugins(console, found)
    _line(console, "llm-export doctor NAME says more of a backend")


def _print_machine(console: Console, found: Diagnosis) -> None:
    facts = found.machine
    for name, text in (
        ("python", facts.python),
        ("platform", f"{facts.system} {facts.release} {facts.architecture}"),
        ("cpu", f"{facts.cpu}, {facts.logical_cpus} threads"),
        ("memory", f"{_gib(facts.memory_bytes)}, "
                   f"{_gib(facts.memory_available_bytes)} free"),
        ("disk", f"{_gib(facts.disk_free_bytes)} free in this folder"),
        ("packages", ", ".join(f"{k} {v}" for k, v in found.packages.items())),
        ("libraries", ", ".join(f"{name}: {'there' if file else 'lacking'}"
                                for name, file in found.libraries.items())),
    ):  # fmt: skip
        console.print(f"[bold]{name:<9}[/bold] {escape(text)}")
    if None in found.libraries.values():
        _line(console, "  fix: pip install --force-reinstall --no-deps executorch")
    console.print()


def _table(states: list[BackendState], narrow: bool, *, piped: bool) -> Table:
    table = Table(box=None if piped else box.SIMPLE_HEAD, pad_edge=False)
    titles = ["backend", "lowers", "runs here", "packages"]
    for title in titles if narrow else [*titles, "lacking", *(["fix"] if piped else [])]:
        table.add_column(title, overflow="fold")
    for state in states:
        mark = (" *" if narrow else " (experimental)") if state.experimental else ""
        packages = ", ".join(f"{k} {v or '-'}" for k, v in state.packages.items())
        cells = [state.name + mark, _yes(state.lowers), _yes(state.runs), packages]
        if piped:
            cells.append("; ".join(lack.reason for lack in state.lacking))
            cells.append("; ".join(lack.fix for lack in state.lacking))
        elif not narrow:
            cells.append("\n".join(f"{lack.reason}\n  fix: {lack.fix}" for lack in state.lacking))
        table.add_row(*map(escape, cells))
    return table


def _print_issues(console: Console, title: str, issues: list[Any]) -> None:
    if not issues:
        return
    console.print(f"[bold]{title}[/bold]")
    for issue in issues:
        _say(console, f"{issue.id}: {issue.what}", issue.fix, issue.link)
    console.print()


def _print_plugins(console: Console, found: Diagnosis) -> None:
    if not found.plugins:
        return
    console.print("[bold]plugins[/bold]")
    for state in found.plugins:
        _line(console, f"  {state.name}: {state.origin}" + (", broken" if state.problems else ""))
        for problem in state.problems:
            _line(console, f"    {problem}")
    console.print()


def _print_one(console: Console, facts: dict[str, Any]) -> None:
    console.print(f"[bold]{facts['name']}[/bold]: {escape(facts['description'])}")
    if facts["experimental"]:
        _line(console, f"experimental: {facts['experimental']}")
    installed = ", ".join(f"{k} {v or '-'}" for k, v in facts["packages"].items())
    kinds = facts["attention"]
    static = facts["static_attention"] or kinds
    for name, text in (
        ("brought by", facts["registered_by"]),
        ("lowers", _yes(facts["lowers"])),
        ("runs here", _yes(facts["runs"])),
        ("packages", installed or "none of its own"),
        ("shapes", "dynamic or fixed" if facts["dynamic_shapes"] else "fixed only"),
        ("attention", ", ".join(kinds if facts["dynamic_shapes"] else static)),
        ("", f"with fixed shapes: {', '.join(static)}" if static != kinds else ""),
        ("computes", f"in {facts['computes_in']} where the recipe says float32"),
        *((kind, ", ".join(names)) for kind, names in facts["schemes"].items()),
        *(("not", f"{name}: {why}") for name, why in facts["why_not"].items()),
        *((o["key"], f"{o['default']} ({o['type']})") for o in facts["options"]),
        *(("see", link) for link in facts["references"]),
    ):
        if text:
            _line(console, f"  {name:<10} {text}")
    if facts["options_help"]:
        _line(console, "\n" + inspect.cleandoc(facts["options_help"]))
    for title, items in (("lacking", facts["lacking"]), ("known", facts["known_issues"])):
        if items:
            console.print(f"\n[bold]{title}[/bold]")
        for item in items:
            _say(console, item.get("reason") or item["what"], item["fix"], item.get("link", ""))


def _say(console: Console, what: str, fix: str, link: str = "") -> None:
    """Print a problem and its fix; the fix stays on one line, so that it can be copied."""
    _line(console, f"  {what}")
    _line(console, f"    fix: {fix}")
    if link:
        _line(console, f"    see: {link}")


def _line(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
