"""What released versions of ExecuTorch run, and whether that is enough for a program."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llm_export import api
from llm_export.bundle.compatibility import runs_on
from llm_export.bundle.manifest import Requirements
from llm_export.bundle.releases import known_versions, release_of
from llm_export.cli.main import main
from llm_export.errors import InputError
from llm_export.versions import package_versions
from runtime_py.program_file import load_operators

OPERATOR, FUSED = "aten::add.out", "llama::gated_delta_rule.out"


@pytest.mark.skipif(sys.platform != "linux", reason="the registry is that of the Linux wheel")
def test_the_names_in_the_libraries_are_what_the_runtime_registers() -> None:
    from executorch.runtime import Runtime

    load_operators()
    runtime, release = Runtime.get(), release_of(package_versions()["executorch"])
    assert release.operators["linux"] == set(runtime.operator_registry.operator_names)
    assert release.backends["linux"] == set(runtime.backend_registry.registered_backend_names)


def test_versions_and_what_is_nearest() -> None:
    known = [str(version) for version in known_versions()]
    assert known[:2] == ["1.0.0", "1.0.1"]
    assert "1.5.1" in known
    assert str(release_of("1.4").version) == "1.4.1"
    with pytest.raises(InputError) as caught:
        release_of("1.3.0")
    assert "the nearest known: 1.2.0 and 1.3.1" in str(caught.value)
    assert "docs_tools/executorch_release.py 1.3.0" in str(caught.value)
    with pytest.raises(InputError, match=r"nothing is known .* 0\.7\.0 runs; .* known: 1\.0\.0"):
        release_of("0.7.0")
    with pytest.raises(InputError, match="'latest' is no version of ExecuTorch"):
        release_of("latest")


@pytest.mark.parametrize(
    ("version", "backends", "operators", "failed"),
    [
        ("1.5", ["XnnpackBackend", "VulkanBackend"], [OPERATOR, FUSED], {}),
        ("1.5", [], ["cortex_m::quantized_add.out", "torchao::_embedding_4bit.out"], {}),
        ("1.4", [], [OPERATOR, FUSED], {f"operator {FUSED}": "not in this release"}),
        ("1.0", ["MLXBackend"], [], {"backend MLXBackend": "not in ExecuTorch 1.0.1"}),
        ("1.0", [], ["aten::add.other"], {
            "operator aten::add.other":
                "not in this release, which has aten::add.Scalar_out, aten::add.out"}),
    ],
)  # fmt: skip
def test_operators_and_backends(
    version: str, backends: list[str], operators: list[str], failed: dict[str, str]
) -> None:
    requires = Requirements("1.5.1", tuple(backends), tuple(operators))
    rows = list(runs_on(release_of(version), requires, None))
    assert {what: found for what, good, found in rows if not good} == failed


def test_what_the_file_holds(quantized_bundle: Path, tmp_path: Path) -> None:
    program, requires = quantized_bundle / "model.pte", Requirements("1.5.1", (), ())
    oldest = release_of("1.0.0")

    def failed(release: object) -> dict[str, str]:
        rows = list(runs_on(release, requires, program))  # type: ignore[arg-type]
        return {what: found for what, good, found in rows if not good}

    assert failed(oldest) == {}
    xnnpack = "delegates of XnnpackBackend"
    assert failed(replace(oldest, identifier="ET11")) == {
        "program schema": "ET12, this release reads ET11"
    }
    fewer = {**oldest.fields, "ExecutionPlan": 8}
    assert failed(replace(oldest, fields=fewer)) == {
        "program schema": "ET12, with fields of ExecutionPlan of a later version"
    }
    assert failed(replace(oldest, xnnpack_identifiers=frozenset({"XN00"}))) == {
        xnnpack: "of format XN01, this release reads XN00"
    }
    found = failed(replace(oldest, xnnpack_nodes=oldest.xnnpack_nodes[:1]))[xnnpack]
    assert "operation XNNFullyConnected" in found
    found = failed(replace(oldest, xnnpack_datatypes=oldest.xnnpack_datatypes[:2]))[xnnpack]
    assert found == "use data type 6, data type 9 of a later version"
    program = tmp_path / "model.pte"
    program.write_bytes((quantized_bundle / "model.pte").read_bytes()[:200])
    assert failed(oldest)["model.pte"].startswith("cannot be read: ")


def test_verify_for_a_release(
    portable_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = Path(shutil.copytree(portable_bundle, tmp_path / "bundle"))
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["requires"]["operators"].append(FUSED)
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert all(check.good for check in api.verify(bundle, executorch="1.5.1"))
    assert main(["verify", str(bundle), "--executorch", "1.4.1", "-q"]) == 2
    assert f"FAILED  operator {FUSED}  not in this release" in capsys.readouterr().out
