"""Backends that need an SDK: what they say without it, and as much as runs without it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from llm_export import api
from llm_export.backends import BACKENDS, mediatek, nxp, qnn, samsung
from llm_export.backends.one_scheme import static_scheme
from llm_export.cli.main import main
from llm_export.config.schema import Recipe
from llm_export.errors import RecipeError
from llm_export.resolve.recipe import resolve

NEED_MORE = ("qnn", "mediatek", "samsung", "nxp", "cuda", "metal")


def recipe_of(*overrides: str) -> Recipe:
    return api.compose_recipe(None, ["model=tiny", *overrides]).recipe


def constant(module: str, name: str) -> Any:
    """A literal of a module that cannot be imported without its SDK."""
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations
    path = Path(spec.submodule_search_locations[0], *module.split(".")).with_suffix(".py")
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return ast.literal_eval(node.value)
    raise AssertionError(f"{path} has no {name}")


@pytest.mark.parametrize("name", NEED_MORE)
def test_what_lacks_is_exit_3_with_its_fix(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("QNN_SDK_ROOT", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    state = BACKENDS.get(name).availability()
    if state.ok:
        pytest.skip(f"this machine has all that {name} needs")
    assert main(["validate", "smollm2_135m_xnnpack_8da8w", f"backend={name}", "quant=none"]) == 3
    said = capsys.readouterr().err
    assert state.reason in said
    assert f"fix:   {state.fix}" in said
    assert f"where: backend={name}" in said


def test_an_sdk_that_is_there_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QNN_SDK_ROOT", str(tmp_path))
    assert "has no lib/x86_64-linux-clang/libQnnHtp.so" in qnn.BACKEND.availability().reason
    (tmp_path / "lib/x86_64-linux-clang").mkdir(parents=True)
    (tmp_path / "lib/x86_64-linux-clang/libQnnHtp.so").touch()
    assert qnn.BACKEND.availability().ok
    assert not qnn.BACKEND.runnable_here().ok


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (qnn.Options, {"soc_model": "SM9999"}, "SM8650"),
        (mediatek.Options, {"platform": "mt1"}, "mt6989, mt6991, mt6993"),
        (samsung.Options, {"chipset": "E1"}, "E9955, E9965"),
        (nxp.Options, {"target": "imx95"}, "imxrt700"),
    ],
)
def test_a_target_that_is_none_names_the_choices(
    kind: type[Any], values: dict[str, str], words: str
) -> None:
    kind()
    with pytest.raises(ValueError, match=words):
        kind(**values)


def test_targets_are_those_of_executorch() -> None:
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.samsung.serialization.compile_options import SamsungChipset

    assert set(qnn.CHIPSETS) == {chip.name for chip in QcomChipset} - {"UNKNOWN_SM"}
    assert set(samsung.CHIPSETS) == {c.name for c in SamsungChipset} - {"UNDEFINED_CHIP_V"}
    platforms = constant("backends.mediatek.preprocess", "SUPPORTED_PLATFORM_CONFIGS")
    assert set(mediatek.PLATFORMS) == platforms


def test_qualcomms_sdk_is_the_version_that_executorch_asks_for() -> None:
    from executorch.backends.qualcomm.scripts.download_qnn_sdk import QNN_VERSION, QNN_ZIP_URL

    assert qnn._VERSION == QNN_VERSION
    assert qnn._URL == QNN_ZIP_URL


def test_chip_and_precision_reach_qualcomms_partitioner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("executorch.backends.qualcomm.python.PyQnnManagerAdaptor")
    from executorch.backends.qualcomm.partition.utils import generate_qnn_executorch_option
    from executorch.backends.qualcomm.serialization.qc_schema import (
        QcomChipset,
        QnnExecuTorchHtpPrecision,
    )
    from executorch.backends.qualcomm.serialization.qc_schema_serialize import (
        flatbuffer_to_option,
    )

    monkeypatch.setenv("QNN_SDK_ROOT", "")  # it would be downloaded otherwise
    chip = "+backend.options.soc_model=SM8750"
    for quant, precision in (
        ("quant=none", QnnExecuTorchHtpPrecision.kHtpFp16),
        ("quant=8a8w", QnnExecuTorchHtpPrecision.kHtpQuantized),
    ):
        recipe = recipe_of("backend=qnn", chip.lstrip("+"), quant)
        (partitioner,) = qnn.partitioners(resolve(recipe))
        option = generate_qnn_executorch_option(partitioner.compiler_specs_snapshot)
        made = flatbuffer_to_option(option)
        assert made.soc_info.soc_model == QcomChipset.SM8750
        assert made.backend_options.htp_options.precision == precision


def test_quantizers_take_the_recipes_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("executorch.backends.qualcomm.python.PyQnnManagerAdaptor")
    from executorch.backends.qualcomm.quantizer.quantizer import QuantDtype

    monkeypatch.setenv("QNN_SDK_ROOT", "")
    recipe = recipe_of("backend=qnn", "quant.rules=[{kind: linear, scheme: 16a4w}]")
    made = qnn.quantizer(resolve(recipe), ["layers.0"], training=False)
    assert made.default_quant_config.quant_dtype == QuantDtype.use_16a4w
    assert made.soc_info.soc_model.name == "SM8650"
    enn = samsung.quantizer(resolve(recipe), [], training=True)
    assert enn._is_qat


def test_quantizers_find_the_linears_of_an_exported_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that finds none says nothing, and the program would be float."""
    pytest.importorskip("executorch.backends.qualcomm.python.PyQnnManagerAdaptor")
    import torch
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    monkeypatch.setenv("QNN_SDK_ROOT", "")
    model, x = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 8)).eval(), [1, 8]
    for module in (qnn, samsung):
        recipe = recipe_of(f"backend={module.BACKEND.name}", "quant=8a8w")
        graph = torch.export.export(model, (torch.ones(x),)).module(check_guards=False)
        prepared = prepare_pt2e(graph, module.quantizer(resolve(recipe), ["0", "1"], False))
        prepared(torch.ones(x))
        converted = convert_pt2e(prepared)
        targets = [str(node.target) for node in converted.graph.nodes]
        assert sum("dequantize_per_channel" in name for name in targets) >= 2, module
        assert sum(".quantize_per_tensor" in name for name in targets) >= 2, module


