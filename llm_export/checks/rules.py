"""Rules across config groups, checked before weights are read. All problems are reported at
once."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from llm_export.checks import float_transforms as float_checks
from llm_export.checks.backend import (
    chain_problems,
    option_problems,
    own_problems,
    unknown_backends,
)
from llm_export.checks.known_issues import version_findings
from llm_export.checks.kv_cache import cache_dtype_fits
from llm_export.checks.mixed_precision import auto_findings
from llm_export.checks.plugin_transforms import transform_findings
from llm_export.checks.problem import raise_problems
from llm_export.checks.quant_rules import rule_findings
from llm_export.checks.training import fake_quantizer_problems, training_problems
from llm_export.config.quant_schema import CacheDtype, ModuleKind
from llm_export.config.schema import AdapterMode, AttentionKind, KVCacheKind, Recipe
from llm_export.errors import (
    LlmExportError,
    MissingDependencyError,
    Problem,
    did_you_mean,
)
from llm_export.models.definitions import DEFINITIONS
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.schemes import SCHEMES, Flow, nearest_pairs, refusal, refused_everywhere
from llm_export.resolve.recipe import ResolvedRecipe, resolve

Check = Callable[[ResolvedRecipe], list[Problem]]


def model_is_understood(recipe: Recipe) -> list[Problem]:
    name = recipe.model.definition
    if name not in DEFINITIONS:
        fix = did_you_mean(name, DEFINITIONS)
        return [Problem(f"there is no model definition '{name}'", "model.definition", fix)]
    try:
        DEFINITIONS.get(name).check(recipe)
    except LlmExportError as error:
        return [Problem(error.what, error.where or "model", error.fix or "fix the key",
                        environment=isinstance(error, MissingDependencyError))]  # fmt: skip
    return []


def checkpoint_is_named(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    source = recipe.checkpoint
    if source.path is not None and not Path(source.path).expanduser().exists():
        return [Problem(f"there is no such checkpoint: {source.path}", "checkpoint.path",
                        "checkpoint.path=FILE_OR_FOLDER")]  # fmt: skip
    if source.adapter is not None and not Path(source.adapter).expanduser().is_dir():
        return [Problem(f"there is no such adapter folder: {source.adapter}", "checkpoint.adapter",
                        "checkpoint.adapter=FOLDER")]  # fmt: skip
    named = (source.path, source.hf_id, source.package, source.random_seed)
    if all(value is None for value in named):
        return [Problem("the recipe names no checkpoint", "checkpoint",
                        "checkpoint.path=FILE_OR_FOLDER or checkpoint.hf_id=ORG/NAME")]  # fmt: skip
    return []


def schemes_run_on_backend(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    problems = []
    for index, rule in enumerate(recipe.quant.rules):
        for kind in [rule.kind] if rule.kind else list(ModuleKind):
            why = refusal(recipe.backend.name, kind, rule)
            if why:
                fix = nearest_pairs(recipe.backend.name, kind, rule)
                if rule.kind is None and not refused_everywhere(recipe.backend.name, rule):
                    fix = "the rule is for every kind of module: say its kind, e.g. kind: linear"
                problems.append(Problem(why, f"quant.rules[{index}]", fix))
    return problems


def group_size_is_used(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    size, auto = recipe.quant.group_size, recipe.quant.auto
    rules = [*recipe.quant.rules, *(auto.candidates if auto else [])]
    if size is None or any(rule.group_size == size for rule in rules):
        return []
    return [Problem(f"no rule uses group_size {size}", "quant.group_size",
                    "say it in the rules: group_size: ${quant.group_size}")]  # fmt: skip


def auto_is_sound(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return auto_findings(recipe)


def rules_are_sound(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return rule_findings(recipe)


def texts_exist(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    named = {
        "verify.text": recipe.verify.text,
        "train.text": recipe.train.text,
        "quant.calibration.text": recipe.quant.calibration.text,
    }
    return [
        Problem(f"there is no such text file: {path}", key, f"{key}=FILE or {key}=null")
        for key, path in named.items()
        if path is not None and not Path(path).is_file()
    ]


def rounding_is_known(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    name = recipe.quant.rounding.method
    if name in ROUNDERS:
        return []
    what, fix = f"there is no rounding method '{name}'", did_you_mean(name, ROUNDERS)
    return [Problem(what, "quant.rounding.method", fix)]


def dataset_can_be_read(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    name, key = recipe.quant.calibration.dataset, "quant.calibration.dataset"
    if name is None:
        return []
    if find_spec("datasets") is None:
        return [Problem("it needs the package 'datasets', which is not installed", key,
                        'pip install "llm_export[datasets]"', environment=True)]  # fmt: skip
    if not Path(name).expanduser().is_dir() and not re.fullmatch(_DATASET_ID, name):
        return [Problem(f"no such folder, and no name of a dataset on the hub: {name}", key,
                        f"{key}=ORG/NAME or {key}=FOLDER")]  # fmt: skip
    return []


_DATASET_ID = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"


def shapes_fit_backend(resolved: ResolvedRecipe) -> list[Problem]:
    if resolved.methods.dynamic and not resolved.backend.capabilities.dynamic_shapes:
        return [
            Problem(f"{resolved.backend.name} takes fixed shapes only", "runtime.dynamic_shapes",
                    "runtime.dynamic_shapes=null")
        ]  # fmt: skip
    return []


def cache_fits(resolved: ResolvedRecipe) -> list[Problem]:
    """ring and attention_sink caches need plain attention."""
    recipe = resolved.recipe
    runtime, key = recipe.runtime, "runtime.kv_cache"
    static = f"{key}=static"
    if runtime.kv_cache is KVCacheKind.static:
        return []
    backend, kind = resolved.backend, runtime.kv_cache.value
    definition = resolved.definition
    if kind not in definition.caches:
        what = f"models of definition '{definition.name}' have no {kind} cache"
        return [Problem(what, key, static)]
    if kind not in resolved.model_attention:
        what = (
            "the model has no sliding window shorter than the context; "
            f"kv_cache={kind} would change nothing"
        )
        return [Problem(what, key, static)]
    if "plain" not in resolved.offered_attention:
        return [Problem(f"{backend.name} has a static cache only", key, static)]
    if runtime.attention not in (AttentionKind.auto, AttentionKind.plain):
        what = f"'{runtime.attention.value}' attention has a static cache only"
        return [Problem(what, key, f"runtime.attention=auto or {static}")]
    return []


def attention_fits(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    if recipe.runtime.kv_cache is not KVCacheKind.static:
        return []
    if recipe.quant.kv_cache is not CacheDtype.float:
        return []  # see cache_dtype_fits
    backend = resolved.backend
    able = resolved.model_attention
    kind, common = resolved.attention, [
        k for k in resolved.offered_attention
        if k in able and k in AttentionKind.__members__
    ]  # fmt: skip
    if kind in common:
        return []
    lacking = backend.name if kind in able else f"the model {recipe.model.name}"
    return [
        Problem(f"{lacking} has no '{kind}' attention", "runtime.attention",
                f"one of auto, {', '.join(common)}")
    ]  # fmt: skip


def transforms_fit_model(resolved: ResolvedRecipe) -> list[Problem]:
    return float_checks.findings(resolved)


def transforms_are_known(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return [*transform_findings(recipe)]


def flows_fit_model(resolved: ResolvedRecipe) -> list[Problem]:
    """Half precision and static quantization affect activations too, so not every model supports
    them."""
    recipe = resolved.recipe
    definition = resolved.definition
    problems = []
    for index, rule in enumerate(recipe.quant.rules):
        flow = SCHEMES[rule.scheme].flow if rule.scheme in SCHEMES else Flow.none
        key = f"quant.rules[{index}]"
        if flow is Flow.cast and "cast" not in definition.transforms:
            problems.append(
                Problem(f"models of definition '{definition.name}' cannot be cast to "
                        f"{rule.scheme}", key, "quant=none, or model.definition=composable")
            )  # fmt: skip
        if (
            flow in (Flow.cast, Flow.pt2e)
            and recipe.checkpoint.adapter_mode is AdapterMode.separate
        ):
            problems.append(
                Problem(f"a separate adapter cannot be with {rule.scheme}", key,
                        "checkpoint.adapter_mode=merged, or a scheme of weights such as 8da8w")
            )  # fmt: skip
    return problems


def adapter_fits_mode(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    source, key = recipe.checkpoint, "checkpoint.adapter_mode"
    if source.adapter_mode is not AdapterMode.separate:
        return []
    if source.adapter is None:
        return [Problem("there is no adapter to keep separate", key, "checkpoint.adapter=FOLDER")]
    definition = resolved.definition
    problems = []
    if "lora" not in definition.transforms:
        problems.append(
            Problem(f"models of definition '{definition.name}' keep no adapter separate", key,
                    f"{key}=merged, or model.definition=composable")
        )  # fmt: skip
    if any(rule.outliers or rule.zero_point for rule in recipe.quant.rules):
        problems.append(
            Problem("a matrix with an adapter beside it can have no outlier channels and no zero "
                    "points", "quant.rules",
                    f"quant.outliers=0, zero_point: false, or {key}=merged")
        )  # fmt: skip
    return problems + float_checks.unfit_beside_adapter(resolved)


def context_fits_model(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    limit = recipe.model.config.get("max_position_embeddings")
    if limit is None or recipe.runtime.context_length <= limit:
        return []
    return [
        Problem(
            f"{recipe.runtime.context_length} exceeds the {limit} positions of the model",
            "runtime.context_length",
            f"runtime.context_length={limit} or less",
        )
    ]


def windows_fit_context(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    limit, problems = recipe.runtime.context_length, []
    if recipe.verify.enabled and recipe.verify.window > limit:
        problems.append(
            Problem(f"a window of {recipe.verify.window} tokens exceeds the context of {limit}",
                    "verify.window", f"verify.window={limit} or a longer runtime.context_length")
        )  # fmt: skip
    bench = recipe.benchmark
    if bench.enabled and bench.prompt_length + bench.decode_length > limit:
        problems.append(
            Problem(
                f"{bench.prompt_length} prompt and {bench.decode_length} decoded tokens do not fit "
                f"the context of {limit}",
                "benchmark.prompt_length",
                "shorter lengths or a longer runtime.context_length",
            )
        )
    return problems


def training_fits(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return [*training_problems(recipe), *fake_quantizer_problems(recipe)]


def backend_is_understood(resolved: ResolvedRecipe) -> list[Problem]:
    return [*option_problems(resolved), *chain_problems(resolved), *own_problems(resolved)]


def backend_available(resolved: ResolvedRecipe) -> list[Problem]:
    states = {backend.name: backend.availability() for backend in resolved.backends}
    return [
        Problem(state.reason, f"backend={name}", state.fix, environment=True)
        for name, state in states.items()
        if not state.ok
    ]


def versions_are_sound(resolved: ResolvedRecipe) -> list[Problem]:
    return version_findings(resolved)


CHECKS: tuple[Check, ...] = (
    checkpoint_is_named,
    schemes_run_on_backend,
    group_size_is_used,
    rules_are_sound,
    auto_is_sound,
    texts_exist,
    rounding_is_known,
    dataset_can_be_read,
    shapes_fit_backend,
    attention_fits,
    cache_fits,
    cache_dtype_fits,
    transforms_fit_model,
    transforms_are_known,
    flows_fit_model,
    adapter_fits_mode,
    context_fits_model,
    windows_fit_context,
    training_fits,
    backend_is_understood,
    backend_available,
    versions_are_sound,
)


def find_problems(recipe: Recipe) -> list[Problem]:
    """Run every check and return all problems. Checks that others depend on run first; if one of
    them fails, the others are skipped."""
    first = unknown_backends(recipe) + model_is_understood(recipe)
    if first:
        return first
    resolved = resolve(recipe)
    return [problem for check in CHECKS for problem in check(resolved)]


def require_sound(recipe: Recipe) -> ResolvedRecipe:
    """Raise all problems as one error, or return the resolved recipe if there are none.

    Raises:
        RecipeError: the recipe is wrong.
        MissingDependencyError: the recipe is valid, but the machine lacks something.
    """
    raise_problems(find_problems(recipe))
    return resolve(recipe)
