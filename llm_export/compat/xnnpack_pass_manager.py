"""A patch of XNNPACK's pass manager, where its preprocessing looks it up.

Preprocessing makes one for each partition and offers no way to keep what it has made. Written for
executorch 1.5, which calls ``transform`` of it alone. The patch holds only inside the context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Run = Callable[[Any, "ExportedProgram", Any], "ExportedProgram"]


@contextmanager
def xnnpack_passes_by(run: Run) -> Iterator[None]:
    """Context in which preprocessing of a partition calls ``run(plain, program, passes)``, where
    ``plain`` is XNNPACK's own class.
    """
    from executorch.backends.xnnpack import xnnpack_preprocess

    plain = xnnpack_preprocess.XNNPACKPassManager

    class PassManager:
        """Replaces XNNPACKPassManager."""

        def __init__(self, program: ExportedProgram, passes: Any = None) -> None:
            self.program, self.passes = program, passes

        def transform(self) -> ExportedProgram:
            return run(plain, self.program, self.passes)

    xnnpack_preprocess.XNNPACKPassManager = PassManager
    try:
        yield
    finally:
        xnnpack_preprocess.XNNPACKPassManager = plain
