"""Build the graph of the whole model from the lowered graph of a few of its layers.

It works on programs that are ready for memory planning. All ExecuTorch passes have run on the few
exported layers; only planning and emission run on the whole graph.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import (
    ConstantArgument,
    ExportGraphSignature,
    InputKind,
    InputSpec,
    OutputKind,
    OutputSpec,
    TensorArgument,
)

from llm_export.layer_reuse.delegates import relowered, renewed
from llm_export.layer_reuse.layer_graphs import (
    Units,
    constant_of,
    constants_of,
    delegate_of_attribute,
    delegates,
    require_same_shape,
    units_of,
)
from llm_export.layer_reuse.plan import LayerPlan, LayersDiffer
from llm_export.layer_reuse.tensor_specs import SpecCopies
from llm_export.layer_reuse.weights import ModelWeights, same
from llm_export.memory import release

Env = dict[fx.Node, fx.Node]

LAYER_SHIFT = "layer_shift"
"""The key of a node's meta for how many layers after its template the node is; without it, the node
is its template."""


@dataclass
class _Copied:
    """A layer of the whole graph: its template unit and its nodes."""

    unit: int
    nodes: list[fx.Node]


class LayerCloner:
    """Builds one method's program.

    Args:
        program: the program of the kept layers; its state is in the order of ``kept``.
        module: its graph after the passes.
        weights: weights of the whole model.

    Raises:
        LayersDiffer: layers that should be equal differ.
    """

    def __init__(
        self,
        program: ExportedProgram,
        module: fx.GraphModule,
        weights: ModelWeights,
        plan: LayerPlan,
    ) -> None:
        self._program, self._module = program, module
        self._weights, self._plan = weights, plan
        self._names = constants_of(program)
        self._kept = len(plan.kept)
        self._units: Units = units_of(program, module, weights, self._kept, plan.lenders)
        self._check()
        self._graph = fx.Graph()
        self._modules: dict[str, object] = {}
        self._constants: dict[str, fx.Node] = {}
        self._layers: list[_Copied] = []

    # -- checks ---------------------------------------------------------------------------

    def _check(self) -> None:
        """Check on the template's own layers that cloning is valid: compare each layer with the
        one that could replace it, and all constants with the model's.
        """
        origin = (*self._plan.origin, self._units.last)
        repeated = set(origin[2:])
        for layer in range(2, len(origin)):
            # The unit uses values of the previous unit, identified by their position there.
            meant, taken = origin[layer] - 1, origin[layer - 1]
            if meant != taken:
                require_same_shape(self._units, meant, taken, self._module)
        nodes = {node.name: node for node in self._inputs()}
        for placeholder, name in constants_of(self._program).items():
            users = nodes[placeholder].users
            levels = {self._units.of[user][0] for user in users if user in self._units.of}
            value = constant_of(self._program, name)
            self._check_constant(name, value, bool(levels & repeated))
        for level, unit in enumerate(self._units.levels[1:-1], 1):
            for _, lowered in delegates(unit, self._module):
                program = lowered.original_module
                for name in constants_of(program).values():
                    self._check_constant(name, constant_of(program, name), level in repeated)

    def _check_constant(self, name: str, value: Tensor, repeated: bool) -> None:
        """Small numbers that lowering lifted out of the code may be shared by all layers. A larger
        constant that is not in the model and belongs to a cloned unit may be computed from one
        layer's weights, so it is refused.
        """
        layer = self._weights.layer(name)
        if layer is None:
            if repeated and value.numel() > 1 and name not in self._weights:
                raise LayersDiffer(f"lowering has made a constant '{name}' of its own")
        elif not same(value, self._value(name, self._plan.kept[layer])):
            raise LayersDiffer(f"lowering has changed the values of '{name}'")

    def _value(self, name: str, to: int) -> Tensor:
        return self._weights[self._weights.moved(name, to)]

    # -- writing --------------------------------------------------------------------------

    def write(self) -> tuple[fx.GraphModule, ExportGraphSignature, dict[str, Tensor]]:
        """Build the whole graph, its signature, and the values of its new constants by name."""
        inputs, values = self._placeholders()
        for layer, unit in enumerate((*self._plan.origin, self._units.last)):
            nodes = self._unit(unit, self._around(unit, layer), layer)
            release()
            self._layers.append(_Copied(unit, nodes))
        outputs = self._output()
        module = fx.GraphModule({**_attributes(self._module), **self._modules}, self._graph)
        module.meta.update(self._module.meta)
        return module, ExportGraphSignature(inputs, outputs), values

    def _inputs(self) -> list[fx.Node]:
        return [n for n in self._module.graph.nodes if n.op == "placeholder"]

    def _placeholders(self) -> tuple[list[InputSpec], dict[str, Tensor]]:
        """Placeholders of every layer, by kind, with the user inputs last."""
        specs = {s.arg.name: s for s in self._program.graph_signature.input_specs}
        wanted: list[tuple[int, fx.Node, str | None, InputSpec]] = []
        seen: set[str] = set()
        for node in self._inputs():
            spec, name = specs[node.name], self._names.get(node.name)
            layer = None if name is None else self._weights.layer(name)
            if layer is None:
                wanted.append((-1, node, name, spec))
                continue
            assert name is not None
            for to in self._repeats_of(layer):
                moved = self._weights.moved(name, to)
                if moved not in seen:
                    seen.add(moved)
                    wanted.append((to, node, moved, spec))
        kinds = list(dict.fromkeys(spec.kind for *_, spec in wanted if spec.kind != _USER))
        wanted.sort(key=lambda w: len(kinds) if w[3].kind == _USER else kinds.index(w[3].kind))
        inputs: list[InputSpec] = []
        values: dict[str, Tensor] = {}
        for to, node, name, spec in wanted:
            made = self._placeholder(node, name, to)
            inputs.append(replace(spec, arg=_renamed(spec.arg, made.name), target=name))
            if to >= 0:
                assert name is not None
                values[name] = self._weights[name]
            self._constants[node.name if to < 0 else name or ""] = made
        return inputs, values

    def _repeats_of(self, kept: int) -> list[int]:
        """Layers whose constants are created from those of a kept layer. A unit contains its own
        layer's constants and, at its start, some of the previous layer.
        """
        found = {i for i, unit in enumerate(self._plan.origin) if unit == kept}
        found |= {i - 1 for i, unit in enumerate(self._plan.origin) if unit == kept + 1 and i}
        if kept == self._kept - 1:
            found.add(self._plan.layers - 1)
        return sorted(found)

    def _placeholder(self, node: fx.Node, name: str | None, to: int) -> fx.Node:
        target = node.name
        if to >= 0:
            old, new = self._names[node.name].replace(".", "_"), str(name).replace(".", "_")
            target = node.name.replace(old, new) if old in node.name else new
        made = self._graph.placeholder(target)
        made.target = made.name  # the graph's names are in lower case; emission looks for targets
        made.meta = copy.copy(node.meta)
        spec = SpecCopies().of(node.meta.get("spec"))
        if to >= 0 and spec is not None and spec.storage is not None:
            assert name is not None
            spec.storage = self._weights[name].contiguous().untyped_storage()
        made.meta["spec"] = spec
        return made

    def _around(self, unit: int, layer: int) -> Env:
        """The replacements of the nodes that a unit takes from outside when it is cloned as
        ``layer``.
        """
        env: Env = {}
        for node in self._units.levels[unit]:
            for source in node.all_input_nodes:
                if source.op == "placeholder":
                    env[source] = self._constant_for(source, unit, layer)
                    continue
                at, place = self._units.of[source]
                if at == unit:
                    continue
                to = self._plan.layer_of(at, unit, layer) if at else 0
                env[source] = self._layers[to].nodes[place]
        return env

    def _constant_for(self, source: fx.Node, unit: int, layer: int) -> fx.Node:
        name = self._names.get(source.name)
        owner = None if name is None else self._weights.layer(name)
        if name is None or owner is None:
            return self._constants[source.name]
        to = self._plan.layer_of(owner, unit, layer)
        return self._constants[self._weights.moved(name, to)]

    def _unit(self, unit: int, env: Env, layer: int) -> list[fx.Node]:
        specs = SpecCopies()
        for old, new in env.items():
            if "spec" in old.meta:
                specs.known(old.meta["spec"], new.meta["spec"])
        made = []
        for node in self._units.levels[unit]:
            lowered = delegate_of_attribute(node, self._module) if node.op == "get_attr" else None
            if lowered is not None:
                new = self._delegate(lowered, unit, layer)
                new.meta = copy.copy(node.meta)
            else:
                new = self._graph.node_copy(node, lambda n: env[n])
            new.meta.pop("from_node", None)
            new.meta[LAYER_SHIFT] = layer - unit
            if "spec" in node.meta:
                new.meta["spec"] = specs.of(node.meta["spec"])
            env[node] = new
            made.append(new)
        return made

    def _delegate(self, lowered: Any, unit: int, layer: int) -> fx.Node:
        """The lowered module of a unit that is cloned as ``layer``, with the weights of the cloned
        layers.
        """
        swapped, kept = {}, True
        for name in constants_of(lowered.original_module).values():
            owner = self._weights.layer(name)
            if owner is not None:
                to = self._plan.layer_of(owner, unit, layer)
                swapped[name] = self._value(name, to)
                kept = kept and self._plan.kept[owner] == to
        # ExecuTorch looks up lowered modules by node name, so each needs its own.
        target = f"lowered_module_{len(self._modules)}"
        if kept:
            self._modules[target] = renewed(lowered)
        else:
            self._modules[target] = relowered(lowered, swapped)
        return self._graph.create_node("get_attr", target, name=target)

    def _output(self) -> list[OutputSpec]:
        """Outputs: mutated buffers of every layer, then the user's outputs."""
        old = next(n for n in self._module.graph.nodes if n.op == "output")
        specs = self._program.graph_signature.output_specs
        results: list[tuple[Any, OutputSpec]] = []
        for value, spec in zip(old.args[0], specs, strict=True):
            layer = self._weights.layer(spec.target) if spec.target else None
            if layer is None:
                results.append((self._found(value, self._plan.layers), spec))
                continue
            assert spec.target is not None
            for to in (i for i, unit in enumerate(self._plan.origin) if unit == layer):
                made = self._found(value, to)
                target = self._weights.moved(spec.target, to)
                results.append((made, replace(spec, target=target)))
        results.sort(key=lambda r: r[1].kind == OutputKind.USER_OUTPUT)
        node = self._graph.output((tuple(value for value, _ in results),))
        node.meta = copy.copy(old.meta)
        node.meta["spec"] = tuple(value.meta.get("spec") for value, _ in results)
        node.meta["val"] = tuple(value.meta.get("val") for value, _ in results)
        return [replace(spec, arg=_renamed(spec.arg, value.name)) for value, spec in results]

    def _found(self, value: fx.Node, layer: int) -> fx.Node:
        """The node that replaces a template node, as seen from a layer."""
        if value.op == "placeholder":
            return self._constant_for(value, self._layers[layer].unit, layer)
        at, place = self._units.of[value]
        return self._layers[layer if at else 0].nodes[place]


_USER = InputKind.USER_INPUT


def _renamed(argument: Any, name: str) -> Any:
    if isinstance(argument, (TensorArgument, ConstantArgument)):
        return replace(argument, name=name)
    return type(argument)(name=name)


def _attributes(module: fx.GraphModule) -> dict[str, object]:
    """Attributes that the graph refers to, except lowered modules, which are created anew."""
    found = {}
    for node in module.graph.nodes:
        if node.op == "get_attr" and delegate_of_attribute(node, module) is None:
            found[str(node.target)] = getattr(module, str(node.target))
    return found
