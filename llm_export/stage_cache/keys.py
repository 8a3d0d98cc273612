"""Cache keys: one key per stage of a recipe, from everything that its result depends on.

Each key is a digest of: the key of the previous stage, the parts of the recipe that the stage
reads, its input files, its source code (``source_digest.py``), and the versions of the packages
and the source of the plugins that it may call. This module does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Any

from llm_export.arm.parts import identity
from llm_export.compat.versions import version
from llm_export.config.recipe_files import is_place, plain
from llm_export.config.recipe_files import resolved as without_places
from llm_export.config.schema import GROUPS, OptionalCheck, Recipe, RuntimeConfig
from llm_export.consumers import CONSUMERS
from llm_export.home import expanded
from llm_export.pipeline.stage import Stage
from llm_export.plugins_registration import REGISTRIES
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stage_cache.file_digests import Digests, checkpoint_files, files_below
from llm_export.stage_cache.plugin_digest import of_plugins, used_by
from llm_export.stage_cache.source_digest import Sources
from llm_export.template_engines.compare import versions_here
from llm_export.versions import machine, package_versions
from runtime_py.conditions import usable_processors

FORMAT = 1


class Uncacheable(Exception):
    """An input of a stage has no digest; the message says which."""


@dataclass(frozen=True)
class KeyInputs:
    """Inputs of the keys besides the recipe.

    Attributes:
        checkpoint: path of the checkpoint; None if the weights are random.
        choices, overrides: as in the bundle's lock.
    """

    checkpoint: Path | None
    digests: Digests
    choices: Mapping[str, str | None] = field(default_factory=dict)
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Fact:
    """An input of a stage that is not a key of the recipe.

    Attributes:
        parts: recipe keys that it covers.
    """

    parts: tuple[str, ...]
    value: Callable[[ResolvedRecipe, KeyInputs], Any]


def _checkpoint_files(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    source = resolved.recipe.checkpoint
    weights = around.checkpoint
    files = checkpoint_files(weights) if weights else []
    if source.config_path:
        files.append(expanded(source.config_path))
    if source.adapter:
        files += files_below(expanded(source.adapter))
    # A file that is named itself may have any name; others are found by their names.
    return [["" if file == weights else file.name, around.digests.of(file)] for file in files]


def _calibration(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    calibration = resolved.recipe.quant.calibration
    if calibration.dataset is not None:
        raise Uncacheable("what quant.calibration.dataset holds may change")
    return _text(calibration.text, around)


def _training(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    recipe = resolved.recipe
    if not recipe.train.enabled:
        return None
    verified = {key: part(recipe, f"verify.{key}") for key in _VERIFIED}
    parts = [part(recipe, p) for p in ("train", "quant", "backend")]
    texts = [_text(text, around) for text in (recipe.train.text, recipe.verify.text)]
    return [*parts, verified, *texts, _calibration(resolved, around)]


def _text(path: str | None, around: KeyInputs) -> str | None:
    """Digest of a text file; None for the shipped text, which is part of the source digest."""
    return None if path is None else around.digests.of(expanded(path))


def _evaluate_files(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    settings = resolved.recipe.evaluate
    if not settings.enabled:
        return None
    outside = [name for name in settings.tasks if name not in REGISTRIES["evaluation_tasks"]]
    if outside:
        raise Uncacheable(f"what datasets of {', '.join(outside)} hold may change")
    tasks = of_plugins("evaluation_tasks", settings.tasks)
    return [_text(settings.text, around), tasks]


def _asked(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    overrides = [o for o in around.overrides if not is_place(o)]
    recipes = [without_places(recipe) for recipe in (resolved.recipe, resolved.stated)]
    return [*recipes, dict(around.choices), overrides]


def _edge_compared(resolved: ResolvedRecipe, around: KeyInputs) -> bool:
    return resolved.recipe.verify.enabled and bool(resolved.obstacle_to_running())


def _arm(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    skipped = resolved.recipe.verify.arm is OptionalCheck.skip or not resolved.capabilities.on_arm
    return None if skipped else identity()


def _contracts(resolved: ResolvedRecipe, around: KeyInputs) -> list[str]:
    """The contracts of all consumers, also of plugins: they are data, not source."""
    return [repr(CONSUMERS.get(name)) for name in CONSUMERS.sound()]


def _engines(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    """The engines in which the chat template is tried: those that run here."""
    return [versions_here(), of_plugins("template_engines")]


def this_machine() -> list[Any]:
    """What measured times of this process depend on."""
    known = machine()
    threads = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
    return [known.cpu, known.architecture, known.system, usable_processors(), threads]


def _cache_times(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    times = resolved.cache_times
    return None if times is None else {d.value: ms for d, ms in times.medians.items()}


_STEPS = tuple(
    f.name for f in fields(RuntimeConfig) if f.name not in ("name", "description", "sampling")
)
"""Keys of the runtime group that affect the program. Sampling applies only when it is run."""
_VERIFIED = ("enabled", "positions", "window", "prefill", "text")

FACTS: dict[str, Fact] = {
    "@checkpoint_files": Fact(
        ("checkpoint.path", "checkpoint.config_path", "checkpoint.adapter"), _checkpoint_files
    ),
    "@calibration": Fact(("quant.calibration",), _calibration),
    "@training": Fact(
        ("train", "quant", "backend", *(f"verify.{key}" for key in _VERIFIED)), _training
    ),
    "@verify_text": Fact(("verify.text",), lambda r, around: _text(r.recipe.verify.text, around)),
    "@edge_compared": Fact(("verify.enabled",), _edge_compared),
    "@runtime": Fact(
        tuple(f"runtime.{key}" for key in _STEPS),
        lambda r, around: [part(r.recipe, f"runtime.{key}") for key in _STEPS],
    ),
    "@runs_here": Fact(
        ("backend.name", "backend.fallbacks"), lambda r, around: r.obstacle_to_running()
    ),
    "@machine": Fact((), lambda r, around: this_machine()),
    "@cache_times": Fact((), _cache_times),
    "@arm": Fact((), _arm),
    "@evaluate_files": Fact(("evaluate.text", "evaluate.task_paths"), _evaluate_files),
    "@metrics": Fact((), lambda r, around: of_plugins("metrics")),
    "@consumers": Fact((), _contracts),
    "@engines": Fact((), _engines),
    "@whole_recipe": Fact(
        # ``out`` is covered but not part of the key.
        (*GROUPS, "checkpoint", "name", "description", "out",
         *(f"{group}.name" for group in GROUPS), *(f"{group}.description" for group in GROUPS)),
        _asked,
    ),
}  # fmt: skip


def part(recipe: Recipe, path: str) -> Any:
    """The value of a recipe key as plain data. A whole group comes without its name and
    description, which affect no result; a stage that reads these declares them explicitly."""
    value: Any = _without_spelling(recipe)
    for name in path.split("."):
        value = getattr(value, name)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
        if path in GROUPS:
            value = {k: v for k, v in value.items() if k not in ("name", "description")}
    return plain(value)


def _without_spelling(recipe: Recipe) -> Recipe:
    """The recipe with the contents of files in place of their paths, which can be spelled in
    several ways: only whether a file is named is kept."""
    source, calibration = recipe.checkpoint, recipe.quant.calibration
    calibration = replace(calibration, text=_named(calibration.text))
    return replace(
        recipe,
        checkpoint=replace(
            source,
            path=_named(source.path),
            config_path=_named(source.config_path),
            adapter=_named(source.adapter),
        ),
        quant=replace(recipe.quant, calibration=calibration),
        verify=replace(recipe.verify, text=_named(recipe.verify.text)),
        train=replace(recipe.train, text=_named(recipe.train.text)),
        evaluate=replace(
            recipe.evaluate,
            text=_named(recipe.evaluate.text),
            task_paths=["folder" for _ in recipe.evaluate.task_paths],
        ),
    )


def _named(path: str | None) -> str | None:
    return path and "file"


def covers(declared: Iterable[str], path: str) -> bool:
    """Whether a stage's ``reads`` or ``checks`` include a key of the recipe."""
    group, _, rest = path.partition(".")
    named = rest in ("name", "description") and group in GROUPS
    for each in declared:
        parts = FACTS[each].parts if each.startswith("@") else (each,)
        if path in parts or (not named and any(path.startswith(f"{p}.") for p in parts)):
            return True
    return False


