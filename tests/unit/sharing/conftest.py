"""A library of recipes and a bundle of each test's own."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from llm_export import api
from llm_export.bundle.lock import lock_yaml
from llm_export.config.recipe_files import recipe_yaml
from llm_export.pipeline.record import RunRecord, StageRecord
from runtime_py.bundle import check_manifest


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "llm_export" / "recipes"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle as the report stage leaves it, around a program of a few bytes."""
    folder = tmp_path / "made" / "bundle"
    folder.mkdir(parents=True)
    recipe = api.compose_recipe(None, ["model=tiny", "quant=8da4w", "backend=xnnpack"]).recipe
    record = RunRecord(folder / "run.json", recipe, {"model": "tiny"}, [f"out={folder}"])
    record.stages.append(StageRecord("load", "done", 1.0))
    record.write()
    proof = {
        "verified": True, "positions": 1000,
        "comparisons": {k: {"mean_kl": 0.0123, "top1_agreement": 0.9} for k in
                        ("lowering", "quality")},
    }  # fmt: skip
    texts = {
        "model.pte": "program", "tokenizer.json": "{}", "report.md": "# report\n",
        # A path in the code that is in every page tells nothing of this machine.
        "report.html": "<script>const path = '/home/ada/d3'</script><p>good",
        "recipe.yaml": recipe_yaml(recipe), "parity.json": json.dumps(proof),
    }  # fmt: skip
    digest = hashlib.sha256(b"program").hexdigest()
    provenance = replace(record.provenance, overrides=["model=tiny", f"verify.text={folder}/t.txt"])
    texts["recipe.lock.yaml"] = lock_yaml(recipe, provenance, {}, {"model.pte": digest})
    for name, text in texts.items():
        (folder / name).write_text(text)
    manifest = {
        "format": 1, "name": "mine", "created": "2026-01-01", "producer": {},
        "model": {"name": "tiny", "family": "llama", "checkpoint": "x", "parameters": 1},
        "program": {"methods": ["forward"], "context_length": 8, "prefill_length": 4,
                    "dynamic_shapes": True, "kv_cache": True, "vocab_size": 9, "logits": "last"},
        "tokenizer": {"bos_id": None, "eos_ids": [], "add_bos": False, "special_tokens": {}},
        "sampling": {"temperature": 0, "top_k": 0, "top_p": 1, "max_new_tokens": 1},
        "requires": {"executorch": "1.5.1", "backends": ["XnnpackBackend"],
                     "operators": ["aten::add.out"]},
        "proof": proof,
        "roles": {"program": "model.pte", "tokenizer": "tokenizer.json"},
        "files": {n: {"bytes": len(t.encode()), "sha256": hashlib.sha256(t.encode()).hexdigest()}
                  for n, t in texts.items()},
    }  # fmt: skip
    check_manifest(manifest, "manifest")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
