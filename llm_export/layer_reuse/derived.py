"""Constants that lowering computes from the weights of one layer.

ExecuTorch replaces operations on constants by their results, for example the taps of a convolution
or the exponent of a decay. What computed such a result is noted before, so that the same can be
computed from the weights of every layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import ExportGraphSignature

from llm_export.compat.constant_propagation import constant_nodes
from llm_export.compat.exported_program import set_signature
from llm_export.layer_reuse.layer_graphs import constant_of, constants_of
from llm_export.layer_reuse.weights import ModelWeights

_META = "llm_export_derived"


@dataclass(frozen=True)
class _Weight:
    """A tensor of a layer, by its name in the exported program."""

    name: str


@dataclass(frozen=True)
class Expression:
    """A call of an operator on weights, other expressions, and values."""

    target: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def weights(self) -> set[str]:
        """Names of the weights that it depends on."""
        found: set[str] = set()

        def visit(value: Any) -> Any:
            if isinstance(value, _Weight):
                found.add(value.name)
            elif isinstance(value, Expression):
                found.update(value.weights())
            return value

        fx.node.map_aggregate((self.args, self.kwargs), visit)
        return found

    def value(self, of: Callable[[str], Tensor]) -> Any:
        """
        Args:
            of: name of a weight -> its value.
        """

        def computed(value: Any) -> Any:
            if isinstance(value, _Weight):
                return of(value.name)
            return value.value(of) if isinstance(value, Expression) else value

        args, kwargs = fx.node.map_aggregate((self.args, self.kwargs), computed)
        return self.target(*args, **kwargs)


def note_expressions(program: ExportedProgram, weights: ModelWeights) -> None:
    """Note at each node with a constant result what computes it."""
    names = constants_of(program)
    found: dict[fx.Node, _Weight | Tensor | Expression] = {}

    def known(value: Any) -> Any:
        return found[value] if isinstance(value, fx.Node) else value

    for node in constant_nodes(program):
        if node.op == "placeholder":
            name = names[node.name]
            layer = weights.layer(name)
            found[node] = constant_of(program, name) if layer is None else _Weight(name)
        else:
            assert callable(node.target)
            args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), known)
            found[node] = node.meta[_META] = Expression(node.target, args, dict(kwargs))


def name_derived(program: ExportedProgram, weights: ModelWeights) -> None:
    """Name each constant that follows from one layer's weights like a weight of that layer, and
    tell ``weights`` how to compute it for the other layers.
    """
    signature = program.graph_signature
    specs = {spec.arg.name: spec for spec in signature.input_specs}
    for node in program.graph.find_nodes(op="placeholder"):
        expression, spec = node.meta.pop(_META, None), specs[node.name]
        if not isinstance(expression, Expression) or spec.target not in program.constants:
            continue
        layers = {weights.layer(name) for name in expression.weights()}
        if len(layers) != 1:
            continue  # of no layer, or of several: the cloner refuses it where that matters
        (layer,) = layers
        assert layer is not None, "only weights of layers are noted by name"
        name = weights.add_derived(layer, spec.target, partial(_value, expression))
        program.constants[name] = program.constants.pop(spec.target)
        specs[node.name] = replace(spec, target=name)
    made = ExportGraphSignature(list(specs.values()), list(signature.output_specs))
    set_signature(program, made)


def _value(expression: Expression, of: Callable[[str], Tensor]) -> Tensor:
    with torch.no_grad():
        value: Tensor = expression.value(of)
    return value.contiguous()
