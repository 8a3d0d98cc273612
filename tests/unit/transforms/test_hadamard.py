"""Rotations are orthogonal, even mixtures of all channels where that is known how, and seeded."""

from __future__ import annotations

import pytest
import torch

from llm_export.transforms.hadamard import hadamard_factors, paley, rotation

# Hidden and head sizes of published models, gpt-oss's 2880 and SmolLM2's 576 and 960 among them.
SIZES = (12, 64, 80, 96, 128, 576, 896, 960, 1152, 1536, 2048, 2304, 2880, 3584, 5376, 7168)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [s for s in SIZES if s <= 1536])
def test_every_channel_goes_evenly_into_every_other(size: int) -> None:
    turned = rotation(size, generator())(torch.eye(size, dtype=torch.float64))
    assert torch.allclose(turned.abs(), torch.full_like(turned, size**-0.5))
    assert torch.allclose(turned @ turned.T, torch.eye(size, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_of_published_models_have_hadamard_factors(size: int) -> None:
    factors = hadamard_factors(size)
    assert factors is not None
    product = 1
    for factor in factors:
        assert torch.equal(factor @ factor.T, len(factor) * torch.eye(len(factor)).double())
        product *= len(factor)
    assert product == size
    assert max(len(factor) for factor in factors) <= 180


def test_other_sizes_get_a_random_orthogonal_matrix() -> None:
    assert hadamard_factors(36 * 3) is not None
    assert paley(92) is None
    for size in (30, 92, 7):
        q = rotation(size, generator())
        turned = q(torch.eye(size, dtype=torch.float64))
        assert not q.hadamard
        assert torch.allclose(turned @ turned.T, torch.eye(size, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("size", [24, 30])
def test_a_seed_says_it_all(size: int) -> None:
    x = torch.randn(3, size, generator=generator(5))
    assert torch.equal(rotation(size, generator(1))(x), rotation(size, generator(1))(x))
    assert not torch.allclose(rotation(size, generator(1))(x), rotation(size, generator(2))(x))


def test_several_vectors_in_a_row_are_rotated_each_for_itself() -> None:
    q, x = rotation(12, generator()), torch.randn(5, 3 * 12)
    parts = [q(part) for part in x.split(12, dim=1)]
    assert torch.allclose(q(x), torch.cat(parts, dim=1))
