"""A profile in words, as a table and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from llm_export.profile.breakdown import Part
from llm_export.profile.kinds import (
    DISPATCH,
    KINDS,
    LINEAR,
    MIXER,
    NORM,
    PRODUCT,
    RUNTIME,
)
from llm_export.profile.result import PHASES, Profile
from llm_export.profile.tree import Module, folded, tree_of


def heading(profile: Profile) -> list[str]:
    """What was measured, how, and what limits it."""
    step = f"{profile.tokens} token" + "s" * (profile.tokens > 1)
    step += f" after {profile.depth:,}"
    if profile.phase not in PHASES:
        step = f"{profile.method}, inputs of length {profile.tokens:,}"
    lines = [
        f"{profile.machine.get('processor', '')}, {profile.threads} threads; {step}; the fastest "
        f"quarter of {profile.steps} steps",
        f"step: {_ms(profile.step_seconds)} ms; with the tracer {_ms(profile.traced_seconds)} ms "
        f"({profile.tracer_overhead:+.1%}), which the table divides",
        f"bandwidth bound: {profile.bandwidth / 1e9:.1f} GB/s, a streaming read by as many threads",
    ]
    if (profile.conditions or {}).get("disturbed"):
        others = (profile.conditions or {})["other_cpus"]
        lines.append(f"disturbed: other processes kept {others:.2f} CPUs busy; measure when idle")
    for backend, count in profile.whole.items():
        lines.append(
            f"{backend} traces no operators: the time of each of its {count} delegates is given "
            "whole, to the module that contains it"
        )
    if profile.unnamed_seconds >= 0.001 * profile.traced_seconds:
        lines.append(
            f"{_ms(profile.unnamed_seconds)} ms of operators in delegates match no operator of the "
            "graph; they count for the module that contains the delegate"
        )
    return lines


def kind_rows(profile: Profile) -> list[tuple[str, ...]]:
    """Of the table by kind, with its head."""
    rows: list[tuple[str, ...]] = [("kind", "ms", "%", "weights MB", "GB/s", "of bound")]
    for share in profile.kinds:
        reads = share.kind in (LINEAR, PRODUCT, MIXER, NORM)  # others read rows of tables
        rows.append((
            KINDS[share.kind], _ms(share.seconds), f"{share.share:.1%}",
            f"{share.bytes / 1e6:.1f}" if reads else "",
            f"{share.bytes / share.seconds / 1e9:.1f}" if share.bandwidth else "",
            f"{share.bandwidth:.0%}" if share.bandwidth else "",
        ))  # fmt: skip
    return [*rows, ("step", _ms(profile.traced_seconds), "100.0%", "", "", "")]


def module_rows(
    profile: Profile, *, each: bool = False, levels: int = 5, least: float = 0.0
) -> list[tuple[str, ...]]:
    """Of the table by module, with its head.

    Args:
        each: every layer, instead of the sum of all.
        levels: of nested modules.
        least: share of the step below which a module is left out.
    """
    root = profile.modules if each else folded(profile.modules)
    rows: list[tuple[str, ...]] = [("module", "ms", "%", "weights MB")]
    for depth, module in root.walk():
        share = module.seconds / profile.traced_seconds
        if depth > levels or (depth and share < least):
            continue
        rows.append((
            "  " * depth + _label(module), _ms(module.seconds), f"{share:.1%}",
            f"{module.bytes / 1e6:.1f}" if module.bytes else "",
        ))  # fmt: skip
    for kind in (DISPATCH, RUNTIME):
        seconds = sum(p.seconds for p in profile.parts if p.kind == kind)
        share = seconds / profile.traced_seconds
        rows.append((f"  ({KINDS[kind]})", _ms(seconds), f"{share:.1%}", ""))
    return rows


def _label(module: Module) -> str:
    if not module.path:
        return "model"
    return f"{module.name} (sum of {module.count})" if module.name == "*" else module.name


def size_rows(weights: Mapping[str, int]) -> list[tuple[str, ...]]:
    """Bytes of a program's weights by module, with the table's head and layers as one."""
    parts = (Part(module, "", "", "", 0.0, size) for module, size in weights.items())
    root = folded(tree_of(parts))
    return [
        ("module", "MB", "%"),
        *(
            (
                "  " * depth + _label(module),
                f"{module.bytes / 1e6:.3f}",
                f"{module.bytes / (root.bytes or 1):.1%}",
            )
            for depth, module in root.walk()
        ),
    ]


def columns(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Lines with the first column to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()


def csv_text(profile: Profile) -> str:
    """A line for each part."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["module", "operator", "event", "kind", "seconds", "share", "weight_bytes"])
    for p in profile.parts:
        share = p.seconds / profile.traced_seconds
        writer.writerow(
            [p.module, p.operator, p.event, p.kind, f"{p.seconds:.9f}", f"{share:.6f}", p.bytes]
        )
    return text.getvalue()


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"