def test_the_vendors_passes_come_before_partitioning(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("executorch.backends.qualcomm.python.PyQnnManagerAdaptor")
    import torch

    monkeypatch.setenv("QNN_SDK_ROOT", "")
    program = torch.export.export(torch.nn.Linear(4, 4).eval(), (torch.ones(1, 4),))
    recipe = recipe_of("backend=qnn")
    passes = [
        type(made).__name__ for made in qnn.edge_passes(resolve(recipe), qnn.prepare(program))
    ]
    assert "AnnotateQuantAttrs" in passes
    assert passes[-1] == "ResolveDebugHandle"


def test_one_static_scheme_for_the_graph() -> None:
    assert static_scheme(resolve(recipe_of("backend=qnn"))) is None
    rules = "quant.rules=[{kind: head, scheme: 8a8w}, {kind: linear, scheme: 16a8w}]"
    with pytest.raises(RecipeError, match="8a8w and 16a8w") as caught:
        static_scheme(resolve(recipe_of("backend=qnn", rules)))
    assert caught.value.where == "quant.rules[1]"


def test_aoti_compiles_one_method() -> None:
    from llm_export.backends.aoti import only_method

    assert only_method(resolve(recipe_of("backend=cuda"))) == "forward"
    fixed = ("runtime.dynamic_shapes=false", "runtime.prefill_length=8")
    with pytest.raises(RecipeError, match="one method"):
        only_method(resolve(recipe_of("backend=cuda", *fixed)))
