"""Which models have projections to fuse."""

from __future__ import annotations

import pytest
from family_models import settings

from llm_export.models.build import build_on_meta
from llm_export.models.families import FAMILIES
from llm_export.transforms import fuse_projections


@pytest.mark.parametrize(("family", "variant", "fuses"), [
    ("mamba2", "groups", False), ("nemotron_h", "one sublayer each", True),
])  # fmt: skip
def test_a_model_of_mixers_alone_has_none(family: str, variant: str, fuses: bool) -> None:
    config = FAMILIES.get(family).read(settings(family, variant))
    steps = fuse_projections.steps(build_on_meta(config, 64, "plain", False))
    assert [step.name for step in steps] == ["fuse_projections"] * fuses
