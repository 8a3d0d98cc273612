"""Compare two bundles, or saved results of their runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llm_export.api.bundles import runtime_errors
from llm_export.errors import RecipeError

if TYPE_CHECKING:
    from llm_export.compare.figure import Quantity
    from llm_export.compare.result import CompareResult


def compare(
    base: str | Path,
    new: str | Path,
    *,
    fail_if: str | Sequence[str] = (),
    fail_on_regression: bool = False,
    allow_missing: bool = False,
    measure: bool = False,
    rounds: int | None = None,
    threads: int | None = None,
    prompt_length: int | None = None,
    decode_length: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> CompareResult:
    """Compare two bundles: speed, memory, size, quality, recipe, versions and machine, and which
    differences are more than chance.

    Args:
        base, new: A and B: a bundle's folder, a folder with run.json or benchmark.json, or one of
            these files.
        fail_if: one or more conditions such as ``decode.median < 0.95 * base``; see
            ``llm_export.compare.expression``.
        fail_on_regression: the rules of ``llm_export.compare.rules`` count as conditions too.
        allow_missing: a condition on what was not measured, or that cannot be decided, does not
            fail.
        measure: measure both anew, in turns, instead of reading their benchmarks.
        rounds: of two turns each; None is 6.
        threads, prompt_length, decode_length: of the measurement; None: the usual ones.
        progress: called with (turns done, all turns).

    Raises:
        RecipeError: a condition cannot be read or names what there is not, or ``rounds`` is wrong.
        BundleError: one is neither a bundle nor results of a run, is damaged, or cannot be
            measured here; or the lengths do not fit both contexts.
    """
    from llm_export.compare.comparison import compare_sides
    from llm_export.compare.in_turns import ROUNDS, measured_in_turns
    from llm_export.compare.result import judged
    from llm_export.compare.side import read_side

    if isinstance(fail_if, str):
        fail_if = [fail_if]
    first, second = read_side(base), read_side(new)
    found = compare_sides(first, second)
    # A mistake in a condition is told before minutes of measuring.
    result = judged(
        found, fail_if, allow_missing=allow_missing, fail_on_regression=fail_on_regression
    )
    if not measure:
        return result
    count = ROUNDS if rounds is None else rounds
    if type(count) is not int or not 2 <= count <= 1000:
        raise RecipeError(
            f"a comparison in turns takes 2 to 1000 rounds, not {count!r}", where="--rounds",
            fix=f"--rounds {ROUNDS}",
        )  # fmt: skip
    with runtime_errors():
        first, second = measured_in_turns(
            first, second, rounds=count, threads=threads, prompt_length=prompt_length,
            decode_length=decode_length, progress=progress,
        )  # fmt: skip
    return judged(
        compare_sides(first, second), fail_if, allow_missing=allow_missing,
        fail_on_regression=fail_on_regression,
    )  # fmt: skip


def quantities(*sides: str | Path) -> dict[str, Quantity]:
    """Name -> quantity, of all that ``compare`` knows, and of those of the given bundles.

    Raises:
        BundleError: one is neither a bundle nor results of a run.
    """
    from llm_export.compare.quantities import figures_of, known_quantities
    from llm_export.compare.side import read_side

    found = known_quantities()
    for side in sides:
        figures = figures_of(read_side(side))
        found |= {name: figure.quantity for name, figure in figures.items()}
    return found
