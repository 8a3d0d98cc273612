"""Programs with components that few families have: the logits on disk are those of transformers."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
from family_models import MEMBERS, settings
from parity_tools import BAR, program_error


@pytest.mark.parametrize(
    "family",
    [
        # Factors on queries, in a context of several steps.
        pytest.param("ministral3", marks=pytest.mark.release),
        # Norms within the sublayers and a squared ReLU as the gate; norms after RoPE.
        pytest.param("bitnet", marks=pytest.mark.release),
        pytest.param("hunyuan_v1_dense", marks=pytest.mark.release),
    ],
)
def test_a_program_agrees_with_transformers(family: str, tmp_path: Path) -> None:
    reference = hf_models.build(family, **settings(family, next(iter(MEMBERS[family]))))
    folder = hf_models.save(reference, tmp_path / "m")
    assert program_error(reference, folder, tmp_path / "out") < BAR
