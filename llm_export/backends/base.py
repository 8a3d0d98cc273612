"""What a backend declares. Nothing outside this package knows a backend by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.backends.packages import Availability, Need, first_lacking
from llm_export.config.schema import Recipe

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


Refusal = tuple[str, str, str]
"""What is wrong, the key, and the fix."""


@dataclass(frozen=True)
class Capabilities:
    """Limits as data; read by the checks before any work.

    Attributes:
        dynamic_shapes: whether one program may serve steps of any length. Without it there are
            methods of fixed shapes: ``forward`` for a token, ``prefill`` for a chunk.
        attention: attention kinds with dynamic shapes, best first; ``auto`` takes the first that
            the model has.
        static_attention: the same with fixed shapes; empty if it is as with dynamic ones.
        delegates: whether linears and attention are expected in delegates at all.
        raw_weights: whether matrices are stored as they are, one piece of the file each, so that
            a table of the same bytes is stored once.
        prefill_length: tokens of the ``prefill`` method if the recipe does not say; 1, no such
            method, where delegates hold their weights and would store them twice.
        token_dtype: of the program's inputs.
        followed: whether other partitioners can read the graph that its own leave.
        computes_in: the dtype that products are computed in where the recipe asks for float32:
            verification leaves room for its rounding.
        repeats: whether lowered layers of one kind look alike, so that a few of them can stand
            for all. Not where a delegate takes the whole graph, or where constants are folded.
        forms: of ``transforms.delegate_forms``, those by which its delegates take more of a layer.
    """

    dynamic_shapes: bool
    attention: tuple[str, ...]
    static_attention: tuple[str, ...] = ()
    delegates: bool = True
    raw_weights: bool = False
    prefill_length: int = 128
    token_dtype: str = "int64"
    followed: bool = True
    computes_in: str = "float32"
    repeats: bool = False
    forms: tuple[str, ...] = ()

    def attention_kinds(self, *, dynamic: bool) -> tuple[str, ...]:
        return self.attention if dynamic else self.static_attention or self.attention


class Backend(Protocol):
    """One object a backend."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str:
        """Where programs run, in a line."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def options(self) -> type[Any]:
        """A dataclass: the keys of ``backend.options``, with defaults; its ``__post_init__``
        raises ValueError on what cannot be."""
        ...

    def refused(self, recipe: Recipe) -> list[Refusal]:
        """What its own limits rule out, beyond what capabilities and tables say."""
        ...

    def availability(self) -> Availability:
        """Whether this machine can lower for it."""
        ...

    def runnable_here(self) -> Availability: ...

    def partitioners(self, recipe: Recipe) -> list[Any]: ...

    def transform_exported(self, program: ExportedProgram) -> ExportedProgram:
        """The program, with what the backend's kernels want written otherwise."""
        ...

    def edge_passes(self, recipe: Recipe, program: ExportedProgram) -> list[Any]:
        """Passes over the edge program of ``program``, before it is partitioned."""
        ...

    def transform_edge(self, recipe: Recipe, program: ExportedProgram) -> ExportedProgram:
        """The edge program after partitioning, with the backend's own operators in it."""
        ...

    def before_memory_planning(self, recipe: Recipe, module: fx.GraphModule, config: Any) -> int:
        """Change a method's graph in place, when all passes have run and memory is still to be
        planned.

        Args:
            config: the program's ``ExecutorchBackendConfig``.

        Returns:
            the number of operators that have two ways now, of which the runtime takes one.
        """
        ...

    def quantizer(self, recipe: Recipe, modules: Sequence[str], *, training: bool = False) -> Any:
        """A PT2E quantizer for graphs of the recipe's model.

        Args:
            modules: names of the linears for which rules chose a static scheme. A backend that
                computes in integers throughout may annotate more than these.
            training: fake quantizers that gradients pass, instead of observers.
        """
        ...

    def reference_executor(self) -> AbstractContextManager[Any]:
        """In which the delegates of an edge program compute as the backend would, where there is
        a model of it; elsewhere they compute what their part of the graph did in Python."""
        ...

    def lowering_context(self, recipe: Recipe) -> AbstractContextManager[Any]:
        """In which its programs are lowered: what makes the backend's compiler faster."""
        ...

    @property
    def edge_dialect(self) -> str:
        """Programs of several backends must agree in it."""
        ...

    def edge_config(self) -> Any:
        """An ``executorch.exir.EdgeCompileConfig``."""
        ...


