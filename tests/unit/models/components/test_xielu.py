"""The learned activation, against that of transformers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers.activations import XIELUActivation

from llm_export.errors import CheckpointError
from llm_export.models.components.xielu import XIELU
from llm_export.models.config import LEARNED_ACTIVATIONS
from llm_export.models.families import FAMILIES

NAMES = ("alpha_p", "alpha_n", "beta", "eps")
CONFIG: Any = None  # which neither direction asks for
PLACE = "layers.0.feed_forward.activation"


def loaded(reference: XIELUActivation) -> XIELU:
    made, restore = XIELU(), FAMILIES.get("apertus").restore["hf"]
    with torch.no_grad():
        for name in NAMES:
            stored = reference.state_dict()[name]
            getattr(made, name).copy_(restore(f"{PLACE}.{name}", stored, CONFIG))
    return made


@pytest.mark.parametrize(("alpha_p", "alpha_n", "beta"), [(0.8, 0.8, 0.5), (3.0, 2.5, 0.1)])
def test_it_is_that_of_transformers(alpha_p: float, alpha_n: float, beta: float) -> None:
    reference = XIELUActivation(alpha_p, alpha_n, beta, dtype=torch.float32)
    x = torch.cat((torch.linspace(-30, 30, 4001), torch.tensor([0.0, 1e-7, -1e-7, -1e-3])))
    with torch.no_grad():
        expected, found = reference(x), loaded(reference)(x)
    assert torch.allclose(found, expected, rtol=1e-5, atol=4e-6)
    assert float(found[4001]) == 0.0


def test_its_numbers_go_back_as_they_were_stored() -> None:
    reference = XIELUActivation(2.0, 0.7, 0.4, dtype=torch.float32)
    made, store = loaded(reference), FAMILIES.get("apertus").store
    assert store is not None
    for name in NAMES:
        stored = reference.state_dict()[name]
        back = store(f"{PLACE}.{name}", getattr(made, name).data, CONFIG)
        assert back.shape == stored.shape
        assert torch.allclose(back, stored, atol=1e-6), name


def test_a_guard_that_would_matter_is_refused() -> None:
    reference = XIELUActivation(eps=-0.1, dtype=torch.float32)
    with pytest.raises(CheckpointError) as caught:
        loaded(reference)
    assert "xIELU with eps=-0.1 is not implemented" in str(caught.value)
    assert f"parameter {PLACE}.eps" in str(caught.value)


def test_it_has_the_parameters_that_sizes_count() -> None:
    assert sum(p.numel() for p in XIELU().parameters()) == LEARNED_ACTIVATIONS["xielu"]
