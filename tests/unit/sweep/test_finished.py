"""Which bundles a resumed sweep takes as they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from llm_export import api
from llm_export.sweep.finished import is_finished


@pytest.mark.parametrize("stage", ["benchmark", "report"])
def test_a_variant_without_its_evidence_is_not_finished(
    stage: str, portable_bundle: Path, tmp_path: Path
) -> None:
    bundle = shutil.copytree(portable_bundle, tmp_path / "bundle")
    recipe = api.compose_recipe(str(bundle / "recipe.yaml")).recipe
    assert is_finished(bundle, recipe)
    record = json.loads((bundle / "run.json").read_text())
    next(s for s in record["stages"] if s["name"] == stage)["state"] = "failed"
    (bundle / "run.json").write_text(json.dumps(record))
    assert not is_finished(bundle, recipe)
