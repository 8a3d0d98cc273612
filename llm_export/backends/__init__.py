"""Backends, by name. Importing this package imports neither torch nor ExecuTorch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from llm_export.config.schema import Recipe
from llm_export.quant.schemes import TABLES
from llm_export.registry import Registry
from runtime_py.processor_table import obstacle_to_threads

if TYPE_CHECKING:
    from llm_export.backends.base import Backend

BACKENDS: Registry[Backend] = Registry("backend", needs=("capabilities", "options", "partitioners"))


def register_backend(name: str, module: str, origin: str = "llm_export") -> None:
    """Add a module that defines ``BACKEND`` and its ``SUPPORT`` table of quantization schemes."""
    BACKENDS.register(name, f"{module}:BACKEND", origin)
    TABLES.register(name, f"{module}:SUPPORT", origin)


def chain_of(recipe: Recipe) -> tuple[Backend, ...]:
    """The recipe's backends, in the order in which their partitioners run.

    Raises:
        RecipeError: there is no such backend.
    """
    return tuple(BACKENDS.get(name) for name in (recipe.backend.name, *recipe.backend.fallbacks))


def method_chains(recipe: Recipe) -> dict[str, tuple[Backend, ...]]:
    """Method -> its backends, of ``backend.methods``.

    Raises:
        RecipeError: there is no such backend.
    """
    return {
        method: tuple(BACKENDS.get(name) for name in chain.split("+"))
        for method, chain in recipe.backend.methods.items()
    }


def obstacle_to_running(backends: Iterable[Backend]) -> str:
    """Why a program of these backends cannot run on this machine; empty if it can."""
    states = (backend.runnable_here() for backend in backends)
    reason = next((state.reason for state in states if not state.ok), "")
    return reason or obstacle_to_threads()


register_backend("portable", "llm_export.backends.portable")
register_backend("xnnpack", "llm_export.backends.xnnpack")
register_backend("openvino", "llm_export.backends.openvino")
register_backend("coreml", "llm_export.backends.coreml")
register_backend("vulkan", "llm_export.backends.vulkan")
register_backend("webgpu", "llm_export.backends.webgpu")
register_backend("mlx", "llm_export.backends.mlx")
register_backend("tosa", "llm_export.backends.tosa")
register_backend("ethos_u", "llm_export.backends.ethos_u")
register_backend("vgf", "llm_export.backends.vgf")
register_backend("cortex_m", "llm_export.backends.cortex_m")
register_backend("coreai", "llm_export.backends.coreai")


# need an SDK, a GPU or macOS
register_backend("qnn", "llm_export.backends.qnn")
register_backend("mediatek", "llm_export.backends.mediatek")
register_backend("samsung", "llm_export.backends.samsung")
register_backend("nxp", "llm_export.backends.nxp")
register_backend("cadence", "llm_export.backends.cadence")
register_backend("cuda", "llm_export.backends.cuda")
register_backend("metal", "llm_export.backends.metal")

BACKENDS.take_from_plugins("backends")
TABLES.take_from_plugins("backends", attribute="SUPPORT")
