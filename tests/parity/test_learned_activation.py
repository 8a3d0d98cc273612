"""A program whose layers each have an activation of their own."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
import torch
from family_models import settings
from parity_tools import BAR, lowering_of, program_at, recipe_for, relative_error, sample_ids

LAYERS = 6  # enough for layers to be lowered once and reused


@pytest.mark.release  # of one family, which agrees eagerly in test_families.py
def test_xielu_is_delegated_with_the_numbers_of_its_layer(tmp_path: Path) -> None:
    sizes = {**settings("apertus", "llama3 scaling"), "num_hidden_layers": LAYERS}
    reference = hf_models.build("apertus", **sizes)
    ids = sample_ids(20)
    with torch.no_grad():
        expected = reference(torch.tensor([ids])).logits[0]
    recipe = recipe_for(
        hf_models.save(reference, tmp_path / "m"), "backend=xnnpack",
        "runtime.context_length=64", "runtime.prefill_length=32",
    )  # fmt: skip
    lowered, facts = lowering_of(recipe, tmp_path / "out")
    program = program_at(lowered.program_file, recipe)
    rows = [program.prefill(ids[:7])] + [program.step([i])[0, -1] for i in ids[7:]]
    assert relative_error(torch.stack(rows), expected[6:]) < BAR
    assert facts["layers"]["lowered"] < LAYERS, facts["layers"]
    outside = facts["delegation"]["outside"]
    assert not [name for name in outside if "exp" in name.split(".")[1].split("_")]
    assert "aten.clamp" not in outside
