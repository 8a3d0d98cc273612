"""Refuse a bundle that a target cannot take, before anything is written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from llm_export.consumers import check_for
from llm_export.deploy.base import DeployTarget, Obstacle, Settings
from llm_export.errors import BundleError, excerpt
from runtime_py.bundle import Bundle
from runtime_py.bundle_task import GENERATE, SEE, require_task, task_name
from runtime_py.errors import BundleRuntimeError

_RUNTIME = "executorch_prim"
"""Operators of ExecuTorch's runtime itself."""
_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}")
"""Build files and commands of projects have a version without quotes."""


def refuse(bundle: Bundle, name: str, target: DeployTarget, settings: Settings) -> None:
    """The target's own reasons come first; where there are none, the contracts of what runs the
    bundle there.

    Args:
        name: of the target.

    Raises:
        BundleError: the target cannot take the bundle; all reasons.
    """
    try:
        require_task(bundle, *target.tasks)
    except BundleRuntimeError as error:
        raise BundleError(
            f"projects of {name} are for the task {' or '.join(target.tasks)}, and {error.what}",
            where=error.where, fix="; ".join(filter(None, [_instead(bundle), error.fix])),
        ) from None  # fmt: skip
    found = list(_obstacles(bundle, target))
    if not found and task_name(bundle) in (GENERATE, SEE):  # which contracts are of
        found = list(_unmet(bundle, target, settings))
    if found:
        raise BundleError(
            f"{name} cannot take this bundle: {'; '.join(each.what for each in found)}",
            where=str(bundle.path),
            fix="; ".join(dict.fromkeys(each.fix for each in found)),
        )


def _instead(bundle: Bundle) -> str:
    """The command for a target that takes bundles of this task."""
    from llm_export.deploy import DEPLOY_TARGETS

    task = task_name(bundle)
    names = [each for each in DEPLOY_TARGETS if task in DEPLOY_TARGETS.get(each).tasks]
    path = shlex.quote(str(bundle.path))
    return f"llm-export deploy {path} --to {names[0]} FOLDER" if names else ""


def _obstacles(bundle: Bundle, target: DeployTarget) -> Iterator[Obstacle]:
    requires = bundle.manifest["requires"]
    if not _VERSION.fullmatch(requires["executorch"]):
        yield Obstacle(
            f"'{excerpt(requires['executorch'])}' is no version of ExecuTorch",
            "export the bundle anew",
        )
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


def _unmet(bundle: Bundle, target: DeployTarget, settings: Settings) -> Iterator[Obstacle]:
    for consumer in target.consumers(settings):
        verdict = check_for(bundle.path, consumer)
        for row in verdict.failed:
            yield Obstacle(f"{verdict.name}: {row.what}: {row.found}", row.fix)
