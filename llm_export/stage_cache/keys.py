"""What the outcome of a stage depends on, as one key for each stage of a recipe.

Each key is a digest of: the key of the stage before, the parts of the recipe that the stage
reads, files that it reads, the source that it runs (``sources.py``), and the versions of the
packages and the source of the plugins that it may call. Nothing here imports torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

from llm_export.config.recipe_files import is_place, plain
from llm_export.config.recipe_files import resolved as without_places
from llm_export.config.schema import GROUPS, Recipe, RuntimeConfig
from llm_export.pipeline.stage import Stage
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stage_cache.file_digests import Digests, checkpoint_files, files_below
from llm_export.stage_cache.plugin_digest import used_by
from llm_export.stage_cache.source_digest import Sources
from llm_export.versions import machine, package_versions

FORMAT = 1


class Uncacheable(Exception):
    """Something that a stage depends on cannot be told apart by a digest; the text says what."""


@dataclass(frozen=True)
class KeyInputs:
    """What keys depend on beside the recipe.

    Attributes:
        checkpoint: where it lies; None if its weights are random.
        choices, overrides: as the lock of the bundle has them.
    """

    checkpoint: Path | None
    digests: Digests
    choices: Mapping[str, str | None] = field(default_factory=dict)
    overrides: Sequence[str] = ()


@dataclass(frozen=True)
class Fact:
    """Something that a stage depends on which is no key of the recipe.

    Attributes:
        parts: of the recipe that it stands for.
    """

    parts: tuple[str, ...]
    value: Callable[[ResolvedRecipe, KeyInputs], Any]


def _checkpoint_files(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    source = resolved.recipe.checkpoint
    files = checkpoint_files(around.checkpoint) if around.checkpoint else []
    if source.config_path:
        files.append(Path(source.config_path).expanduser())
    if source.adapter:
        files += files_below(Path(source.adapter).expanduser())
    return [[file.name, around.digests.of(file)] for file in files]


def _calibration(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    calibration = resolved.recipe.quant.calibration
    if calibration.dataset is not None:
        raise Uncacheable("what quant.calibration.dataset holds may change")
    return _text(calibration.text, around)


def _training(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    recipe = resolved.recipe
    if not recipe.train.enabled:
        return None
    verified = {key: getattr(recipe.verify, key) for key in _VERIFIED}
    parts = [part(recipe, p) for p in ("train", "quant", "backend")]
    return [*parts, verified, _text(recipe.train.text, around), _calibration(resolved, around)]


def _text(path: str | None, around: KeyInputs) -> str | None:
    """The text that ships is a part of the source."""
    return None if path is None else around.digests.of(Path(path))


def _asked(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    overrides = [o for o in around.overrides if not is_place(o)]
    return [without_places(resolved.recipe), dict(around.choices), overrides]


def _edge_compared(resolved: ResolvedRecipe, around: KeyInputs) -> bool:
    return resolved.recipe.verify.enabled and bool(resolved.obstacle_to_running())


def _machine(resolved: ResolvedRecipe, around: KeyInputs) -> Any:
    known = machine()
    threads = {k: v for k, v in os.environ.items() if k.endswith("_NUM_THREADS")}
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [known.cpu, known.architecture, known.system, usable, threads]


_STEPS = tuple(
    f.name for f in fields(RuntimeConfig) if f.name not in ("name", "description", "sampling")
)
"""What of the runtime group shapes the program. Sampling is a matter of those who run it."""
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
    "@machine": Fact((), _machine),
    "@whole_recipe": Fact(
        # ``out`` is read with the others, and left out.
        (*GROUPS, "checkpoint", "name", "description", "out",
         *(f"{group}.name" for group in GROUPS), *(f"{group}.description" for group in GROUPS)),
        _asked,
    ),
}  # fmt: skip


def part(recipe: Recipe, path: str) -> Any:
    """Plain data. Of a whole group without its name and description, which say nothing that the
    group's other keys do not; a stage that reads these names them."""
    value: Any = recipe
    for name in path.split("."):
        value = getattr(value, name)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
        if path in GROUPS:
            value = {k: v for k, v in value.items() if k not in ("name", "description")}
    return plain(value)


def covers(declared: Iterable[str], path: str) -> bool:
    """Whether a key of the recipe is among those of a stage's ``reads`` or ``checks``."""
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
    """Name of a stage -> its key, up to the first that depends on something without a digest,
    and what that is; empty for all stages."""
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
        # Whoever reads the file will say so better.
        return keys, f"{error.filename} cannot be read"
    return keys, ""


def versions() -> dict[str, str]:
    """Of every package that takes part in an export, optional ones included."""
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
