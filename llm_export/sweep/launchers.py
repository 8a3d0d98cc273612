"""Where variants run: in this process, in others on this machine, or on a cluster."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from llm_export.config.compose import Composer
from llm_export.config.composed import Launcher, OwnLauncher, Task
from llm_export.config.launching import launcher
from llm_export.errors import MissingDependencyError, RecipeError, did_you_mean

LOCAL = "local"
_CHOICE = "hydra/launcher"


@dataclass(frozen=True)
class Kind:
    """A launcher as a user chooses it.

    Attributes:
        extra: of this package, which installs ``module``; None if nothing needs to be.
        one_machine: its jobs share this machine.
    """

    hydra: str
    module: str | None = None
    extra: str | None = None
    one_machine: bool = True


LAUNCHERS = {
    LOCAL: Kind("basic"),
    "joblib": Kind("joblib", "hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit_local": Kind("submitit_local", "hydra_plugins.hydra_submitit_launcher", "slurm"),
    "submitit_slurm": Kind(
        "submitit_slurm", "hydra_plugins.hydra_submitit_launcher", "slurm", one_machine=False
    ),
    "ray": Kind("ray", "ray", "ray"),
}


def chosen_launcher(
    name: str | None, overrides: Sequence[str], installed: Sequence[str]
) -> tuple[str, list[str], list[str]]:
    """(launcher, Hydra's overrides, the recipe's): ``--launcher`` and hydra/launcher= are one.

    Args:
        installed: Hydra's launchers that are there, ours or not.

    Raises:
        RecipeError: no such launcher, or the command says more than a launcher of Hydra.
        MissingDependencyError: it is not installed.
    """
    hydra = [word for word in overrides if word.lstrip("+~").startswith("hydra")]
    own = [word for word in overrides if word not in hydra]
    for word in hydra:
        if not word.lstrip("+").startswith((f"{_CHOICE}=", "hydra.launcher.")):
            raise RecipeError(
                "a sweep takes no other setting of Hydra than its launcher",
                where=f"override {word}",
                fix="hydra/launcher=NAME or hydra.launcher.KEY=VALUE; values to sweep over are "
                "written KEY=A,B",
            )
    said = [word.split("=", 1)[1] for word in hydra if word.startswith(f"{_CHOICE}=")]
    if name is not None and said:
        raise RecipeError(
            "two launchers are named", where=f"--launcher {name}, {_CHOICE}={said[0]}",
            fix="name one",
        )  # fmt: skip
    chosen = name or (said[0] if said else LOCAL)
    chosen = LOCAL if chosen == LAUNCHERS[LOCAL].hydra else chosen
    kind = LAUNCHERS.get(chosen)
    if kind is None and chosen not in installed:
        fix = did_you_mean(chosen, {*LAUNCHERS, *installed} - {LAUNCHERS[LOCAL].hydra})
        where = f"override {_CHOICE}={chosen}" if said else "--launcher"
        raise RecipeError(f"there is no launcher '{chosen}'", where=where, fix=fix)
    kind = kind or Kind(chosen)
    if kind.module is not None and not _importable(kind.module):
        raise MissingDependencyError(
            f"the launcher '{chosen}' is not installed",
            fix=f"pip install 'llm_export[{kind.extra}]'",
        )
    rest = [word for word in hydra if not word.startswith(f"{_CHOICE}=")]
    if chosen == LOCAL and rest:
        raise RecipeError("the local launcher has no settings", where=f"override {rest[0]}")
    return chosen, [f"{_CHOICE}={kind.hydra}", *rest], own


def shares_machine(launcher: str) -> bool:
    """Whether variants run at the same time on one machine, so that speeds are disturbed."""
    kind = LAUNCHERS.get(launcher)
    return launcher != LOCAL and (kind is None or kind.one_machine)


def make_launcher(
    name: str, composer: Composer, hydra: Sequence[str], folder: Path, task: Task
) -> Launcher:
    """A function that runs the jobs of given numbers.

    Raises:
        RecipeError: the launcher does not have such a setting, or there is no such launcher.
    """
    if name == LOCAL:
        return partial(_one_by_one, task)
    return launcher(composer, hydra, folder, task, {"ray": RAY})


def _one_by_one(task: Task, numbers: Sequence[int]) -> None:
    for number in numbers:
        task(number)


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _on_ray(settings: dict[str, Any], task: Task) -> Launcher:
    """Ray itself, in place of hydra-ray-launcher: that plugin works with it but can be installed
    neither with joblib 1.6 (it asks for cloudpickle<3) nor without Amazon's SDK."""

    def launch(numbers: Sequence[int]) -> None:
        import ray

        options = {
            part: {key: value for key, value in values.items() if value is not None}
            for part, values in settings["ray"].items()
        }
        started = not ray.is_initialized()
        if started:
            quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
            ray.init(**{**quiet, **options["init"]})
        try:
            job = ray.remote(**options["remote"])(_call)
            ray.get([job.remote(task, number) for number in numbers])
        finally:
            if started:
                ray.shutdown()

    return launch


def _call(task: Task, number: int) -> None:
    task(number)


RAY = OwnLauncher(
    {
        "ray": {
            "init": {"address": None, "num_cpus": None},
            "remote": {"num_cpus": 1, "memory": None, "max_retries": 0},
        }
    },
    _on_ray,
)
"""Keys of ray.init and ray.remote, as hydra-ray-launcher has them; others are added with a +.
RAY_ADDRESS names a cluster that runs already."""
