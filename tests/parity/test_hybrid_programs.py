"""Programs of models with Mamba-2 mixers: prefill, then token by token through the states."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
from family_models import settings
from parity_tools import BAR, program_error


@pytest.mark.parametrize(
    ("family", "variant", "backend"),
    [
        pytest.param("falcon_h1", "multipliers", "xnnpack", marks=pytest.mark.slow),
        pytest.param("mamba2", "groups", "xnnpack", marks=pytest.mark.release),
        pytest.param("granitemoehybrid", "experts, rope, groups", "xnnpack",
                     marks=pytest.mark.release),
        pytest.param("nemotron_h", "one sublayer each", "portable", marks=pytest.mark.release),
    ],
)  # fmt: skip
def test_a_program_with_mixers(family: str, variant: str, backend: str, tmp_path: Path) -> None:
    sizes = settings(family, variant)
    if family == "falcon_h1":  # each layer has both
        sizes = {**sizes, "num_hidden_layers": 1}
    reference = hf_models.build(family, **sizes)
    folder = hf_models.save(reference, tmp_path / "m")
    assert program_error(reference, folder, tmp_path / "out", backend) < BAR