def stage_keys(
    stages: Iterable[Stage], resolved: ResolvedRecipe, around: KeyInputs, sources: Sources
) -> tuple[dict[str, str], str]:
    """Stage name -> key, up to the first stage with an input that has no digest; and what that
    input is, empty if all stages have a key."""
    keys: dict[str, str] = {}
    before = ""
    packages, recipe = versions(), resolved.recipe
    try:
        plugins = used_by(recipe, reads_checkpoint=around.checkpoint is not None)
        for stage in stages:
            said = {
                "format": FORMAT,
                "stage": stage.name,
                "before": before,
                "recipe": {
                    p: FACTS[p].value(resolved, around) if p.startswith("@") else part(recipe, p)
                    for p in stage.reads
                },
                "source": sources.digest(stage.target.partition(":")[0]),
                "keeping": sources.digest(stage.codec.partition(":")[0]) if stage.codec else "",
                "packages": packages,
                "plugins": plugins,
            }
            text = json.dumps(said, sort_keys=True, default=str)
            keys[stage.name] = before = hashlib.sha256(text.encode()).hexdigest()
    except Uncacheable as reason:
        return keys, str(reason)
    except OSError as error:
        # The stage that reads the file raises a better error.
        return keys, f"{error.filename} cannot be read"
    return keys, ""


def versions() -> dict[str, str]:
    """Versions of all packages that are used in an export, optional ones included."""
    found = package_versions()
    for line in requires("llm_export") or []:
        match = re.match(r"[A-Za-z0-9._-]+", line)
        if match is None or re.search(r"extra *== *['\"](test|dev)['\"]", line):
            continue
        try:
            found.setdefault(match[0], version(match[0]))
        except PackageNotFoundError:
            continue
    return found
