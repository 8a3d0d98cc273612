"""Text encoders against transformers, and pooling against its rule, text by text."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from encoder_models import (
    CONTEXT,
    FAMILIES,
    batch,
    embed,
    loaded,
    members,
    options_of,
    reference,
    save,
    tiny,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_tools import BAR
from torch import Tensor

LENGTHS = st.lists(st.integers(1, CONTEXT), min_size=1, max_size=4)


def check(family: str, config: dict[str, Any], lengths: list[int]) -> None:
    """Token vectors equal transformers', and no text's embedding depends on its batch."""
    theirs = reference(family, **config)
    ids, mask = batch(lengths, config["vocab_size"], config.get("pad_token_id", 0))
    with TemporaryDirectory() as folder:
        model = loaded(save(theirs, Path(folder)), family)
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=mask).last_hidden_state
        hidden = model(ids, mask)
    kept = mask == 1
    error = (hidden - expected)[kept].abs().max() / expected[kept].abs().max()
    assert float(error) < BAR
    together = embed(model, ids, mask, pooling="mean")
    for row, length in enumerate(lengths):
        text = ids[row : row + 1, :length]
        alone = embed(model, text, torch.ones_like(text), pooling="mean")
        assert float((alone[0] - together[row]).abs().max()) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_the_tiny_member_agrees_with_transformers(family: str) -> None:
    check(family, tiny(family), [CONTEXT, 1, 17])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_odd_members_agree_with_transformers(family: str) -> None:
    @settings(max_examples=8)
    @given(config=members(family), lengths=LENGTHS)
    def agree(config: dict[str, Any], lengths: list[int]) -> None:
        check(family, config, lengths)

    agree()


POOLED = {
    "cls": lambda h: h[0],
    "last": lambda h: h[-1],
    "max": lambda h: h.amax(0),
    "mean": lambda h: h.mean(0),
    "mean_sqrt_length": lambda h: h.sum(0) / len(h) ** 0.5,
    "weighted_mean": lambda h: (
        (h * torch.arange(1, len(h) + 1)[:, None]).sum(0) / sum(range(1, len(h) + 1))
    ),
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("bert")
    return loaded(save(reference("bert", **tiny("bert")), folder), "bert")


@pytest.mark.parametrize("pooling", POOLED)
def test_pooling_is_that_of_the_text_alone(pooling: str, bert: Any) -> None:
    ids, mask = batch([9, 1, 4], 300, 0)
    out = embed(bert, ids, mask, pooling=pooling, normalize=False)
    with torch.no_grad():
        hidden = bert(ids, mask)
    expected = [POOLED[pooling](h[m == 1]) for h, m in zip(hidden, mask, strict=True)]
    torch.testing.assert_close(out, torch.stack(expected), atol=1e-5, rtol=1e-5)


def test_a_row_of_padding_alone_is_finite(bert: Any) -> None:
    ids, mask = batch([5, 3], 300, 0)
    mask[1] = 0
    for pooling in POOLED:
        assert embed(bert, ids, mask, pooling=pooling).isfinite().all()


def test_dense_layers_follow_concatenated_poolings(tmp_path: Path) -> None:
    theirs = reference("gemma3_text", **tiny("gemma3_text"))
    pooling = {"word_embedding_dimension": 64, "pooling_mode_max_tokens": True,
               "pooling_mode_cls_token": True}  # fmt: skip
    folder = save(theirs, tmp_path, pooling, dense=[(128, 80), (80, 48)])
    model = loaded(folder, "gemma3_text")
    ids, mask = batch([7, 12], 300, 0)
    with torch.no_grad():
        hidden = model(ids, mask)
    x = torch.stack([
        torch.cat([POOLED["cls"](h[m == 1]), POOLED["max"](h[m == 1])])
        for h, m in zip(hidden, mask, strict=True)
    ])  # fmt: skip
    for i in (2, 3):
        x = torch.tanh(_linear(folder / f"{i}_Dense" / "model.safetensors", x))
    said = options_of(folder, "gemma3_text")
    assert said == {"pooling": "cls+max", "normalize": True}
    torch.testing.assert_close(embed(model, ids, mask, **said), torch.nn.functional.normalize(x))
    cut = embed(model, ids, mask, **said, matryoshka=[16], dimensions=16)
    torch.testing.assert_close(cut, torch.nn.functional.normalize(x[:, :16]))


def _linear(path: Path, x: Tensor) -> Tensor:
    from safetensors.torch import load_file

    found = load_file(path)
    return x @ found["linear.weight"].T + found["linear.bias"]
