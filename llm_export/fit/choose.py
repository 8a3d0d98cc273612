"""Choose among options whose memory is predicted. Pure: no recipe is composed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from llm_export.errors import RecipeError
from llm_export.fit.evidence import Expected
from llm_export.predict.device_memory import DeviceMemory


def megabytes(count: float) -> str:
    """10^6 bytes, as in all tables, so exact that a bound and what exceeds it differ."""
    return f"{count / 1e6:,.1f}" if count < 10e6 else f"{count / 1e6:,.0f}"


@dataclass(frozen=True)
class Fitting:
    """A quant option with a KV cache and a context, and what is expected of it.

    Attributes:
        overrides: that make it of the recipe.
        cache: the KV cache in words.
    """

    quant: str
    cache: str
    context: int
    memory: DeviceMemory
    expected: Expected
    overrides: tuple[str, ...]

    @property
    def scheme(self) -> tuple[str, str]:
        """All of it but the context."""
        return self.quant, self.cache

    def as_dict(self) -> dict[str, object]:
        return {
            "quant": self.quant, "cache": self.cache, "context": self.context,
            "bytes": self.memory.as_dict(), "mean_kl": self.expected.mean_kl,
            "mean_kl_source": self.expected.source, "overrides": list(self.overrides),
        }  # fmt: skip


def choose(rows: Sequence[Fitting], bound: int, wanted: int, *, extend: bool) -> Fitting:
    """The first row that fits with the wanted context; its longest context if that may ``extend``.

    Args:
        rows: best quality first.
        bound: bytes.

    Raises:
        RecipeError: nothing fits; the message has the nearest thing that does, or would.
    """
    fitting = [row for row in rows if row.memory.whole <= bound]
    best = next((row for row in fitting if row.context == wanted), None)
    if best is None:
        raise _nothing(rows, fitting, wanted, bound)
    if not extend:
        return best
    return max((r for r in fitting if r.scheme == best.scheme), key=lambda r: r.context)


def _nothing(
    rows: Sequence[Fitting], fitting: Sequence[Fitting], wanted: int, bound: int
) -> RecipeError:
    least = min((r for r in rows if r.context == wanted), key=lambda r: r.memory.whole)
    needed = f"{megabytes(least.memory.whole)} MB"
    fix = f"a device on which a program may take {needed}, or a smaller model"
    if fitting:
        near = max(fitting, key=lambda row: (row.context, -row.expected.mean_kl))
        fix = (
            f"--context {near.context}, which fits with quant={near.quant} and a KV cache in "
            f"{near.cache}; or {fix}"
        )
    return RecipeError(
        f"nothing fits {megabytes(bound)} MB with a context of {wanted} tokens: the smallest is "
        f"quant={least.quant} with a KV cache in {least.cache}, and it needs {needed}",
        where="--device-memory", fix=fix,
    )  # fmt: skip
