"""Measure a bundle on another device, and ask a device what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llm_export.api.bundles import runtime_errors
from llm_export.api.packing import as_folder
from llm_export.errors import RecipeError


def bench_on(
    bundle: str | Path,
    target: str,
    *,
    runner: str | Path | None = None,
    runner_arguments: Sequence[str] = (),
    python: str | None = None,
    keep: bool = False,
    clear: bool = False,
    time_limit: float | None = 3600.0,
    say: Callable[[str], None] = lambda line: None,
    **settings: Any,
) -> dict[str, Any]:
    """Measure a bundle on another device. Files that it does not have are copied there first.

    Args:
        target: ``ssh:[USER@]HOST[:PORT]``, ``adb[:SERIAL]``, ``local``, or one of a plugin's kinds.
        runner: an ExecuTorch LLM runner built for the device (``llama_main``), or a folder with it
            and its libraries; ``build`` compiles a small one for Linux devices from ExecuTorch's
            wheel; None measures with the device's Python.
        runner_arguments: further arguments of the runner.
        python: the device's interpreter with ExecuTorch; None is python3.
        keep: leave what was copied on the device also if the measurement fails or is interrupted.
        clear: remove it in any case.
        time_limit: seconds; None is no limit.
        say: called with a line for each step.
        settings: arguments of ``bench``.

    Returns:
        The result of ``bench``, and under ``device`` what the device is, with temperatures and
        frequencies before and after.

    Raises:
        RecipeError: not a target, or arguments that exclude each other.
        BundleError: the runner cannot run this bundle, or an argument is wrong.
        TargetError: the device lacks something, or the connection or the measurement fails.
    """
    from llm_export.targets import open_target
    from llm_export.targets.bench import bench_on
    from llm_export.targets.choice import runner_for
    from llm_export.targets.runners import Measurement

    if keep and clear:
        raise RecipeError("keep and clear exclude each other", fix="one of them")
    chosen = runner_for(target, runner, runner_arguments, python)
    with runtime_errors(), as_folder(bundle) as folder, open_target(target) as device:
        return bench_on(
            device, folder, chosen, Measurement(settings, time_limit),
            keep=keep, clear=clear, say=say,
        )  # fmt: skip


def device(target: str) -> dict[str, Any]:
    """What a device is, and under ``now`` its temperatures, frequencies and free memory.

    Args:
        target: see ``bench_on``.

    Raises:
        RecipeError: not a target.
        TargetError: it cannot be reached.
    """
    from llm_export.json_data import to_json
    from llm_export.targets import open_target
    from llm_export.targets.facts import facts_of, reading_of

    with open_target(target) as opened:
        facts = to_json(facts_of(opened))
        return {"target": opened.address, **facts, "now": to_json(reading_of(opened))}
