"""The table of schemes in the docs is the one that the checks read.

LLM_EXPORT_WRITE_DOCS=1 pytest tests/docs/test_scheme_table.py   writes it.
"""

from __future__ import annotations

import os
from pathlib import Path

from llm_export.backends import BACKENDS
from llm_export.config.quant_schema import ModuleKind
from llm_export.quant.schemes import SCHEMES, Support, supported

PAGE = Path(__file__).parents[2] / "docs" / "quantization.md"
BEGIN, END = "<!-- matrix -->\n", "<!-- end of matrix -->\n"


def words(support: Support, grouped: bool) -> str:
    how = ["per channel"] if grouped and support.per_channel else []
    how += [f"groups of n x {support.groups}"] if grouped and support.groups else []
    how += ["zero points"] if support.can_shift else []
    return ", ".join([*how, *([] if support.delegated else ["*kernel*"])]) or "yes"


def table() -> str:
    schemes = [scheme for scheme in SCHEMES.values() if scheme.name != "none"]
    lines = [f"- `{scheme.name}`: {scheme.description}" for scheme in schemes]
    for kind in (ModuleKind.linear, ModuleKind.embedding):
        lines += ["", f"| {kind.value} | " + " | ".join(f"`{s.name}`" for s in schemes) + " |"]
        lines.append("|---|" + "---|" * len(schemes))
        for backend in sorted(BACKENDS):
            cells = []
            for scheme in schemes:
                support = supported(backend, kind).get(scheme.name)
                cells.append("–" if support is None else words(support, scheme.weight_bits < 16))
            lines.append(f"| {backend} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_docs_have_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    found, after = rest.split(END)
    if os.environ.get("LLM_EXPORT_WRITE_DOCS"):
        PAGE.write_text(before + BEGIN + table() + END + after, encoding="utf-8")
        return
    assert found == table()


def test_the_output_matrix_is_treated_as_a_linear() -> None:
    """So that the table need not have a column for it."""
    for backend in BACKENDS:
        assert supported(backend, ModuleKind.head) == supported(backend, ModuleKind.linear)
