"""Which consumers can load the finished bundle, and whether those of the recipe can."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from llm_export.bundle.manifest import ConsumerEntry
from llm_export.consumers import CONSUMERS, Verdict, check_for, versions_of
from llm_export.consumers.facts import BundleFacts
from llm_export.errors import VerificationError
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.resolve.targets import contracts_of


def compare_consumers(folder: Path, resolved: ResolvedRecipe) -> dict[str, ConsumerEntry]:
    """NAME@VERSION -> the verdict on a bundle that is complete but for its report.

    Raises:
        VerificationError: a consumer of ``deploy.targets`` cannot load it.
    """
    facts = BundleFacts(folder, rerun="")
    verdicts = {name: check_for(facts, name) for name in CONSUMERS.sound()}
    targets = [contract.full_name for contract in contracts_of(resolved.recipe)]
    require_targets([verdicts[name] for name in targets], verdicts)
    return {
        name: ConsumerEntry(verdict.good, tuple(row.what for row in verdict.failed))
        for name, verdict in verdicts.items()
    }


def require_targets(targets: Sequence[Verdict], verdicts: Mapping[str, Verdict]) -> None:
    """
    Args:
        targets: those of the recipe.
        verdicts: those of all consumers, of which the message names the ones that hold.

    Raises:
        VerificationError: a target cannot load the bundle.
    """
    failed = [verdict for verdict in targets if not verdict.good]
    if not failed:
        return
    rows = [(verdict.name, row) for verdict in failed for row in verdict.failed]
    told = "; ".join(f"{name}: {row.what} {row.found}" for name, row in rows)
    fixes = list(dict.fromkeys(row.fix for _, row in rows if row.fix))
    able = [name for name, verdict in verdicts.items() if verdict.good]
    others = f"deploy.targets=[{','.join(_instead(targets, able))}]"
    raise VerificationError(
        f"the bundle does not meet what its targets require: {told}",
        where="deploy.targets",
        fix=f"{', or '.join([*fixes, others])}; it meets {', '.join(able) or 'none'}",
    )


def _instead(targets: Sequence[Verdict], able: Sequence[str]) -> list[str]:
    """The targets, with the newest version that can load the bundle of those that cannot, if one
    can."""
    kept = []
    for verdict in targets:
        versions = [f"{verdict.consumer}@{v}" for v in versions_of(verdict.consumer)]
        found = [verdict.name] if verdict.good else [v for v in versions if v in able][-1:]
        kept += found
    return kept
