"""Measure a bundle on a device: copy what is missing there, run, and clean up."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llm_export.errors import LlmExportError
from llm_export.json_data import to_json
from llm_export.targets.base import Target
from llm_export.targets.facts import facts_of, reading_of
from llm_export.targets.push import Pushed, push, remove
from llm_export.targets.runners import Measurement, Places, Runner, Say
from llm_export.targets.settings import check_settings
from runtime_py.bundle import Bundle


def bench_on(
    target: Target,
    path: Path,
    runner: Runner,
    wanted: Measurement,
    *,
    keep: bool = False,
    clear: bool = False,
    say: Say = lambda line: None,
) -> dict[str, Any]:
    """Measure a bundle on a device.

    What was copied stays there for the next time. If the measurement fails or is interrupted, what
    this call copied is removed.

    Args:
        keep: leave it there in that case too.
        clear: remove it, and what former calls copied of this bundle and runner, in any case.
        say: called with a line for each step.

    Returns:
        The JSON object of benchmark.json, and under ``device`` what the device is (``DeviceFacts``)
        and its temperatures and frequencies ``before`` and ``after`` (``Reading``).

    Raises:
        BundleRuntimeError: not a bundle, or a setting is out of its range.
        BundleError: the runner cannot run the bundle.
        InputError: the runner does not know a setting.
        TargetError: the device lacks something, or the connection or the measurement fails.
    """
    bundle = Bundle.open(path, verify_hashes=True)
    check_settings(bundle, wanted.settings)
    facts = facts_of(target)
    of_bundle, own = runner.files(bundle, wanted.settings.get("adapter"), facts)
    runner.check(target, wanted.settings)
    places = Places(
        bundle=f"{target.root}/bundles/{_folder_of(bundle)}",
        runner=f"{target.root}/runners/{runner.name}-{own[0].sha256[:8]}",
        facts=facts,
    )
    pushed = {folder: Pushed() for folder in (places.bundle, places.runner)}
    done = False
    try:
        push(target, own, places.runner, pushed[places.runner], say)
        push(target, of_bundle, places.bundle, pushed[places.bundle], say)
        before = reading_of(target)
        result = runner.measure(target, bundle, places, wanted, say)
        after = reading_of(target)
        done = True
    finally:
        for folder, each in pushed.items():
            if clear:
                _tell(folder, partial(target.remove, [folder]), say)
            elif each.paths and not done and not keep:
                _tell(folder, partial(remove, target, each, folder), say)
    machine = result["machine"]
    machine["governor"] = machine.get("governor") or before.governor
    result["bundle"] = str(path)
    result["device"] = {
        "target": target.address, "runner": runner.name, **to_json(facts),
        "before": to_json(before), "after": to_json(after),
        "copied_bytes": sum(each.bytes for each in pushed.values()),
        "folder": None if clear else target.root,
    }  # fmt: skip
    return result


def _tell(folder: str, clean: Callable[[], None], say: Say) -> None:
    try:
        clean()
        say(f"removed from the device: {folder}")
    except (LlmExportError, OSError) as error:
        say(f"left on the device: {folder} ({str(error).splitlines()[0]})")


def _folder_of(bundle: Bundle) -> str:
    """One for each program, so that two of the same name do not replace each other."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", bundle.manifest["name"])[:60].lstrip(".-") or "bundle"
    return f"{name}-{bundle.digest(bundle.file('program'))[:8]}"
