"""Compare a bundle with the contract of a consumer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from llm_export.consumers.check_constants import constant_rows
from llm_export.consumers.check_files import file_rows, weight_rows
from llm_export.consumers.check_links import backend_rows, operator_rows
from llm_export.consumers.check_methods import form_of, method_rows, step_rows, vocabulary_rows
from llm_export.consumers.check_schema import schema_rows
from llm_export.consumers.contract import Contract
from llm_export.consumers.facts import PROGRAM, BundleFacts
from llm_export.consumers.fixes import Fixes
from llm_export.consumers.verdict import Row


def rows_of(facts: BundleFacts, contract: Contract) -> Iterator[Row]:
    """The requirements of a contract; of a program that cannot be read, only those up to it."""
    fixes = Fixes(facts)
    yield from _of(contract, "files", file_rows(facts, contract, fixes))
    if facts.program_problem:
        yield Row(PROGRAM, False, facts.program_problem, fixes.again())
        return
    yield Row(PROGRAM, True, f"{len(facts.methods)} methods")
    yield from _of(contract, "data_files", weight_rows(facts, contract))
    yield from _of(contract, "constants", constant_rows(facts, contract, fixes))
    form = form_of(facts, contract)
    yield from _of(contract, "methods", method_rows(facts, contract, form, fixes))
    yield from _of(contract, "methods", schema_rows(facts, contract, form, fixes))
    yield from _of(contract, "steps", step_rows(facts, contract, form, fixes))
    yield from _of(contract, "vocabulary", vocabulary_rows(facts, contract, fixes))
    yield from _of(contract, "operators", operator_rows(facts, contract, fixes))
    yield from _of(contract, "backends", backend_rows(facts, contract, fixes))


def _of(contract: Contract, key: str, rows: Iterator[Row]) -> Iterator[Row]:
    source = contract.sources.get(key, "")
    return (replace(row, source=source) for row in rows)
