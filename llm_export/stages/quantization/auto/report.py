"""Results of automatic mixed precision in the bundle: a reusable quant option, and a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

import yaml

from llm_export.bundle.roles import ROLES
from llm_export.config.quant_schema import QuantRule
from llm_export.config.recipe_files import plain, resolved
from llm_export.config.schema import Recipe
from llm_export.files import write_text
from llm_export.pipeline.stage import RunContext
from llm_export.quant.auto.units import key_of, words_of

if TYPE_CHECKING:
    from llm_export.stages.quantization.auto.search import Found

_HEADER = """\
# Chosen by measurement for {model} on {backend}. Use it again without the search:
#   as an option: copy it to DIR/quant/{name}.yaml, then  --config-dir DIR quant={name}
#   or put it into a recipe, below  quant:
"""
_SEARCH = ("auto", "bits_per_weight", "file_megabytes")


def write_evidence(found: Found, recipe: Recipe, ctx: RunContext) -> str:
    """Write both files and record the results in run.json; returns a message with the result and
    how to reuse it.
    """
    write_text(ctx.bundle / ROLES["quant_auto"], option_yaml(found, recipe))
    rows = list(table(found))
    write_text(ctx.bundle / ROLES["quant_sensitivity"], _csv(rows))
    ctx.note(
        auto={
            "budget": found.budget.words,
            **found.spent,
            "estimated_kl": found.estimated_kl,
            "measured_kl": found.measured_kl,
            "rules": [_told(rule) for rule in found.rules],
            "sensitivity": rows,
        }
    )
    return f"{_words(found)}; again without the search: {ROLES['quant_auto']} of the bundle"


def option_yaml(found: Found, recipe: Recipe) -> str:
    """An option file for the group ``quant`` that makes the same choices, with every key stated."""
    name = f"auto_{found.budget.label}"
    body = resolved(recipe)["quant"]
    rest = {k: v for k, v in body.items() if k not in (*_SEARCH, "name", "description", "rules")}
    # What the option's own rules referred to; these say theirs.
    rest["group_size"] = None
    head = {
        "name": name,
        "description": f"mixed precision for {recipe.model.name}: {_words(found)}",
        "rules": [_Rule(_told(rule)) for rule in found.rules],
    }
    text = yaml.dump({**head, **rest}, Dumper=_Dumper, sort_keys=False, allow_unicode=True,
                     width=1000)  # fmt: skip
    header = _HEADER.format(model=recipe.model.name, backend=recipe.backend.name, name=name)
    return header + text


def _words(found: Found) -> str:
    bits, size = found.spent["bits_per_weight"], found.spent["file_megabytes"]
    return (
        f"{bits:.2f} bits per weight, {size:.1f} MB for a budget of {found.budget.words}; mean KL "
        f"to float32 {found.measured_kl:.2g} on calibration text"
    )


def table(found: Found) -> Iterator[dict[str, object]]:
    """A row for each measured module and candidate."""
    chosen = {c.name: key_of(c) for c in found.choices}
    for unit in found.units:
        if unit.name not in found.losses:
            continue
        for option in unit.options:
            weights = sum(c.shape[0] * c.shape[1] for c in option.choices)
            yield {
                "module": unit.name,
                "candidate": words_of(option.key),
                "bits_per_weight": round(8 * option.bytes / weights, 3),
                "bytes": option.bytes,
                "mean_kl": found.losses[unit.name][option.words],
                "chosen": chosen[option.choices[0].name] == option.key,
            }


def _csv(rows: Sequence[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["module", "candidate", "bits_per_weight", "bytes", "mean_kl", "chosen"],
        lineterminator="\n",
    )  # fmt: skip
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "mean_kl": f"{row['mean_kl']:.3e}",
                         "chosen": "x" if row["chosen"] else ""})  # fmt: skip
    return text.getvalue()


def _told(rule: QuantRule) -> dict[str, object]:
    """The rule's values that differ from the defaults."""
    usual = {f.name: f.default for f in fields(QuantRule)}
    said = plain(asdict(rule))
    order = {key: said.pop(key) for key in ("kind", "layers", "pattern", "scheme")} | said
    return {key: value for key, value in order.items() if value != usual[key]}


class _Rule(dict[str, object]):
    """A rule, which takes one line."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Rule,
    lambda dumper, rule: dumper.represent_mapping(
        "tag:yaml.org,2002:map", list(rule.items()), flow_style=True
    ),
)
