"""Explain a recipe key: meaning, default, what its values trade, and the stages that read it.

llm-export explain quant.group_size      one key
llm-export explain runtime.sampling      and all below it
llm-export explain group_size            or wherever there is one of this name
llm-export explain quant.group_size --json
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from llm_export import api
from llm_export.cli.layout import beside, fold

if TYPE_CHECKING:
    from llm_export.runner.key_reference import KeyFacts

_INDENT = 2
"""Columns by which lines below the key are indented."""
_VALUES = 12
"""Maximum number of options of a group that are listed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("key", metavar="KEY", help="as in an override: quant.group_size")
    parser.add_argument("--config-dir", "-cd", metavar="DIR",
                        help="a further folder with recipes and options")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> None:
    found = api.explain(options.key, options.config_dir)
    if options.json:
        print(json.dumps([facts.as_dict() for facts in found], indent=2, default=str))
        return
    print("\n\n".join(_in_words(facts) for facts in found))


def _in_words(facts: KeyFacts) -> str:
    default = "none; it must be given" if facts.default is None else facts.default
    lines = [f"{facts.key}  ({facts.type})"]
    if facts.text:
        lines.append(fold(f"  {facts.text}", 0))
    lines.append(f"  default    {default}")
    for name, text in (facts.trade.as_dict() if facts.trade else {}).items():
        lines += beside(f"  {name}", text, 12)
    if facts.options:
        shown = [f"{name}: {value}" for name, value in facts.options.items()]
        more = len(shown) - _VALUES
        shown = [*shown[:_VALUES], *([f"and {more} more"] if more > 0 else [])]
        lines += beside("  options", "; ".join(shown), 12)
    if facts.read_by:
        first, *others = facts.read_by
        lines.append(f"  read by    {', '.join(facts.read_by)}")
        after = f"'{first}' and the stages after it" if others else f"only '{first}'"
        lines.append(f"  a change   runs {after} anew, then the report")
    else:
        lines.append("  read by    the report alone; a change runs no other stage anew")
    if facts.training_reads:
        lines.append(f"  and by     {', '.join(facts.training_reads)}, if train.enabled")
    if facts.refused_by:
        lines.append(f"  checked in {', '.join(facts.refused_by)}, before its work")
    return "\n".join(fold(line, 13 - _INDENT) for line in lines)
