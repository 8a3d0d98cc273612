"""Rules of ``backend.methods``; see ``rules.py``."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.backends import BACKENDS
from llm_export.checks.fixes import option_fix
from llm_export.config.quant_schema import QuantRule
from llm_export.config.schema import Recipe, filled
from llm_export.errors import LlmExportError, Problem, did_you_mean
from llm_export.models.definitions.base import FurtherMethod
from llm_export.predict.model_shapes import shapes_of
from llm_export.quant.layer_spec import matches
from llm_export.quant.schemes import SCHEMES, Flow, refusal
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.stages.verification.picture_text import slots


def unknown_method_backends(recipe: Recipe) -> list[Problem]:
    """Problems with unknown names of backends."""
    return [
        Problem(
            f"there is no backend '{name}'", f"backend.methods.{method}",
            f"backend.methods.{method}={did_you_mean(name, BACKENDS)}",
        )
        for method, chain in recipe.backend.methods.items()
        for name in chain.split("+")
        if name not in BACKENDS
    ]  # fmt: skip


def method_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Methods that the program has not, and backends that cannot be beside the recipe's own."""
    known, dialect = resolved.definition.further_methods, resolved.backend.edge_dialect
    for method in resolved.recipe.backend.methods:
        key = f"backend.methods.{method}"
        if method not in known:
            names = ", ".join(known) or "none"
            what = f"the program has no method '{method}' that may have another backend"
            yield Problem(what, key, f"remove it; such methods: {names}")
            continue
        chain = resolved.of_further(method).backends
        yield from _chain_problems(resolved, method, known[method])
        for backend in chain:
            if backend.edge_dialect != dialect:
                what = f"{backend.name} and {resolved.backend.name} lower from different dialects"
                yield Problem(what, key, f"{key}={resolved.backend.name}, or remove it")
            state = backend.availability()
            if not state.ok:
                yield Problem(state.reason, key, state.fix, environment=True)


def _chain_problems(
    resolved: ResolvedRecipe, method: str, facts: FurtherMethod
) -> Iterator[Problem]:
    key, chain = f"backend.methods.{method}", resolved.of_further(method).backends
    fixed = [b.name for b in chain if not b.capabilities.dynamic_shapes]
    if facts.any_length and resolved.methods.dynamic and fixed:
        what = f"{fixed[0]} takes fixed shapes only, and {method} any number of tokens"
        yield Problem(what, key, f"remove {key}, or runtime.dynamic_shapes=false")
    names = [backend.name for backend in chain]
    if len(set(names)) < len(names):
        once = "+".join(dict.fromkeys(names))
        yield Problem("a backend is named twice", key, f"{key}={once}")
    for backend in chain[:-1]:
        if not backend.capabilities.followed:
            what = f"other backends cannot read what {backend.name} leaves"
            yield Problem(what, key, f"{key}={backend.name}")


def placed_scheme_problems(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """Rules that the backend of a module refuses, where modules have different backends."""
    try:
        model = shapes_of(resolved)
    except LlmExportError:
        return  # reported by the rules of modules
    rules, told = resolved.recipe.quant.rules, set[tuple[int, str]]()
    for matrix in () if model is None else model.matrices:
        index = next((i for i, r in enumerate(rules) if matches(r, matrix.name, matrix.kind)), None)
        backend = resolved.backend_of(matrix.name)
        if index is None or (index, backend) in told:
            continue
        why = refusal(backend, matrix.kind, rules[index])
        if why:
            told.add((index, backend))
            yield Problem(
                f"{why}; of '{matrix.name}'", f"quant.rules[{index}]",
                "a rule before it for the modules of that method, with a scheme of its backend, or "
                "quant=none",
            )  # fmt: skip


def image_fits(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """A stated context without room for an image, and where it is verified for texts around it."""
    recipe = resolved.recipe
    images = resolved.definition.images(recipe)
    if images is None:
        return
    tokens, context = images.tokens, filled(recipe.runtime.context_length)
    needed = slots(tokens) if recipe.verify.enabled else tokens + 1
    if context < needed:
        key = "runtime.context_length"
        what = f"an image takes {tokens} tokens, and the context has {context}"
        yield Problem(
            what, key, f"{key}={needed}, or smaller images: model.task_options.image_size"
        )


def unfit_beside_text(resolved: ResolvedRecipe) -> Iterator[Problem]:
    """What needs text to run through all modules of a model."""
    recipe = resolved.recipe
    beside = [m for m, f in resolved.definition.further_methods.items() if f.beside_text]
    if not beside:
        return
    why = f"no text runs through the modules of {beside[0]}"
    if recipe.quant.auto is not None:
        yield Problem(f"bits are not chosen by measurement here: {why}", "quant.auto",
                      "an option that names schemes, such as quant=8da8w")  # fmt: skip
    if recipe.train.enabled:
        yield Problem(f"the model is not trained: {why}", "train.enabled", "train.enabled=false")
    for index, rule in enumerate(recipe.quant.rules):
        if rule.scheme in SCHEMES and SCHEMES[rule.scheme].flow is Flow.pt2e:
            fix = option_fix(recipe, lambda rules: not any(map(_is_static, rules))) or "quant=none"
            yield Problem(f"{rule.scheme} needs calibrated activations: {why}",
                          f"quant.rules[{index}]", fix)  # fmt: skip


def _is_static(rule: QuantRule) -> bool:
    return SCHEMES[rule.scheme].flow is Flow.pt2e
