"""What is relied on of ExecuTorch's backends of vendors. Their SDKs need not be there: sources
are read."""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

import executorch.exir

from llm_export.compat import vendor_backends
from llm_export.compat.vendor_backends import MLX_SERIALIZERS, set_neuropilot_training

PACKAGE = Path(executorch.exir.__file__).parent.parent


def test_the_module_that_mlx_generates() -> None:
    parts = MLX_SERIALIZERS.split(".")[1:]
    generator = PACKAGE.joinpath(*parts[:-1], "generate.py").read_text(encoding="utf-8")
    assert f"{parts[-1]}.py" in generator


def test_the_passes_of_qualcomm() -> None:
    """The module, the function, the kind of backend, and the two methods that are called."""
    folder = PACKAGE / "backends/qualcomm"
    tree = ast.parse((folder / "_passes/qnn_pass_manager.py").read_text(encoding="utf-8"))
    assert "get_qnn_pass_manager_cls" in {
        n.name for n in tree.body if isinstance(n, ast.FunctionDef)
    }
    methods = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    assert {"transform_for_export_pipeline", "get_to_edge_transform_passes"} <= methods
    schema = (folder / "serialization/qc_schema.py").read_text(encoding="utf-8")
    assert "class QnnExecuTorchBackendType" in schema
    assert "kHtpBackend" in schema
    assert callable(vendor_backends.qnn_passes)


def test_the_switch_of_neuropilot() -> None:
    source = PACKAGE / "backends/mediatek/quantizer/quantizer.py"
    assert "self._is_qat = " in source.read_text(encoding="utf-8")
    quantizer = SimpleNamespace(_is_qat=False)
    set_neuropilot_training(quantizer, True)
    assert quantizer._is_qat