@dataclass(frozen=True)
class NoOptions:
    """A backend without options of its own."""


@dataclass(frozen=True)
class DeclaredBackend:
    """A backend as data and a few functions.

    Attributes:
        make_partitioners: recipe -> partitioners, in the order in which they may take nodes.
        needs: what lowering needs on this machine.
        runs: what running needs besides.
        make_quantizer: see ``Backend.quantizer``; None where no static scheme is in the table.
        exported_transform: "module:function" of ``Backend.transform_exported``; empty for none.
        make_edge_passes: see ``Backend.edge_passes``.
        make_edge_config: see ``Backend.edge_config``; None is the usual one.
        edge_transform: see ``Backend.transform_edge``; None changes nothing.
        memory_planning_hook: "module:function" of ``Backend.before_memory_planning``; empty for
            none.
        reference_model: "module:class" of ``Backend.reference_executor``; empty if there is none.
        make_lowering_context: "module:function" of ``Backend.lowering_context``; empty for none.
        refusals: see ``Backend.refused``.
        dim_order: whether its passes know the edge dialect's dim order operators.
        experimental: why its programs are not to be relied on yet; empty if they are.
    """

    name: str
    description: str
    capabilities: Capabilities
    make_partitioners: Callable[[Recipe], list[Any]]
    needs: tuple[Need, ...]
    runs: tuple[Need, ...] = ()
    make_quantizer: Callable[[Recipe, Sequence[str], bool], Any] | None = None
    exported_transform: str = ""
    make_edge_passes: Callable[[Recipe, ExportedProgram], list[Any]] | None = None
    make_edge_config: Callable[[], Any] | None = None
    edge_transform: Callable[[Recipe, ExportedProgram], ExportedProgram] | None = None
    memory_planning_hook: str = ""
    options: type[Any] = NoOptions
    reference_model: str = ""
    make_lowering_context: str = ""
    refusals: Callable[[Recipe], list[Refusal]] | None = None
    dim_order: bool = False
    experimental: str = ""
    references: tuple[str, ...] = field(default=())
    """Pages that say more."""

    def refused(self, recipe: Recipe) -> list[Refusal]:
        return self.refusals(recipe) if self.refusals else []

    def availability(self) -> Availability:
        return first_lacking(self.needs)

    def runnable_here(self) -> Availability:
        return first_lacking((*self.needs, *self.runs))

    def partitioners(self, recipe: Recipe) -> list[Any]:
        return self.make_partitioners(recipe)

    def transform_exported(self, program: ExportedProgram) -> ExportedProgram:
        return _named(self.exported_transform)(program) if self.exported_transform else program  # type: ignore[no-any-return]

    def reference_executor(self) -> AbstractContextManager[Any]:
        if not self.reference_model:
            return nullcontext()
        return _named(self.reference_model)()  # type: ignore[no-any-return]

    def lowering_context(self, recipe: Recipe) -> AbstractContextManager[Any]:
        if not self.make_lowering_context:
            return nullcontext()
        return _named(self.make_lowering_context)(recipe)  # type: ignore[no-any-return]

    def edge_passes(self, recipe: Recipe, program: ExportedProgram) -> list[Any]:
        return self.make_edge_passes(recipe, program) if self.make_edge_passes else []

    def quantizer(self, recipe: Recipe, modules: Sequence[str], *, training: bool = False) -> Any:
        assert self.make_quantizer is not None, "the checks refuse static schemes here"
        return self.make_quantizer(recipe, modules, training)

    @property
    def edge_dialect(self) -> str:
        return "dim_order" if self.dim_order else "plain"

    def transform_edge(self, recipe: Recipe, program: ExportedProgram) -> ExportedProgram:
        return self.edge_transform(recipe, program) if self.edge_transform else program

    def before_memory_planning(self, recipe: Recipe, module: fx.GraphModule, config: Any) -> int:
        if not self.memory_planning_hook:
            return 0
        return _named(self.memory_planning_hook)(recipe, module, config)  # type: ignore[no-any-return]

    def edge_config(self) -> Any:
        if self.make_edge_config:
            return self.make_edge_config()
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=not self.dim_order)


def _named(place: str) -> Any:
    """What "module:name" names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def options_of(recipe: Recipe, kind: type[Any]) -> Any:
    """The recipe's ``backend.options`` as the backend's own dataclass.

    Raises:
        TypeError, ValueError: a key or a value that it does not have; the checks have said so.
    """
    return kind(**recipe.backend.options)
