"""Show which backends this machine can lower for and run, what is missing, and how to install it.

llm-export doctor              what matters for this machine
llm-export doctor --all        every backend, what it lacks and how to get it, every known fault
llm-export doctor xnnpack      one of them, with its options, attention kinds and schemes
llm-export doctor --json       all of it for programs
llm-export doctor --get arm    fetch what emulating kernels for Arm needs (docs/arm.md)
llm-export doctor --target ssh:HOST   what another device is, and how warm; also adb[:SERIAL]
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from llm_export import api
from llm_export.cli.arm_parts import arm_state, get_arm
from llm_export.cli.layout import WIDTH, beside, gib, page_columns
from llm_export.cli.target_args import print_device

if TYPE_CHECKING:
    from llm_export.checks.doctor import BackendState, Diagnosis
    from llm_export.checks.extras import ExtraState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="a backend")
    parser.add_argument("--all", "-a", action="store_true", help="every backend and known fault")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--get", choices=["arm"], help="fetch and build what verify.arm needs")
    parser.add_argument("--target", metavar="TARGET", help="a device: ssh:HOST or adb[:SERIAL]")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    if options.get:
        get_arm()
        return
    if options.target:
        print_device(options.target, as_json=options.json)
        return
    found = api.doctor(options.name, options.config_dir)
    if options.json:
        print(json.dumps(found if isinstance(found, dict) else found.as_dict(), indent=2))
    elif isinstance(found, dict):
        _print_one(_console(), found)
    else:
        _print_all(_console(), found, everything=options.all)


def _console() -> Console:
    if sys.stdout.isatty():
        terminal = Console(highlight=False)
        return terminal if terminal.width <= WIDTH else Console(highlight=False, width=WIDTH)
    return Console(highlight=False, width=page_columns(), no_color=True)


def _print_all(console: Console, found: Diagnosis, *, everything: bool) -> None:
    _print_machine(console, found)
    here = [state for state in found.backends if state.runs]
    lowering = [state for state in found.backends if state.lowers and not state.runs]
    lacking = [state for state in found.backends if not state.lowers and not state.runs]
    _print_backends(console, "run here", here, _packages)
    _print_backends(console, "lowered here for another device", lowering, _obstacle)
    if everything:
        _print_backends(console, "lack something here", lacking, _obstacle)
        _print_fixes(console, found.backends)
    elif lacking:
        console.print("[bold]lack something here[/bold]")
        _wrapped(console, ", ".join(map(_marked, lacking)))
        console.print()
    _print_issues(console, "bad versions here", [i for i in found.issues if i.of_versions])
    names = {state.name for state in here}
    guarded = [
        issue for issue in found.issues if not issue.of_versions
        and (everything or not issue.backends or names & set(issue.backends))
    ]  # fmt: skip
    _print_issues(
        console,
        "faults of the installed versions that no recipe runs into",
        guarded,
    )
    _print_plugins(console, found)
    _print_extras(console, found.extras)
    if found.arm:
        console.print("[bold]Arm kernels under emulation[/bold] (verify.arm)")
        text, command = arm_state(found.arm)
        _wrapped(console, text, " ", 1)
        if command:
            _line(console, f"    fix: {command}")
        console.print()
    if any(state.experimental for state in found.backends):
        _line(console, "* experimental")
    if not everything:
        _line(console, "llm-export doctor --all says what the others lack, and how to get it")
    _line(console, "llm-export doctor NAME says more of a backend")


def _print_machine(console: Console, found: Diagnosis) -> None:
    facts = found.machine
    for name, text in (
        ("python", facts.python),
        ("platform", f"{facts.system} {facts.release} {facts.architecture}"),
        ("cpu", f"{facts.cpu}, {facts.logical_cpus} threads"),
        ("memory", f"{gib(facts.memory_bytes)}, "
                   f"{gib(facts.memory_available_bytes)} free"),
        ("disk", f"{gib(facts.disk_free_bytes)} free in this folder"),
        ("packages", ", ".join(f"{k} {v}" for k, v in found.packages.items())),
        ("libraries", ", ".join(f"{name}: {'there' if file else 'lacking'}"
                                for name, file in found.libraries.items())),
    ):  # fmt: skip
        _wrapped(console, text, name, 9)
    if None in found.libraries.values():
        _line(console, "  fix: pip install --force-reinstall --no-deps executorch")
    console.print()


def _print_backends(
    console: Console,
    title: str,
    states: list[BackendState],
    say: Callable[[BackendState], str],
) -> None:
    if not states:
        return
    console.print(f"[bold]{title}[/bold]")
    width = max(len(_marked(state)) for state in states)
    for state in states:
        _wrapped(console, say(state), f"  {_marked(state)}", width + 2, bold=False)
    console.print()


def _marked(state: BackendState) -> str:
    return f"{state.name} *" if state.experimental else state.name


def _packages(state: BackendState) -> str:
    return f"{state.description}{_installed(state)}"


def _installed(state: BackendState) -> str:
    packages = [f"{name} {version}" for name, version in state.packages.items() if version]
    return f" ({', '.join(packages)})" if packages else ""


def _obstacle(state: BackendState) -> str:
    return "; ".join(lack.reason for lack in state.lacking) + _installed(state)


def _print_fixes(console: Console, states: list[BackendState]) -> None:
    console.print("[bold]how to get what is lacking[/bold]")
    for state in states:
        for lack in state.lacking:
            _say(console, f"{state.name}: {lack.reason}", lack.fix)
    console.print()


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


def _print_extras(console: Console, extras: list[ExtraState]) -> None:
    """What optional features have, and how to get the others."""
    console.print("[bold]optional packages[/bold]")
    width = max(len(one.name) for one in extras) + 2
    for one in extras:
        state = f"{one.package} {one.version}" if one.version else f"lacking; {one.install}"
        _wrapped(console, f"{one.purpose}: {state}", f"  {one.name}", width, bold=False)
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
        *(("see", link) for link in facts["references"]),
    ):
        if text:
            _wrapped(console, text, f"  {name}", 12, bold=False)
    _print_options(console, facts["options"], facts["options_help"])
    for title, items in (("lacking", facts["lacking"]), ("known", facts["known_issues"])):
        if items:
            console.print(f"\n[bold]{title}[/bold]")
        for item in items:
            _say(console, item.get("reason") or item["what"], item["fix"], item.get("link", ""))


def _print_options(console: Console, options: list[dict[str, Any]], text: str) -> None:
    """A table of the backend's options; the docstring of their class has the meanings."""
    if not options:
        return
    console.print("\n[bold]options[/bold]")
    meanings = _meanings(text)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("key", "default", "type", "meaning"):
        table.add_column(title, overflow="fold")
    for option in options:
        meaning = meanings.get(option["key"].rpartition(".")[2], "")
        cells = (option["key"], option["default"], option["type"], meaning)
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def _meanings(text: str) -> dict[str, str]:
    """Name -> meaning, of the entries below "Attributes:" of a docstring."""
    _, _, entries = inspect.cleandoc(text).partition("Attributes:\n")
    found: dict[str, str] = {}
    name = ""
    lines = textwrap.dedent(entries).splitlines()
    for line in lines:
        if line and not line[0].isspace() and ":" in line:
            name, _, line = line.partition(":")
        if name:
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return found


def _wrapped(
    console: Console, text: str, name: str = " ", width: int = 1, *, bold: bool = True
) -> None:
    """Print a name, and its text folded beside it."""
    lines = beside(name, text, width, console.width)
    if bold:
        lines[0] = f"[bold]{escape(lines[0][:width])}[/bold]{escape(lines[0][width:])}"
    else:
        lines[0] = escape(lines[0])
    for line in (lines[0], *map(escape, lines[1:])):
        console.print(line, soft_wrap=True)


def _say(console: Console, what: str, fix: str, link: str = "") -> None:
    """Print a problem and its fix; the fix stays on one line, so that it can be copied."""
    _wrapped(console, what, " ", 1)
    _line(console, f"    fix: {fix}")
    if link:
        _line(console, f"    see: {link}")


def _line(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
