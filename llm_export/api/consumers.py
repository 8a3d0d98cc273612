"""Whether apps and runtimes can load a bundle without an edit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llm_export.consumers import Verdict

ALL = "all"
"""The name that means every version of every consumer."""


def verify_for(bundle: str | Path, *names: str) -> list[Verdict]:
    """Compare a bundle with the contracts of consumers: its files, constant methods, tensors,
    operators and delegates, read from the program itself. Nothing is loaded or run, and hashes are
    not compared: ``verify`` does that.

    Args:
        bundle: its folder, where one with a program alone will do; or a packed bundle.
        names: NAME@VERSION; NAME for the latest version; or all, as without a name.

    Raises:
        RecipeError: there is no such consumer.
        BundleError: the folder holds neither a manifest nor a program.
    """
    from llm_export.bundle.opened import opened
    from llm_export.consumers import CONSUMERS, check_for, contract_of
    from llm_export.consumers.facts import BundleFacts

    wanted = [name for name in names or (ALL,) if name != ALL]
    if len(wanted) < max(1, len(names)):
        wanted += list(CONSUMERS.sound())
    contracts = {c.full_name: c for c in map(contract_of, wanted)}
    folder = opened(bundle)
    # The folder of a packed bundle ends with this process: no fix may name its recipe.
    facts = BundleFacts(folder, None if folder == Path(bundle) else "llm-export run RECIPE")
    return [check_for(facts, contract) for contract in contracts.values()]
