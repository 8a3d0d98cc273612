"""What ``fit`` found, for a terminal."""

from __future__ import annotations

from llm_export.fit.choose import Fitting, megabytes
from llm_export.fit.fit import Fit
from llm_export.folding import columns_here, folded
from llm_export.predict.device_memory import BASIS
from runtime_py.benchmark.words import aligned

_TITLES = ("quant", "KV cache", "program", "weights", "caches", "activations", "whole", "fits",
           "longest", "mean KL")  # fmt: skip
_SIZES = slice(2, 8)


def screen(found: Fit) -> str:
    """A row for each option and KV cache, then the contexts of the chosen one."""
    recipe = found.composed.recipe
    head = (
        f"{recipe.model.name} on {recipe.backend.name}: a program may take "
        f"{megabytes(found.bound)} MB, {found.share:g} of {megabytes(found.device_memory)} MB"
    )
    chosen = found.chosen
    parts = [
        head,
        f"with a context of {found.context} tokens, in MB:\n\n{_options(found)}",
        f"quant={chosen.quant} with a KV cache in {chosen.cache}, in MB:\n\n{_contexts(found)}",
        _notes(found),
        f"chosen: {' '.join(found.overrides)}",
    ]
    return "\n\n".join(parts)


def _options(found: Fit) -> str:
    rows = [row for row in found.rows if row.context == found.context]
    lines = [list(_TITLES)]
    for row in rows:
        lengths = [r.context for r in _same(found, row) if found.fits(r)]
        mark = "*" if row.scheme == found.chosen.scheme else ""
        known = "" if row.expected.measured else "<"
        lines.append([
            f"{row.quant}{mark}", row.cache, *_sizes(row), _yes(found.fits(row)),
            str(max(lengths)) if lengths else "–", f"{known}{row.expected.mean_kl:.2g}",
        ])  # fmt: skip
    return "\n".join(aligned(lines, left=range(2)))


def _contexts(found: Fit) -> str:
    lines = [["context", *_TITLES[_SIZES]]]
    for row in _same(found, found.chosen):
        mark = "*" if row.context == found.chosen.context else ""
        lines.append([f"{row.context}{mark}", *_sizes(row), _yes(found.fits(row))])
    return "\n".join(aligned(lines, left=range(1)))


def _same(found: Fit, row: Fitting) -> list[Fitting]:
    return [r for r in found.rows if r.scheme == row.scheme]


def _sizes(row: Fitting) -> list[str]:
    m = row.memory
    return [megabytes(n) for n in (m.program, m.weights, m.caches, m.activations, m.whole)]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _notes(found: Fit) -> str:
    losses = {row.quant: row.expected for row in found.rows}
    told: dict[str, list[str]] = {}
    for quant, expected in losses.items():
        known = expected.same_model or not expected.measured
        aside = "" if known else ", not this model on this backend"
        told.setdefault(f"{expected.source}{aside}", []).append(quant)
    lines = [f"whole, predicted: {BASIS}"]
    lines += [f"mean KL of {', '.join(names)}: {source}." for source, names in told.items()]
    if any(row.cache.startswith("int8") for row in found.rows):
        lines.append(
            "Of a quantized KV cache the loss is not in the figure. An int8 cache decodes at less "
            "than half the speed on CPUs (docs/quality.md): quant.kv_cache=float excludes it."
        )
    lines += [f"not {quant}: {why}" for quant, why in found.refused.items()]
    return folded("\n".join(lines), columns_here(), 2)
