"""What is relied on of ExecuTorch's backends of vendors. Their SDKs need not be there."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import executorch.exir

from llm_export.compat.vendor_backends import MLX_SERIALIZERS, qnn_passes, set_neuropilot_training

PACKAGE = Path(executorch.exir.__file__).parent.parent


def test_the_module_that_mlx_generates() -> None:
    parts = MLX_SERIALIZERS.split(".")[1:]
    generator = PACKAGE.joinpath(*parts[:-1], "generate.py").read_text(encoding="utf-8")
    assert f"{parts[-1]}.py" in generator


def test_the_passes_of_qualcomm() -> None:
    """They need no SDK, only their use of the compiler does."""
    passes = qnn_passes()
    assert next(iter(signature(passes.transform_for_export_pipeline).parameters)) == (
        "exported_program"
    )
    taken = list(signature(passes.get_to_edge_transform_passes).parameters)
    assert taken[0] == "exported_program"
    assert "compiler_specs" in taken


def test_the_switch_of_neuropilot() -> None:
    source = PACKAGE / "backends/mediatek/quantizer/quantizer.py"
    assert "self._is_qat = " in source.read_text(encoding="utf-8")
    quantizer = SimpleNamespace(_is_qat=False)
    set_neuropilot_training(quantizer, True)
    assert quantizer._is_qat
