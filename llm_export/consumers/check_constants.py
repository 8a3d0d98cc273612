"""The constant methods of a contract."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.compat.program_methods import Constant
from llm_export.consumers.contract import Contract
from llm_export.consumers.facts import BundleFacts
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.verdict import Row

_WORDS = {
    "number": "a number", "numbers": "one or more numbers", "int": "an int",
    "ints": "one or more ints", "bool": "a bool", "string": "a text", "schema": "a text",
}  # fmt: skip


def constant_rows(facts: BundleFacts, contract: Contract, fixes: Fixes) -> Iterator[Row]:
    for name in contract.constants:
        row = _row(facts, contract, name, fixes)
        if row is not None:
            yield row


def _row(facts: BundleFacts, contract: Contract, name: str, fixes: Fixes) -> Row | None:
    rule = contract.constants[name]
    known = [each for each in (name, *rule.other_names) if each in facts.methods]
    if not known:
        if rule.optional:
            return None
        return Row(name, False, "is missing", fixes.again())
    values = facts.constants(known[0])
    if values is None or not _fits(values, rule.type):
        return Row(name, False, f"returns {_shown(values)}, not {_WORDS[rule.type]}", fixes.again())
    if rule.value is not None and values[0] != rule.value:
        return Row(
            name, False, f"is {_shown(values)}, not {rule.value}", _mend(contract, name, fixes)
        )
    return Row(name, True, _shown(values))


def _fits(values: tuple[Constant, ...], kind: str) -> bool:
    if kind not in ("ints", "numbers") and len(values) != 1:
        return False
    if not values:
        return False
    types: dict[str, tuple[type, ...]] = {
        "bool": (bool,), "string": (str,), "schema": (str,), "int": (int,), "ints": (int,),
    }  # fmt: skip
    allowed = types.get(kind, (int, float, bool))
    if kind in ("int", "ints") and any(isinstance(value, bool) for value in values):
        return False
    return all(isinstance(value, allowed) for value in values)


def _shown(values: tuple[Constant, ...] | None) -> str:
    if values is None:
        return "what it computes"
    if not values:
        return "nothing"
    text = ", ".join(map(str, values))
    return text if len(text) <= 60 else f"{len(text)} characters"


def _mend(contract: Contract, name: str, fixes: Fixes) -> str:
    if name == "use_kv_cache":
        return fixes.with_backend(contract, "runtime.attention=auto")
    return fixes.again()
