"""A chat app for iOS: Swift, SwiftUI, and ExecuTorch's Swift package."""

from llm_export.deploy.base import DeployTarget
from llm_export.deploy.ios.project import BACKENDS, OPTIONS, make
from llm_export.deploy.mobile.obstacles import obstacles

TARGET = DeployTarget(
    description="a chat app for iOS (Xcode, Swift, SwiftUI)",
    make=make,
    backends=frozenset(BACKENDS),
    operators=frozenset(("aten", "dim_order_ops", "quantized_decomposed", "llama", "executorch_prim")),
    options=OPTIONS,
    obstacles=obstacles,
)
