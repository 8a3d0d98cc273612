"""Programs with components that few families have: the logits on disk are those of transformers."""

from __future__ import annotations

from pathlib import Path

import hf_models
import pytest
from family_models import MEMBERS, settings
from parity_tools import BAR, program_error


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [
        "bitnet",  # norms within the sublayers, a squared ReLU as the gate
        "hunyuan_v1_dense",  # norms after RoPE
        "ministral3",  # factors on queries, in a context of several steps
    ],
)
def test_a_program_agrees_with_transformers(family: str, tmp_path: Path) -> None:
    reference = hf_models.build(family, **settings(family, next(iter(MEMBERS[family]))))
    folder = hf_models.save(reference, tmp_path / "m")
    assert program_error(reference, folder, tmp_path / "out") < BAR
