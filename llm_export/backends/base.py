"""The backend interface. No code outside this package refers to a backend by name."""

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
    """The parts of a resolved recipe that a backend reads; see ``resolve.ResolvedRecipe``."""

    @property
    def recipe(self) -> Recipe: ...

    @property
    def methods(self) -> Methods:
        """The methods of the program, and whether their lengths are dynamic."""
        ...


class Backend(Protocol):
    """Interface of a backend; one object per backend."""

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str:
        """One line that says where programs run."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def options(self) -> type[Any]:
        """A dataclass with the keys of ``backend.options`` and their defaults. Its
        ``__post_init__`` raises ValueError for invalid values.
        """
        ...

    def refused(self, resolved: Resolved) -> list[Problem]:
        """Problems from the backend's own limits, in addition to capabilities and support
        tables.
        """
        ...

    def availability(self) -> Availability:
        """Whether this machine can lower for the backend."""
        ...

    def runnable_here(self) -> Availability: ...

    def partitioners(self, resolved: Resolved) -> list[Any]: ...

    def transform_exported(self, program: ExportedProgram) -> ExportedProgram:
        """Transform the exported program into the form that the backend's kernels need."""
        ...

    def edge_passes(self, resolved: Resolved, program: ExportedProgram) -> list[Any]:
        """Passes that run on the edge program before partitioning."""
        ...

    def transform_edge(self, resolved: Resolved, program: ExportedProgram) -> ExportedProgram:
        """Transform the edge program after partitioning, e.g. to use the backend's own
        operators.
        """
        ...

    def before_memory_planning(
        self, resolved: Resolved, module: fx.GraphModule, config: Any
    ) -> int:
        """Change a method's graph in place, after all passes and before memory planning.

        Args:
            config: the program's ``ExecutorchBackendConfig``.

        Returns:
            the number of operators replaced by a branch with two implementations.
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
        """Context in which the delegates of an edge program compute as a model of the backend
        does, if there is one. Otherwise delegates run their original subgraphs in Python.
        """
        ...

    def lowering_context(self, resolved: Resolved) -> AbstractContextManager[Any]:
        """Context for lowering that speeds up the backend's compiler."""
        ...

    @property
    def edge_dialect(self) -> str:
        """Settings of the edge dialect. All backends of a chain must have the same ones."""
        ...

    def edge_config(self) -> Any:
        """An ``executorch.exir.EdgeCompileConfig``."""
        ...


@dataclass(frozen=True)
class NoOptions:
    """A backend without options of its own."""


@dataclass(frozen=True)
class DeclaredBackend:
    """A backend defined by data and a few functions.

    Attributes:
        make_partitioners: resolved recipe -> partitioners, in the order in which they claim
            nodes.
        needs: what lowering needs on this machine.
        runs: additional requirements for running.
        make_quantizer: see ``Backend.quantizer``; None if no static scheme is supported.
        exported_transform: "module:function" of ``Backend.transform_exported``; empty for none.
        make_edge_passes: see ``Backend.edge_passes``.
        make_edge_config: see ``Backend.edge_config``; None uses the default.
        edge_transform: see ``Backend.transform_edge``; None for no transform.
        memory_planning_hook: "module:function" of ``Backend.before_memory_planning``; empty for
            none.
        reference_model: "module:class" of ``Backend.reference_executor``; empty if there is none.
        make_lowering_context: "module:function" of ``Backend.lowering_context``; empty for none.
        refusals: see ``Backend.refused``.
        dim_order: whether its passes support the edge dialect's dim order operators.
        experimental: why its programs are not reliable yet; empty if they are.
        delegate: id of its delegates in a program; empty if it has none.
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
    delegate: str = ""
    references: tuple[str, ...] = field(default=())
    """Documentation pages."""

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
    """Import the object named "module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def options_of(resolved: Resolved, kind: type[Any]) -> Any:
    """The recipe's ``backend.options`` as this backend's options dataclass. In a chain the options
    belong to the first backend; another backend gets those that it also defines.

    Raises:
        TypeError, ValueError: an unknown key or invalid value; recipe checks report it first.
    """
    known = {f.name for f in fields(kind)}
    stated = resolved.recipe.backend.options
    return kind(**{key: value for key, value in stated.items() if key in known})
