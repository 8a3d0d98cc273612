"""Launchers of sweeps, selected and configured by Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from llm_export.compat.hydra_config import (
    Callbacks,
    ConfigLoaderImpl,
    ConfigSearchPathImpl,
    Hydra,
)
from llm_export.config import messages
from llm_export.config.compose import Composer
from llm_export.config.composed import Launcher, OwnLauncher, Task
from llm_export.config.recipe_source import refuse_code_in, refuse_foreign_targets

_QUIET = (
    "hydra/hydra_logging=none", "hydra/job_logging=none", "hydra.output_subdir=null",
    "hydra.sweep.subdir=.", "hydra.job.chdir=false",
)  # fmt: skip


@dataclass(frozen=True)
class _Numbered:
    """The function that a launcher's workers call; it is pickled."""

    task: Task

    def __call__(self, cfg: DictConfig) -> None:
        self.task(cfg.job)


def launcher(
    composer: Composer,
    overrides: Sequence[str],
    folder: Path,
    task: Task,
    own: Mapping[str, OwnLauncher],
) -> Launcher:
    """The launcher that ``overrides`` choose, as a function that runs jobs by number.

    Jobs compose an empty config, so a launcher passes only ``task`` to its workers.

    Args:
        composer: knows the folder of options, and translates errors.
        folder: working folder of Hydra's launchers.
        own: launchers that are not Hydra's, by name.

    Raises:
        RecipeError: there is no such launcher, or it has no such setting.
    """
    refuse_code_in(overrides)
    for name, launcher in own.items():
        ConfigStore.instance().store(
            group="hydra/launcher", name=name, node=launcher.settings, provider="llm_export"
        )
    path = ConfigSearchPathImpl()
    path.append("hydra", "pkg://hydra.conf")
    if composer.config_dir is not None:
        path.append("--config-dir", f"file://{Path(composer.config_dir).resolve()}")
    path.append("schema", "structured://")
    place = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    hydra = Hydra(task_name="llm_export", config_loader=ConfigLoaderImpl(path))
    with messages.translated(composer, overrides):
        cfg = hydra.compose_config(
            config_name=None,
            overrides=[*_QUIET, f"hydra.sweep.dir='{place}'", *overrides],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
    refuse_foreign_targets(OmegaConf.to_container(cfg.hydra, resolve=False))
    chosen = own.get(cfg.hydra.runtime.choices["hydra/launcher"])
    if chosen is not None:
        settings = OmegaConf.to_container(cfg.hydra.launcher, resolve=True)
        return chosen.make(settings, task)  # type: ignore[arg-type]
    context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(cfg))
    made = Plugins.instance().instantiate_launcher(
        hydra_context=context, task_function=_Numbered(task), config=cfg
    )

    def launch(numbers: Sequence[int]) -> None:
        for job in made.launch([[f"+job={n}"] for n in numbers], initial_job_idx=0):
            _ = job.return_value  # raises what the job raised

    return launch
