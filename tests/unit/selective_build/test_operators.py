"""What ExecuTorch's selective build takes of a bundle."""

from __future__ import annotations

from pathlib import Path

import pytest
from executorch.codegen.tools.gen_selected_op_variants import write_selected_op_variants
from torchgen.selective_build.selector import SelectiveBuilder

from llm_export.bundle.roles import ROLES
from llm_export.errors import BundleError
from llm_export.selective_build.operators import operators_list, selected_operators
from runtime_py.bundle import Bundle

FILE = ROLES["selected_operators"]
FLOAT, LONG = 6, 4
"""dtypes of ``runtime/core/portable_type/scalar_type.h``"""


@pytest.fixture(scope="module", params=["portable_bundle", "quantized_bundle"])
def bundle(request: pytest.FixtureRequest) -> Bundle:
    return Bundle.open(request.getfixturevalue(request.param))


def test_executorch_selects_the_operators_of_the_manifest(bundle: Bundle) -> None:
    file = bundle.file("selected_operators")
    assert file is not None
    builder = SelectiveBuilder.from_yaml_path(str(file))
    needed = bundle.manifest["requires"]["operators"]
    assert sorted(builder.operators) == sorted(needed)
    assert sorted(builder.et_kernel_metadata) == sorted(needed)
    assert not builder.include_all_operators
    for name in needed:
        assert builder.is_root_operator(name)
    assert not builder.is_root_operator("aten::cumsum.out")
    keys = builder.et_kernel_metadata["aten::index.Tensor_out"]
    assert all(key.startswith("v1/") and key.count(";") >= 3 for key in keys)


def test_it_keeps_the_types_that_the_program_uses(bundle: Bundle, tmp_path: Path) -> None:
    file = bundle.file("selected_operators")
    assert file is not None
    write_selected_op_variants(str(file), str(tmp_path))
    header = (tmp_path / "selected_op_variants.h").read_text()
    own = header[header.index('"index.Tensor_out"') :].partition("\n ||")[0]
    assert "ScalarType::Float" in own
    assert "ScalarType::Long" in own
    assert "ScalarType::Double" not in own


def test_its_head_names_what_cmake_takes(bundle: Bundle) -> None:
    file = bundle.file("selected_operators")
    assert file is not None
    text = file.read_text()
    names = ",".join(sorted(bundle.manifest["requires"]["operators"]))
    assert f"-DEXECUTORCH_SELECT_OPS_LIST={names}\n" in text
    assert str(bundle.path) not in text
    program = bundle.file("program")
    assert program is not None
    assert selected_operators(program) == text


def test_an_app_with_several_programs_has_the_operators_of_each(
    portable_bundle: Path, quantized_bundle: Path, tmp_path: Path
) -> None:
    both = [portable_bundle, quantized_bundle]
    needed = {o for b in both for o in Bundle.open(b).manifest["requires"]["operators"]}
    assert operators_list([b / FILE for b in both]).split(",") == sorted(needed)
    (tmp_path / FILE).write_text("operators: [")
    with pytest.raises(BundleError, match="the operators cannot be read"):
        operators_list([tmp_path / FILE])
