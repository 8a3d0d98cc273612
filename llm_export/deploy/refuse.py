"""Refuse a bundle that a target cannot take, before anything is written."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.deploy.base import DeployTarget, Obstacle
from llm_export.errors import BundleError
from runtime_py.bundle import Bundle

_RUNTIME = "executorch_prim"
"""Operators of ExecuTorch's runtime itself."""


def refuse(bundle: Bundle, name: str, target: DeployTarget) -> None:
    """
    Args:
        name: of the target.

    Raises:
        BundleError: the target cannot take the bundle; all reasons.
    """
    found = list(_obstacles(bundle, target))
    if found:
        raise BundleError(
            f"{name} cannot take this bundle: {'; '.join(each.what for each in found)}",
            where=str(bundle.path),
            fix="; ".join(dict.fromkeys(each.fix for each in found)),
        )


def _obstacles(bundle: Bundle, target: DeployTarget) -> Iterator[Obstacle]:
    requires = bundle.manifest["requires"]
    if target.backends is not None:
        for backend in sorted(set(requires["backends"]) - target.backends):
            takes = ", ".join(sorted(target.backends)) or "none"
            yield Obstacle(
                f"its libraries have no {backend}, only {takes}", "export with backend=xnnpack"
            )
    if target.operators is not None:
        there = target.operators | {_RUNTIME}
        lacking = [n for n in requires["operators"] if n.split("::")[0] not in there]
        if lacking:
            fix = "another operator library"
            if any(name.startswith("llama::") for name in lacking):
                fix = "export with runtime.attention=plain"
            yield Obstacle(f"its libraries have no {', '.join(lacking)}", fix)
    yield from target.obstacles(bundle)
