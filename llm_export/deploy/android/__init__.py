"""A chat app for Android: Kotlin, Compose, and ExecuTorch's AAR."""

from llm_export.deploy.android.project import BACKENDS, OPTIONS, make
from llm_export.deploy.base import DeployTarget
from llm_export.deploy.mobile.obstacles import obstacles

TARGET = DeployTarget(
    description="a chat app for Android (Gradle, Kotlin, Compose)",
    make=make,
    backends=frozenset(BACKENDS),
    # The AAR's library has them all: portable, optimized, quantized and llama's custom kernels.
    operators=frozenset(("aten", "dim_order_ops", "quantized_decomposed", "llama", "executorch_prim")),
    options=OPTIONS,
    obstacles=obstacles,
)
