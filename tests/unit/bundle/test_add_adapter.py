"""An adapter that cannot be added leaves the bundle as it was."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from llm_export.bundle import add_adapter


def test_a_failure_before_the_manifest_leaves_no_file(
    portable_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = Path(shutil.copytree(portable_bundle, tmp_path / "bundle"))
    before = {path: path.read_bytes() for path in bundle.rglob("*")}

    def half(bundle: Path, resolved: Any, folder: Path, name: str | None) -> str:
        (bundle / "adapters" / "poet").mkdir(parents=True)
        (bundle / "adapters" / "poet.ptd").write_bytes(b"weights")
        (bundle / "adapters" / "poet" / "tokenizer.json").write_text("{}")
        raise OSError(28, "no space is left")

    monkeypatch.setattr(add_adapter, "_adapt", half)
    resolved: Any = None  # not looked at before
    with pytest.raises(OSError, match="no space"):
        add_adapter.adapt(bundle, resolved, tmp_path / "poet")
    assert {path: path.read_bytes() for path in bundle.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
