"""A tied flag beside an output head of its own, under the names that families have."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
from family_models import MEMBERS, settings

from llm_export.checkpoints.safetensors import LAYOUT
from llm_export.checkpoints.shards import ShardedCheckpoint


@pytest.mark.parametrize("family", ["llama", "nemotron_h", "mamba2"])
def test_a_head_that_differs_is_not_tied(family: str, tmp_path: Path) -> None:
    """transformers never ties Nemotron-H's, whatever its config says."""
    config = settings(family, next(iter(MEMBERS[family])))
    model = hf_models.build(family, **{**config, "tie_word_embeddings": False})
    model.config.tie_word_embeddings = True
    checkpoint = ShardedCheckpoint(LAYOUT, hf_models.save(model, tmp_path / "m"))
    assert checkpoint.config()["tie_word_embeddings"] is False
    assert any("not tied" in line for line in checkpoint.remarks())
