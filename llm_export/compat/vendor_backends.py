"""What ExecuTorch's backends of vendors have no public name for. Written for executorch 1.5."""

from __future__ import annotations

from typing import Any

MLX_SERIALIZERS = "executorch.backends.mlx.serialization._generated_serializers"
"""The module that the generator of the MLX backend writes; the wheel for Linux lacks it."""


def qnn_passes() -> Any:
    """Qualcomm's pass manager for the Hexagon NPU, which its ``export_llama`` calls too."""
    from executorch.backends.qualcomm._passes.qnn_pass_manager import get_qnn_pass_manager_cls
    from executorch.backends.qualcomm.serialization.qc_schema import QnnExecuTorchBackendType

    return get_qnn_pass_manager_cls(QnnExecuTorchBackendType.kHtpBackend)()


def set_neuropilot_training(quantizer: Any, training: bool) -> None:
    """Let MediaTek's quantizer insert fake quantizers that can be trained; it has no setter."""
    quantizer._is_qat = training
