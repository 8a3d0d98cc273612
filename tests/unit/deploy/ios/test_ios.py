"""The iOS project: every file is what its name says, and Xcode's project names them all."""

from __future__ import annotations

import plistlib
from pathlib import Path
from typing import Any

from syntax_tools import mistakes

from llm_export import api
from llm_export.deploy.base import Settings
from llm_export.deploy.ios import TARGET
from runtime_py.bundle import Bundle


def _objects(project: bytes) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    read = plistlib.loads(project)
    kinds: dict[str, list[dict[str, Any]]] = {}
    for each in read["objects"].values():
        kinds.setdefault(each["isa"], []).append(each)
    return read, kinds


def _references(value: Any, known: set[str]) -> set[str]:
    if isinstance(value, str):
        return {value} & known
    parts = value.values() if isinstance(value, dict) else value
    return set().union(*(_references(part, known) for part in parts))


def test_the_project_parses_and_has_the_bundle(quantized_bundle: Path, tmp_path: Path) -> None:
    done = api.deploy(
        quantized_bundle, "ios", tmp_path / "app", name="Talk",
        options={"identifier": "org.acme.Talk-1", "system": 'Be "\\(kind)".'},
    )  # fmt: skip
    swift = sorted(p.relative_to(done.folder).as_posix() for p in done.folder.rglob("*.swift"))
    assert len(swift) == 12
    assert {name: mistakes("swift", (done.folder / name).read_text()) for name in swift} == {
        name: [] for name in swift
    }
    read, kinds = _objects((done.folder / "Talk.xcodeproj/project.pbxproj").read_bytes())
    files = {file["path"]: file for file in kinds["PBXFileReference"]}
    assert sorted(path for path in files if path.endswith(".swift")) == swift
    # Every object but the project is referred to, and every reference has its object.
    known = set(read["objects"])
    assert _references(read["objects"], known) == known - {read["rootObject"]}
    phases = {
        name: kinds[f"PBX{name}BuildPhase"][0]["files"]
        for name in ("Sources", "Resources", "Frameworks")
    }
    assert [len(files) for files in phases.values()] == [len(swift), 1, 6]
    for name in ("model.pte", "tokenizer.json"):
        copy = done.folder / "Model" / name
        assert copy.read_bytes() == (quantized_bundle / name).read_bytes()
    assert files["Model"]["lastKnownFileType"] == "folder"


def test_it_links_what_the_program_needs(quantized_bundle: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    requires = {**bundle.manifest["requires"], "backends": ["CoreMLBackend"]}
    coreml = Bundle(bundle.path, {**bundle.manifest, "requires": requires, "name": '\\(x) "'})
    project = TARGET.make([coreml], Settings("App", {"url": "https://example.com/m"}))
    content = project.files["App.xcodeproj/project.pbxproj"]
    assert isinstance(content, bytes)
    _, kinds = _objects(content)
    products = {each["productName"] for each in kinds["XCSwiftPackageProductDependency"]}
    assert products == {
        "executorch", "executorch_llm", "kernels_llm", "kernels_optimized", "kernels_quantized",
        "backend_coreml",
    }  # fmt: skip
    (package,) = kinds["XCRemoteSwiftPackageReference"]
    version = requires["executorch"]
    assert package["requirement"] == {"kind": "branch", "branch": f"swiftpm-{version}"}
    settings = [c["buildSettings"] for c in kinds["XCBuildConfiguration"]]
    assert all("-all_load" in s["OTHER_LDFLAGS"] for s in settings if "OTHER_LDFLAGS" in s)
    assert {s.get("PRODUCT_BUNDLE_IDENTIFIER") for s in settings} == {None, "com.example.app"}
    assert project.copies == {}
    assert "Model" not in {file["path"] for file in kinds["PBXFileReference"]}
    facts = str(project.files["App/Logic/BundleFacts.swift"])
    assert mistakes("swift", facts) == []
    assert 'static let model = "\\\\(x) \\""' in facts
