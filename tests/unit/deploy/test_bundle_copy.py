"""A part of a bundle is a bundle of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from llm_export.deploy.bundle_copy import EVIDENCE, copy_of
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError


def test_files_are_left_out_and_renamed(quantized_bundle: Path, tmp_path: Path) -> None:
    bundle = Bundle.open(quantized_bundle)
    taken = copy_of(bundle, without=EVIDENCE, renamed={"program": "programs/other.pte"})
    for name, file in taken.copies.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(file)
    (tmp_path / "manifest.json").write_text(str(taken.files()["manifest.json"]))
    opened = Bundle.open(tmp_path, verify_hashes=True)
    assert opened.file("program") == tmp_path / "programs/other.pte"
    assert {*opened.manifest["roles"]} == {*bundle.manifest["roles"]} - EVIDENCE
    assert "report.md" in bundle.manifest["files"]
    assert "model.pte" in bundle.manifest["files"]
    assert not {"report.md", "model.pte"} & {*opened.manifest["files"]}


def test_what_is_left_must_be_a_bundle(quantized_bundle: Path) -> None:
    with pytest.raises(BundleRuntimeError, match="the manifest is not valid"):
        copy_of(Bundle.open(quantized_bundle), without={"program"})
