"""The operators and delegates that a program needs, and those that a consumer's libraries have."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.consumers.contract import Contract
from llm_export.consumers.facts import BundleFacts
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.linked import has_operator
from llm_export.consumers.verdict import Row

_LISTED = 4


def operator_rows(facts: BundleFacts, contract: Contract, fixes: Fixes) -> Iterator[Row]:
    needed = sorted({name for m in facts.methods.values() for name in m.operators})
    if contract.operators is None:
        return
    lacking = [n for n in needed if not has_operator(contract, n)]
    if not lacking:
        yield Row("operators", True, f"has all {len(needed)}")
        return
    more = f" and {len(lacking) - _LISTED} more" if lacking[_LISTED:] else ""
    listed = ", ".join(lacking[:_LISTED])
    yield Row("operators", False, f"lacks {listed}{more}", _mend(contract, lacking, fixes))


def backend_rows(facts: BundleFacts, contract: Contract, fixes: Fixes) -> Iterator[Row]:
    needed = sorted({name for m in facts.methods.values() for name in m.backends})
    if contract.backends is None:
        return
    lacking = [name for name in needed if name not in contract.backends]
    if lacking:
        has = ", ".join(contract.backends) or "none"
        found = f"lacks {', '.join(lacking)}: has {has}"
        yield Row("backends", False, found, fixes.with_backend(contract))
        return
    where = [f"{name} ({contract.backends[name]})" for name in needed]
    yield Row("backends", True, "has " + ", ".join(where) if where else "needs none")


def _mend(contract: Contract, lacking: list[str], fixes: Fixes) -> str:
    if all(name.startswith("llama::") for name in lacking):
        return fixes.with_keys("runtime.attention=plain")
    return f"link the library that has {lacking[0]}, or {fixes.with_backend(contract)}"
