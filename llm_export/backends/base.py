"""What a backend declares. Nothing outside this package knows a backend by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.backends.capabilities import Capabilities
from llm_export.backends.methods import Methods
from llm_export.backends.packages import Availability, Need, first_lacking
from llm_export.compat.edge_config import edge_config
from llm_export.config.schema import Recipe
from llm_export.errors import Problem

if TYPE_CHECKING:
    from torch import fx
    from torch.export import ExportedProgram


class Resolved(Protocol):
    """What a backend reads of a resolved recipe; ``resolve.ResolvedRecipe`` is one."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def methods(self) -> Methods:
        """The methods of the program, and whether their lengths are dynamic."""
        ...


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

    def refused(self, resolved: Resolved) -> list[Problem]:
        """What its own limits rule out, beyond what capabilities and tables say."""
        ...

    def availability(self) -> Availability:
        """Whether this machine can lower for it."""
        ...

    def runnable_here(self) -> Availability: ...

    def partitioners(self, resolved: Resolved) -> list[Any]: ...

    def transform_exported(self, program: ExportedProgram) -> ExportedProgram:
        """The program, with what the backend's kernels want written otherwise."""
        ...

    def edge_passes(self, resolved: Resolved, program: ExportedProgram) -> list[Any]:
        """Passes over the edge program of ``program``, before it is partitioned."""
        ...

    def transform_edge(self, resolved: Resolved, program: ExportedProgram) -> ExportedProgram:
        """The edge program after partitioning, with the backend's own operators in it."""
        ...

    def before_memory_planning(
        self, resolved: Resolved, module: fx.GraphModule, config: Any
    ) -> int:
        """Change a method's graph in place, when all passes have run and memory is still to be
        planned.

        Args:
            config: the program's ``ExecutorchBackendConfig``.

        Returns:
            the number of operators that have two ways now, of which the runtime takes one.
        """
        ...

    def quantizer(
        self, resolved: Resolved, modules: Sequence[str], *, training: bool = False
    ) -> Any:
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

    def lowering_context(self, resolved: Resolved) -> AbstractContextManager[Any]:
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
        make_partitioners: resolved recipe -> partitioners, in the order in which they may take
            nodes.
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
    make_partitioners: Callable[[Resolved], list[Any]]
    needs: tuple[Need, ...]
    runs: tuple[Need, ...] = ()
    make_quantizer: Callable[[Resolved, Sequence[str], bool], Any] | None = None
    exported_transform: str = ""
    make_edge_passes: Callable[[Resolved, ExportedProgram], list[Any]] | None = None
    make_edge_config: Callable[[], Any] | None = None
    edge_transform: Callable[[Resolved, ExportedProgram], ExportedProgram] | None = None
    memory_planning_hook: str = ""
    options: type[Any] = NoOptions
    reference_model: str = ""
    make_lowering_context: str = ""
    refusals: Callable[[Resolved], list[Problem]] | None = None
    dim_order: bool = False
    experimental: str = ""
    references: tuple[str, ...] = field(default=())
    """Pages that say more."""

    def refused(self, resolved: Resolved) -> list[Problem]:
        return self.refusals(resolved) if self.refusals else []

    def availability(self) -> Availability:
        return first_lacking(self.needs)

    def runnable_here(self) -> Availability:
        return first_lacking((*self.needs, *self.runs))

    def partitioners(self, resolved: Resolved) -> list[Any]:
        return self.make_partitioners(resolved)

    def transform_exported(self, program: ExportedProgram) -> ExportedProgram:
        return _named(self.exported_transform)(program) if self.exported_transform else program

    def reference_executor(self) -> AbstractContextManager[Any]:
        if not self.reference_model:
            return nullcontext()
        return _named(self.reference_model)()

    def lowering_context(self, resolved: Resolved) -> AbstractContextManager[Any]:
        if not self.make_lowering_context:
            return nullcontext()
        return _named(self.make_lowering_context)(resolved)

    def edge_passes(self, resolved: Resolved, program: ExportedProgram) -> list[Any]:
        return self.make_edge_passes(resolved, program) if self.make_edge_passes else []

    def quantizer(
        self, resolved: Resolved, modules: Sequence[str], *, training: bool = False
    ) -> Any:
        assert self.make_quantizer is not None, "the checks refuse static schemes here"
        return self.make_quantizer(resolved, modules, training)

    @property
    def edge_dialect(self) -> str:
        return "dim_order" if self.dim_order else "plain"

    def transform_edge(self, resolved: Resolved, program: ExportedProgram) -> ExportedProgram:
        return self.edge_transform(resolved, program) if self.edge_transform else program

    def before_memory_planning(
        self, resolved: Resolved, module: fx.GraphModule, config: Any
    ) -> int:
        if not self.memory_planning_hook:
            return 0
        return _named(self.memory_planning_hook)(resolved, module, config)

    def edge_config(self) -> Any:
        if self.make_edge_config:
            return self.make_edge_config()
        return edge_config(dim_order=self.dim_order)


def _named(place: str) -> Any:
    """What "module:name" names."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def options_of(resolved: Resolved, kind: type[Any]) -> Any:
    """The recipe's ``backend.options`` as the backend's own dataclass. In a chain they are the
    first backend's, and of another one those that it has too.

    Raises:
        TypeError, ValueError: a key or a value that it does not have; the checks have said so.
    """
    known = {f.name for f in fields(kind)}
    stated = resolved.recipe.backend.options
    return kind(**{key: value for key, value in stated.items() if key in known})
