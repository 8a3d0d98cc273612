"""Capture the graphs of a program's methods, of which some have a few of their layers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field

import torch
from torch.export import ExportedProgram

from llm_export.compat.torchao_rows import any_number_of_rows
from llm_export.compat.versions import lowering_untested
from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer, only_kept, plan_layers
from llm_export.models.programs.method import Method
from llm_export.resolve.recipe import ResolvedRecipe


@dataclass(frozen=True)
class MethodGraphs:
    """Graphs by method.

    Attributes:
        plans: which layers a graph has, where it has not all.
        whole: why a graph has all layers, where its method names repeated ones.
    """

    programs: dict[str, ExportedProgram] = field(default_factory=dict)
    plans: dict[str, LayerPlan] = field(default_factory=dict)
    whole: dict[str, str] = field(default_factory=dict)


def method_graphs(
    methods: Iterable[Method], whole: Callable[[Method], str], done: Callable[[int], None]
) -> MethodGraphs:
    """Run ``torch.export`` for each method.

    Args:
        whole: why a method is captured with all layers, whatever the model; '' if it need not be.
        done: called with the number of methods captured so far.
    """
    made = MethodGraphs()
    for number, method in enumerate(methods, 1):
        plan = _plan(method, whole(method), made)
        kept = nullcontext() if plan is None else only_kept(method.module, plan)
        with torch.no_grad(), any_number_of_rows(), kept:
            made.programs[method.name] = torch.export.export(
                method.module.eval(),
                method.inputs,
                dynamic_shapes=tuple(method.dynamic) if any(method.dynamic) else None,
                strict=False,
            )
        done(number)
    return made


def _plan(method: Method, because: str, made: MethodGraphs) -> LayerPlan | None:
    if not method.repeated_layers:
        return None
    try:
        if because:
            raise LayersDiffer(because)
        made.plans[method.name] = plan_layers(
            method.module, method.repeated_layers, last_apart=method.last_apart
        )
    except LayersDiffer as reason:
        made.whole[method.name] = str(reason)
    return made.plans.get(method.name)


def no_repetition(resolved: ResolvedRecipe) -> str:
    """Why layers are lowered one by one, whatever the model; empty if they need not be."""
    recipe = resolved.recipe
    if not recipe.backend.repeat_layers:
        return "backend.repeat_layers=false"
    if recipe.backend.etrecord:
        return "backend.etrecord=true"
    cannot = [b.name for b in resolved.backends if not b.capabilities.repeats]
    if cannot:
        return f"{cannot[0]} does not lower layer by layer"
    if resolved.method_backends and recipe.verify.enabled and resolved.obstacle_to_running():
        return "the program cannot run here, so that its whole graph is compared"
    return lowering_untested()
