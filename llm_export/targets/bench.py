"""Measure a bundle on a device: copy what is missing there, run, and clean up."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llm_export.errors import BundleError, LlmExportError
from llm_export.json_data import to_json
from llm_export.targets.base import Target
from llm_export.targets.facts import facts_of, reading_of
from llm_export.targets.push import Item, Pushed, push, remove
from llm_export.targets.runners import Measurement, Places, Runner
from llm_export.targets.settings import check_settings
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError

Say = Callable[[str], None]


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
        BundleError: not a bundle, or the runner cannot run it.
        InputError: a setting is out of its range.
        TargetError: the device lacks something, or the connection or the measurement fails.
    """
    try:
        bundle = Bundle.open(path, verify_hashes=True)
        check_settings(bundle, wanted.settings)
        facts = facts_of(target)
        of_bundle, own = runner.files(bundle, wanted.settings.get("adapter"), facts)
    except BundleRuntimeError as error:
        raise BundleError(error.what, where=error.where, fix=error.fix) from None
    runner.check(target)
    places = Places(
        bundle=f"{target.root}/bundles/{_folder_of(bundle)}",
        runner=f"{target.root}/runners/{runner.name}-{own[0].sha256[:8]}",
        facts=facts,
    )
    pushed = {folder: Pushed() for folder in (places.bundle, places.runner)}
    done = False
    try:
        _push_all(target, of_bundle, own, places, pushed, say)
        before = reading_of(target)
        result = runner.measure(target, bundle, places, wanted, say)
        after = reading_of(target)
        done = True
    finally:
        if clear:
            _clear(target, places, say)
        elif not done and not keep:
            _take_back(target, pushed, say)
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


def _push_all(
    target: Target,
    of_bundle: list[Item],
    own: list[Item],
    places: Places,
    pushed: dict[str, Pushed],
    say: Say,
) -> None:
    push(target, own, places.runner, pushed[places.runner], say)
    push(target, of_bundle, places.bundle, pushed[places.bundle], say)


def _take_back(target: Target, pushed: dict[str, Pushed], say: Say) -> None:
    for folder, each in pushed.items():
        if each.paths:
            try:
                remove(target, each, folder)
                say(f"removed from the device: {folder}")
            except (LlmExportError, OSError) as error:
                say(f"left on the device: {folder} ({str(error).splitlines()[0]})")


def _clear(target: Target, places: Places, say: Say) -> None:
    for folder in (places.bundle, places.runner):
        try:
            target.remove([folder])
            say(f"removed from the device: {folder}")
        except (LlmExportError, OSError) as error:
            say(f"left on the device: {folder} ({str(error).splitlines()[0]})")


def _folder_of(bundle: Bundle) -> str:
    """One for each program, so that two of the same name do not replace each other."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", bundle.manifest["name"])[:60].lstrip(".-") or "bundle"
    return f"{name}-{bundle.digest(bundle.file('program'))[:8]}"
