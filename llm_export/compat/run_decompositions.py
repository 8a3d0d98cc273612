"""A patch of ``ExportedProgram.run_decompositions``.

``to_edge_transform_and_lower`` calls it several times for each partitioner and offers no way to
leave a call out. Written for torch 2.13 and executorch 1.5, which calls it with a table alone. The
patch holds only inside the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch.export import ExportedProgram

Plain = Callable[..., ExportedProgram]
Run = Callable[[Plain, ExportedProgram, Mapping[Any, Any]], ExportedProgram]


@contextmanager
def run_decompositions_by(run: Run) -> Iterator[None]:
    """Context in which calls with a table go to ``run(plain, program, table)``, and all others to
    torch.
    """
    plain = ExportedProgram.run_decompositions

    def patched(
        self: ExportedProgram, decomp_table: Any = None, *args: Any, **kwargs: Any
    ) -> ExportedProgram:
        if decomp_table is None or args or kwargs:
            return plain(self, decomp_table, *args, **kwargs)
        return run(plain, self, decomp_table)

    ExportedProgram.run_decompositions = patched  # type: ignore[method-assign]
    try:
        yield
    finally:
        ExportedProgram.run_decompositions = plain  # type: ignore[method-assign]
