"""What apps and runtimes require of a bundle: their contracts, as data, by NAME@VERSION.

A shipped contract is a file of ``contracts/``, which is found by its name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.consumers.contract import Contract, read_contract
from llm_export.consumers.named import CONSUMERS, contract_of, full_name, versions_of
from llm_export.consumers.verdict import Row, Verdict

if TYPE_CHECKING:
    from llm_export.consumers.facts import BundleFacts

__all__ = [
    "CONSUMERS",
    "Contract",
    "Row",
    "Verdict",
    "check_for",
    "contract_of",
    "full_name",
    "read_contract",
    "versions_of",
]


def check_for(folder: str | Path | BundleFacts, name: str | Contract) -> Verdict:
    """Whether a bundle meets the contract of a consumer. The program is read, not loaded.

    Args:
        folder: a bundle; or what has been read of it, for several contracts.
        name: NAME@VERSION, or NAME for the latest; or a contract.

    Raises:
        RecipeError: there is no such consumer.
        BundleError: the folder holds neither a manifest nor a program.
    """
    from llm_export.consumers.check import rows_of
    from llm_export.consumers.facts import BundleFacts

    contract = name if isinstance(name, Contract) else contract_of(name)
    facts = folder if isinstance(folder, BundleFacts) else BundleFacts(Path(folder))
    return Verdict(contract.name, contract.version, tuple(rows_of(facts, contract)))
