"""Rules across config groups, checked before weights are read. All problems are reported at
once."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.util import find_spec

from llm_export.checks import float_transforms as float_checks
from llm_export.checks.adapters import adapter_fits_mode
from llm_export.checks.arm import arm_can_be_emulated
from llm_export.checks.backend import (
    chain_problems,
    option_problems,
    own_problems,
    unknown_backends,
)
from llm_export.checks.definitions import or_definition
from llm_export.checks.evaluation import evaluation_findings
from llm_export.checks.experts import experts_fit
from llm_export.checks.fixes import alternatives, name_fix, option_fix, other_backends
from llm_export.checks.further_methods import (
    image_fits,
    method_problems,
    placed_scheme_problems,
    unfit_beside_text,
    unknown_method_backends,
)
from llm_export.checks.known_issues import version_findings
from llm_export.checks.kv_cache import cache_dtype_fits
from llm_export.checks.lengths import length_problems, shape_problems
from llm_export.checks.mixed_precision import auto_findings
from llm_export.checks.module_fit import module_problems
from llm_export.checks.plugin_metrics import metric_findings
from llm_export.checks.plugin_transforms import transform_findings
from llm_export.checks.problem import raise_problems
from llm_export.checks.programs import limits_are_measured, program_fits
from llm_export.checks.quant_rules import rule_findings, scheme_problems
from llm_export.checks.snapshots import snapshots_fit
from llm_export.checks.targets import targets_are_known, targets_can_load
from llm_export.checks.training import fake_quantizer_problems, training_problems
from llm_export.config.quant_schema import AUTO, CacheDtype, QuantRule
from llm_export.config.schema import AdapterMode, AttentionKind, KVCacheKind, Recipe
from llm_export.errors import (
    LlmExportError,
    MissingDependencyError,
    Problem,
)
from llm_export.home import expanded
from llm_export.models.task import MODEL_TASKS, definition_of, task_name, task_options
from llm_export.quant.rounding import ROUNDERS
from llm_export.quant.schemes import SCHEMES, Flow
from llm_export.resolve.recipe import ResolvedRecipe, resolve

_SHORTEST_CONTEXT = 2  # tokens, as of runtime.context_length

Check = Callable[[ResolvedRecipe], list[Problem]]


def model_is_understood(recipe: Recipe) -> list[Problem]:
    task, name = task_name(recipe.model), recipe.model.definition
    if task not in MODEL_TASKS:
        fix = name_fix("model.task", task, MODEL_TASKS)
        return [Problem(f"there is no task '{task}'", "model.task", fix)]
    known = MODEL_TASKS.get(task).definitions
    if name not in known:
        fix = name_fix("model.definition", name, known)
        return [Problem(f"there is no model definition '{name}'", "model.definition", fix)]
    try:
        definition = definition_of(recipe.model)
        definition.check(recipe)
        task_options(recipe)
        limit = definition.context_limit(recipe)
    except LlmExportError as error:
        return [Problem(error.what, error.where or "model", error.fix or "fix the key",
                        environment=isinstance(error, MissingDependencyError))]  # fmt: skip
    if limit is not None and limit.tokens < _SHORTEST_CONTEXT:
        return [Problem(f"no text fits: {limit.why}", "model.config",
                        "check the values of config.json")]  # fmt: skip
    return []


def checkpoint_is_named(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    source = recipe.checkpoint
    if source.path is not None and not expanded(source.path).exists():
        return [Problem(f"there is no such checkpoint: {source.path}", "checkpoint.path",
                        "checkpoint.path=FILE_OR_FOLDER")]  # fmt: skip
    if source.adapter is not None and not expanded(source.adapter).is_dir():
        return [Problem(f"there is no such adapter folder: {source.adapter}", "checkpoint.adapter",
                        "checkpoint.adapter=FOLDER, or checkpoint.adapter=null "
                        "checkpoint.adapter_mode=merged")]  # fmt: skip
    named = (source.path, source.hf_id, source.package, source.random_seed)
    if all(value is None for value in named):
        return [Problem("the recipe names no checkpoint", "checkpoint",
                        "checkpoint.path=FILE_OR_FOLDER or checkpoint.hf_id=ORG/NAME")]  # fmt: skip
    return []


def schemes_run_on_backend(resolved: ResolvedRecipe) -> list[Problem]:
    if resolved.method_backends:
        return list(placed_scheme_problems(resolved))
    return list(scheme_problems(resolved.recipe))


def group_size_is_used(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    size, auto = recipe.quant.group_size, recipe.quant.auto
    rules = [*recipe.quant.rules, *(auto.candidates if auto else [])]
    if size is None or any(rule.group_size == size for rule in rules):
        return []
    fix = "quant.group_size=null, or say it in the rules: group_size: ${quant.group_size}"
    return [Problem(f"no rule uses group_size {size}", "quant.group_size", fix)]


def auto_is_sound(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return auto_findings(recipe)


def rules_are_sound(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return rule_findings(recipe)


def rules_fit_modules(resolved: ResolvedRecipe) -> list[Problem]:
    return module_problems(resolved)


def texts_exist(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    named = {
        "verify.text": recipe.verify.text,
        "train.text": recipe.train.text,
        "quant.calibration.text": recipe.quant.calibration.text,
        "evaluate.text": recipe.evaluate.text if recipe.evaluate.enabled else None,
    }
    return [
        Problem(f"there is no such text file: {path}", key, f"{key}=null, or {key}=FILE")
        for key, path in named.items()
        if path is not None and not expanded(path).is_file()
    ]


def rounding_is_known(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    name = recipe.quant.rounding.method
    if name in ROUNDERS:
        return []
    what, key = f"there is no rounding method '{name}'", "quant.rounding.method"
    return [Problem(what, key, name_fix(key, name, [AUTO, *ROUNDERS]))]


def dataset_can_be_read(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    name, key = recipe.quant.calibration.dataset, "quant.calibration.dataset"
    if name is None:
        return []
    if find_spec("datasets") is None:
        return [Problem("it needs the package 'datasets', which is not installed", key,
                        'pip install "llm_export[datasets]"', environment=True)]  # fmt: skip
    if not expanded(name).is_dir() and not re.fullmatch(_DATASET_ID, name):
        return [Problem(f"no such folder, and no name of a dataset on the hub: {name}", key,
                        f"{key}=null, or {key}=ORG/NAME, or {key}=FOLDER")]  # fmt: skip
    return []


_DATASET_ID = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"


def shapes_fit_backend(resolved: ResolvedRecipe) -> list[Problem]:
    if resolved.methods.dynamic and not resolved.backend.capabilities.dynamic_shapes:
        return [
            Problem(f"{resolved.backend.name} takes fixed shapes only", "runtime.dynamic_shapes",
                    "runtime.dynamic_shapes=null")
        ]  # fmt: skip
    return []


_LACKS = {
    KVCacheKind.ring: "the model has no sliding window shorter than the context; kv_cache=ring "
    "would change nothing",
    KVCacheKind.attention_sink: "the model norms its keys after RoPE, and an attention_sink cache "
    "holds them as they are before it",
}
"""Why a model of a definition with such caches has none."""


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
        return [Problem(_LACKS[runtime.kv_cache], key, static)]
    if "plain" not in resolved.offered_attention:
        return [Problem(f"{backend.name} has a static cache only", key, static)]
    if runtime.attention not in (AttentionKind.auto, AttentionKind.plain):
        what = f"'{runtime.attention.value}' attention has a static cache only"
        return [Problem(what, key, f"runtime.attention=auto, or {static}")]
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
    if not common:
        fix = other_backends(recipe.quant.rules, backend.name, kinds=able)
        return [Problem(f"{lacking} has no '{kind}' attention", "runtime.attention", fix)]
    return [
        Problem(f"{lacking} has no '{kind}' attention", "runtime.attention",
                alternatives(*(f"runtime.attention={name}" for name in ("auto", *common))))
    ]  # fmt: skip


def transforms_fit_model(resolved: ResolvedRecipe) -> list[Problem]:
    return float_checks.findings(resolved)


def transforms_are_known(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return [*transform_findings(recipe)]


def metrics_can_be_used(resolved: ResolvedRecipe) -> list[Problem]:
    return [*metric_findings(resolved.recipe)]


def evaluation_can_be_done(resolved: ResolvedRecipe) -> list[Problem]:
    return [*evaluation_findings(resolved.recipe)]


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
            fix = alternatives(
                option_fix(recipe, lambda rules: not any(map(_casts, rules))), "quant=none"
            )
            fix += or_definition(recipe, lambda d: "cast" in d.transforms)
            what = f"models of definition '{definition.name}' cannot be cast to {rule.scheme}"
            problems.append(Problem(what, key, fix))
        if (
            flow in (Flow.cast, Flow.pt2e)
            and recipe.checkpoint.adapter_mode is AdapterMode.separate
        ):
            fix = alternatives(
                "checkpoint.adapter_mode=merged",
                option_fix(recipe, lambda rules: all(map(_of_weights, rules))),
            )
            problems.append(Problem(f"a separate adapter cannot be with {rule.scheme}", key, fix))
    return problems


def _casts(rule: QuantRule) -> bool:
    return SCHEMES[rule.scheme].flow is Flow.cast


def _of_weights(rule: QuantRule) -> bool:
    """Whether an adapter can be beside the matrix."""
    return SCHEMES[rule.scheme].flow in (Flow.none, Flow.weights) and not rule.zero_point


def lengths_fit(resolved: ResolvedRecipe) -> list[Problem]:
    return [*length_problems(resolved), *shape_problems(resolved)]


def training_fits(resolved: ResolvedRecipe) -> list[Problem]:
    recipe = resolved.recipe
    return [*training_problems(recipe), *fake_quantizer_problems(recipe)]


def backend_is_understood(resolved: ResolvedRecipe) -> list[Problem]:
    return [
        *option_problems(resolved),
        *chain_problems(resolved),
        *own_problems(resolved),
        *method_problems(resolved),
        *unfit_beside_text(resolved),
        *image_fits(resolved),
    ]


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
    rules_fit_modules,
    auto_is_sound,
    texts_exist,
    rounding_is_known,
    dataset_can_be_read,
    shapes_fit_backend,
    attention_fits,
    experts_fit,
    snapshots_fit,
    cache_fits,
    cache_dtype_fits,
    transforms_fit_model,
    transforms_are_known,
    metrics_can_be_used,
    evaluation_can_be_done,
    flows_fit_model,
    adapter_fits_mode,
    lengths_fit,
    training_fits,
    arm_can_be_emulated,
    targets_can_load,
    limits_are_measured,
    backend_is_understood,
    backend_available,
    versions_are_sound,
)


PROGRAM_CHECKS: tuple[Check, ...] = (
    checkpoint_is_named,
    program_fits,
    limits_are_measured,
    targets_are_known,
    adapter_fits_mode,
    schemes_run_on_backend,
    group_size_is_used,
    rules_are_sound,
    rules_fit_modules,
    rounding_is_known,
    shapes_fit_backend,
    flows_fit_model,
    transforms_are_known,
    backend_is_understood,
    backend_available,
    versions_are_sound,
)
"""Of a task whose model is no decoder."""


def find_problems(recipe: Recipe, *, build: bool = True) -> list[Problem]:
    """Run every check and return all problems. Checks that others depend on run first; if one of
    them fails, the others are skipped. Without ``build``, so are those that build the model."""
    first = unknown_backends(recipe) + unknown_method_backends(recipe) + model_is_understood(recipe)
    if first:
        return first
    resolved = resolve(recipe)
    skipped = () if build or resolved.definition.outline is None else (rules_fit_modules,)
    checks = CHECKS if resolved.task.decodes else PROGRAM_CHECKS
    return [problem for check in checks if check not in skipped for problem in check(resolved)]


def require_sound(recipe: Recipe) -> ResolvedRecipe:
    """Raise all problems as one error, or return the resolved recipe if there are none.

    Raises:
        RecipeError: the recipe is wrong.
        MissingDependencyError: the recipe is valid, but the machine lacks something.
    """
    raise_problems(find_problems(recipe))
    return resolve(recipe)
