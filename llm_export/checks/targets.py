"""Check what a recipe already tells of the contracts of its ``deploy.targets``. The rest is
compared with the finished bundle."""

from __future__ import annotations

from collections.abc import Iterator

from llm_export.backends import BACKENDS
from llm_export.checks.fixes import alternatives, runs
from llm_export.config.schema import AdapterMode, AttentionKind, LogitsKind
from llm_export.consumers import Contract, contract_of
from llm_export.consumers.contract import MethodRule
from llm_export.consumers.fixes import options_for, takes_tokens_alone
from llm_export.consumers.linked import has_fused_attention, is_fused
from llm_export.consumers.named import bare_names
from llm_export.errors import LlmExportError, MissingDependencyError, Problem, nearest
from llm_export.resolve.recipe import ResolvedRecipe
from llm_export.resolve.targets import contracts_of

KEY = "deploy.targets"


def targets_can_load(resolved: ResolvedRecipe) -> list[Problem]:
    """Problems that prevent a target from loading the bundle."""
    problems = targets_are_known(resolved)
    contracts = contracts_of(resolved.recipe)
    refusing = [c.full_name for c in contracts if [*_of(resolved, c, "")]]
    leave = without(resolved, *refusing)
    for contract in contracts:
        problems += _of(resolved, contract, leave)
    return problems


def targets_are_known(resolved: ResolvedRecipe) -> list[Problem]:
    """Targets that are no consumers."""
    return list(_unknown(resolved))


def _unknown(resolved: ResolvedRecipe) -> Iterator[Problem]:
    for name in resolved.recipe.deploy.targets:
        try:
            contract_of(name)
        except LlmExportError as error:
            missing = isinstance(error, MissingDependencyError)
            near = nearest(name.partition("@")[0], bare_names())
            renamed = [*near[:1]] if near else []
            fix = f"{_with(resolved, name, renamed)}; {error.fix}"
            yield Problem(error.what, KEY, fix, missing)


def _of(resolved: ResolvedRecipe, contract: Contract, leave: str) -> Iterator[Problem]:
    recipe, name = resolved.recipe, contract.full_name
    forms = [f for f in contract.methods if set(f) <= set(resolved.methods.names)]
    if not forms:
        lists = ", ".join(contract.methods[0])
        yield Problem(f"{name} takes programs with the methods {lists}", KEY, leave)
        return
    delegate = getattr(resolved.backend, "delegate", None)
    if contract.backends is not None and delegate and delegate not in contract.backends:
        has = ", ".join(contract.backends)
        yield Problem(
            f"{name} has no {delegate}, which programs of {resolved.backend.name} need; it has "
            f"{has}", KEY, alternatives(*_backends(resolved, contract), leave),
        )  # fmt: skip
        return
    if is_fused(resolved.attention) and not has_fused_attention(contract):
        what = f"{name} has no operators of '{resolved.attention}' attention"
        yield Problem(what, KEY, alternatives(_unfused(resolved), leave))
    if recipe.checkpoint.adapter_mode is AdapterMode.separate and not contract.data_files:
        what = f"{name} loads no adapters, which lie in files of their own"
        yield Problem(what, KEY, alternatives("checkpoint.adapter_mode=merged", leave))
    rule = forms[0].get(resolved.methods.main) or next(iter(forms[0].values()))
    yield from _tensors(resolved, contract, rule, leave)


def _tensors(
    resolved: ResolvedRecipe, contract: Contract, rule: MethodRule, leave: str
) -> Iterator[Problem]:
    name, recipe = contract.full_name, resolved.recipe
    others = _backends(resolved, contract)
    outside = resolved.attention == AttentionKind.static_io.value
    stated = resolved.stated.runtime.attention is AttentionKind.static_io
    if outside and not rule.more:
        keys = ["runtime.attention=auto"] if stated else others
        what = f"{name} passes no caches to the program, and '{resolved.attention}' attention needs"
        yield Problem(f"{what} them", KEY, alternatives(*keys, leave))
    tokens = rule.tensors("inputs")[0]
    ids = not any(dtype.startswith("float") for dtype in tokens.dtypes)  # else embeddings
    if ids and resolved.capabilities.token_dtype not in tokens.dtypes:
        what = f"{name} passes tokens of {'|'.join(tokens.dtypes)}"
        takes = f"programs of {resolved.backend.name} take {resolved.capabilities.token_dtype}"
        yield Problem(f"{what}, {takes}", KEY, alternatives(*others, leave))
    if any(dim.dynamic for dim in tokens.dims) and not resolved.methods.dynamic:
        keys = _dynamic(resolved) if resolved.capabilities.dynamic_shapes else others
        what = f"{name} takes programs whose steps have any length"
        yield Problem(what, KEY, alternatives(*keys, leave))
    logits = rule.tensors("outputs")[0]
    if len(logits.dims) == 2 and recipe.runtime.logits is LogitsKind.all:
        what = f"{name} takes the logits of the last token only"
        yield Problem(what, "runtime.logits", alternatives("runtime.logits=last", leave))


def _backends(resolved: ResolvedRecipe, contract: Contract) -> list[str]:
    """Overrides that choose the nearest backend whose programs the consumer takes."""
    rules, own = resolved.recipe.quant.rules, resolved.backend.name
    forms = [form["forward"] for form in contract.methods if "forward" in form]
    dynamic = any(d.dynamic for form in forms for d in form.tensors("inputs")[0].dims)
    more = any(form.more for form in forms)
    fitting = [
        name
        for name in options_for(contract.backends)
        if name != own and (more or takes_tokens_alone(BACKENDS.get(name).capabilities, dynamic))
    ]
    best = next((name for name in fitting if runs(name, rules)), None)
    if best is not None:
        return [f"backend={best}"]
    return [f"backend={name} quant=none" for name in fitting[:1]]


def _unfused(resolved: ResolvedRecipe) -> str | None:
    """Plain attention, if the backend has it."""
    if AttentionKind.plain.value not in resolved.offered_attention:
        return None
    return "runtime.attention=plain"


def _dynamic(resolved: ResolvedRecipe) -> list[str]:
    """The overrides that take back what the recipe says of the length of a step."""
    runtime = resolved.stated.runtime
    said = {"dynamic_shapes": runtime.dynamic_shapes is False,
            "prefill_length": runtime.prefill_length == 1}  # fmt: skip
    return [" ".join(f"runtime.{key}=null" for key in said if said[key])]


def without(resolved: ResolvedRecipe, *names: str) -> str:
    """The override that leaves targets out."""
    kept = [n for n in resolved.recipe.deploy.targets if not any(_is(n, name) for name in names)]
    return f"{KEY}=[{','.join(kept)}]"


def _with(resolved: ResolvedRecipe, name: str, others: list[str]) -> str:
    """The override that puts others in the place of a target."""
    kept: list[str] = []
    for each in resolved.recipe.deploy.targets:
        kept += others if _is(each, name) else [each]
    return f"{KEY}=[{','.join(kept)}]"


def _is(said: str, name: str) -> bool:
    try:
        return said == name or contract_of(said).full_name == name
    except LlmExportError:
        return said == name
