"""What a backend declares. Nothing outside this package knows a backend by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from llm_export.config.schema import Recipe

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True)
class Availability:
    """Whether this machine can lower for the backend, and if not, the line that fixes it."""

    ok: bool
    reason: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Capabilities:
    """Limits as data; read by the checks before any work.

    Attributes:
        dynamic_shapes: whether one program may serve prefill and decode.
        attention: attention kinds, best first; ``auto`` takes the first.
        delegates: whether linears and attention are expected in delegates at all.
        raw_weights: whether matrices are stored as they are, one piece of the file each, so that
            a table of the same bytes is stored once.
    """

    dynamic_shapes: bool
    attention: tuple[str, ...]
    delegates: bool
    raw_weights: bool = False


class Backend(Protocol):
    """One object a backend."""

    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    def availability(self) -> Availability: ...

    def runnable_here(self) -> Availability: ...

    def partitioners(self, recipe: Recipe) -> list[Any]: ...

    def rewrite(self, program: ExportedProgram) -> ExportedProgram:
        """The program, with what the backend's kernels want written otherwise."""
        ...

    def quantizer(self, recipe: Recipe, modules: Sequence[str], *, training: bool = False) -> Any:
        """A PT2E quantizer for graphs of the recipe's model.

        Args:
            modules: names of the linears for which rules chose a static scheme. A backend that
                computes in integers throughout may annotate more than these.
            training: fake quantizers that gradients pass, instead of observers.
        """
        ...

    def edge_config(self) -> Any:
        """An ``executorch.exir.EdgeCompileConfig``."""
        ...


@dataclass(frozen=True)
class WheelBackend:
    """A backend that lowers and runs with nothing but the ExecuTorch wheel.

    Attributes:
        module: where the wheel keeps it.
        make_partitioners: recipe -> partitioners, in the order in which they may take nodes.
        make_quantizer: see ``Backend.quantizer``; None where no static scheme is in the table.
        rewriter: "module:function" of ``Backend.rewrite``; empty changes nothing.
    """

    name: str
    capabilities: Capabilities
    module: str
    make_partitioners: Callable[[Recipe], list[Any]]
    make_quantizer: Callable[[Recipe, Sequence[str], bool], Any] | None = None
    rewriter: str = ""

    def availability(self) -> Availability:
        return importable(self.module, "pip install executorch")

    def runnable_here(self) -> Availability:
        return self.availability()

    def partitioners(self, recipe: Recipe) -> list[Any]:
        return self.make_partitioners(recipe)

    def rewrite(self, program: ExportedProgram) -> ExportedProgram:
        if not self.rewriter:
            return program
        module, _, function = self.rewriter.partition(":")
        return getattr(import_module(module), function)(program)  # type: ignore[no-any-return]

    def quantizer(self, recipe: Recipe, modules: Sequence[str], *, training: bool = False) -> Any:
        assert self.make_quantizer is not None, "the checks refuse static schemes here"
        return self.make_quantizer(recipe, modules, training)

    def edge_config(self) -> Any:
        from executorch.exir import EdgeCompileConfig

        return EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)


def importable(module: str, fix: str) -> Availability:
    """Availability by looking for the module's file; nothing is imported, parents included."""
    top, *rest = module.split(".")
    spec = find_spec(top)
    folders = [Path(p, *rest) for p in (spec.submodule_search_locations or [])] if spec else []
    if any(f.is_dir() or f.with_suffix(".py").is_file() for f in folders):
        return Availability(True)
    return Availability(False, f"'{module}' is not installed", fix)
