"""Write the table of docs/consumers.md: kinds of programs and the consumers that load them.

python benchmarks/consumer_table.py              from benchmarks/consumer_programs.json
python benchmarks/consumer_table.py --measure    export a tiny model of each kind first (5 minutes)
python benchmarks/consumer_table.py --measure --only NAME

The record holds what is read of each program; the table follows from it and the contracts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from llm_export.compat.program_methods import (  # noqa: E402
    ProgramMethod,
    TensorMeta,
    read_methods,
)
from llm_export.consumers import CONSUMERS, Verdict, check_for  # noqa: E402
from llm_export.consumers.facts import BundleFacts  # noqa: E402
from llm_export.registry import OWN  # noqa: E402

RECORD = Path(__file__).with_name("consumer_programs.json")
PAGE = REPO / "docs" / "consumers.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->\n"
KINDS = {
    "xnnpack": ["backend=xnnpack", "quant=8da8w"],
    "xnnpack, plain attention": ["backend=xnnpack", "quant=8da8w", "runtime.attention=plain"],
    "xnnpack, fixed shapes": ["backend=xnnpack", "quant=8da8w", "runtime=static"],
    "portable": ["backend=portable"],
    "vulkan": ["backend=vulkan"],
    "coreml": ["backend=coreml"],
    "mlx": ["backend=mlx"],
    "openvino": ["backend=openvino"],
    "tosa (as Ethos-U and VGF)": ["backend=tosa"],
}
"""Kind of program -> the choices that make it of the tiny model."""

Record = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Kind -> method -> its fields, but for a state that it gives out, which no consumer reads."""


class RecordedFacts(BundleFacts):
    """Of a program in the record, in a bundle whose other files are as they should be."""

    def __init__(self, methods: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder, self.manifest, self.rerun = Path(), {}, ""
        self.__dict__["methods"] = {name: _method(name, m) for name, m in methods.items()}
        self.__dict__["tokens"] = self.vocabulary

    def json(self, path: str) -> Any:
        return {"chat_template": "{{ messages }}", "eos_token": "</s>"}


def measured(words: list[str]) -> dict[str, dict[str, Any]]:
    """What is read of a program that is exported with these choices."""
    from llm_export import api

    quick = ["model=tiny", "benchmark=off", "verify=off", *words]
    with tempfile.TemporaryDirectory() as folder:
        run = api.run(None, quick, until="lower", out=Path(folder) / "o", quiet=True, cache=False)
        with run as lowered:
            methods = read_methods(lowered.artifact.program_file)
    return {
        name: {key: value for key, value in asdict(method).items() if key != "name" and value}
        for name, method in methods.items()
        if method.constants is not None or method.inputs
    }


def _method(name: str, body: Mapping[str, Any]) -> ProgramMethod:
    def values(side: str) -> tuple[Any, ...]:
        return tuple(_value(each) for each in body.get(side, ()))

    words = {key: tuple(body.get(key, ())) for key in ("operators", "backends")}
    return ProgramMethod(name, values("inputs"), values("outputs"), **words)


def _value(each: Any) -> Any:
    if not isinstance(each, dict):
        return each
    return TensorMeta(each["dtype"], tuple(each["sizes"]), each["dynamic"])


def verdicts(record: Record) -> dict[str, dict[str, Verdict]]:
    """Kind -> consumer -> verdict."""
    names = [name for name in CONSUMERS if CONSUMERS.origin(name) == OWN]
    return {
        kind: {name: check_for(RecordedFacts(methods), name) for name in names}
        for kind, methods in record.items()
    }


def table(record: Record) -> str:
    found = verdicts(record)
    names = list(next(iter(found.values())))
    numbers: dict[str, int] = {}
    lines = ["| program | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for kind, each in found.items():
        cells = []
        for name in names:
            failed = [row.what for row in each[name].failed]
            marks = {numbers.setdefault(what, len(numbers) + 1) for what in failed}
            cells.append(" ".join(map(str, sorted(marks))) if marks else "✓")
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {what}" for what, number in numbers.items())]
    return "\n".join(lines) + "\n"


def page(text: str, record: Record) -> str:
    """The page with the table of the record."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + table(record) + END + rest.partition(END)[2]


def read_record() -> dict[str, Any]:
    return dict(json.loads(RECORD.read_text(encoding="utf-8")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="export the programs anew")
    parser.add_argument("--only", choices=KINDS, help="measure this kind alone")
    options = parser.parse_args()
    record = read_record() if RECORD.is_file() else {}
    if options.measure:
        for kind in [options.only] if options.only else KINDS:
            record[kind] = measured(KINDS[kind])
            kept = {kind: record[kind] for kind in KINDS if kind in record}
            RECORD.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(kind)
    if PAGE.is_file():
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), read_record()), encoding="utf-8")


if __name__ == "__main__":
    main()
