"""ExecuTorch's ``EdgeCompileConfig``, two of whose keys are private.

The check of the edge dialect refuses operators of this program's own, and most backends take no
operators with an order of dimensions. ``export_llm`` sets both too. Written for executorch 1.5.
"""

from __future__ import annotations

from typing import Any


def edge_config(*, dim_order: bool) -> Any:
    """A config without edge dialect checks, with or without dim order operators."""
    from executorch.exir import EdgeCompileConfig

    return EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=not dim_order)
