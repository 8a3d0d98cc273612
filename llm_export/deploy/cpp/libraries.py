"""Which of the wheel's libraries a program needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BACKENDS: Mapping[str, str] = {
    "XnnpackBackend": "executorch_backend_xnnpack",
    "OpenvinoBackend": "executorch_backend_openvino",
    "CoreMLBackend": "executorch_backend_coreml",
    "MLXBackend": "executorch_backend_mlx",
}
"""Delegate -> library; the wheel of a platform has some of them."""
OPERATORS: Mapping[str, str] = {
    "aten": "executorch_kernels_optimized",
    "dim_order_ops": "executorch_kernels_optimized",
    "quantized_decomposed": "executorch_kernels_quantized",
    "executorch_prim": "executorch",
}
"""Namespace of operators -> library."""


def libraries_of(requires: Mapping[str, Any]) -> Sequence[str]:
    """Names of libraries, without lib and .so, for a manifest's ``requires``."""
    namespaces = {name.split("::")[0] for name in requires["operators"]}
    # Delegates call the kernels' thread pool; chat counts on both.
    found = ["executorch", "executorch_kernels_optimized", "executorch_threadpool"]
    found += [OPERATORS[name] for name in sorted(namespaces & OPERATORS.keys())]
    found += [BACKENDS[name] for name in requires["backends"] if name in BACKENDS]
    return list(dict.fromkeys(found))
