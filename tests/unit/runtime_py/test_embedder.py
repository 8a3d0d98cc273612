"""Embed texts with a bundle: values, order, batches, cuts, limits, errors."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import embed_bundles
import pytest
import torch
from embed_bundles import VOCABULARY, expected, write_manifest

from runtime_py import LLM, ArgumentError, BundleRuntimeError, Embedder

TEXTS = [
    "the cat sat on the mat", "a dog ran", "", "rain falls at night night night", "sun",
    "the moon shines at night", "unknown words here",
]  # fmt: skip


@pytest.fixture(scope="module")
def bundle(once: Callable[..., Path]) -> Path:
    return once(embed_bundles.make, "bundle that embeds")


@pytest.fixture(scope="module")
def embedder(bundle: Path) -> Iterator[Embedder]:
    with Embedder.load(bundle) as made:
        yield made


@pytest.fixture
def damaged(bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bundle, tmp_path / "copy")


def close(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() < 1e-5)


@pytest.mark.parametrize("size", [None, 1, 3])
def test_embeddings_are_those_of_the_model_in_the_order_of_texts(
    embedder: Embedder, size: int | None
) -> None:
    found = embedder.embed_with_stats(TEXTS, batch_size=size)
    assert close(found.values, expected(TEXTS))
    assert found.tokens == (8, 5, 2, 8, 3, 7, 5)
    assert found.total_tokens == 38
    assert found.truncated == ()
    assert found.calls == {None: 2, 1: 7, 3: 3}[size]
    assert found.texts_per_second > 0
    assert close(embedder.embed("sun"), expected(["sun"]))
    assert embedder.embed([]).shape == (0, 16)


def test_prompts_stand_before_texts(embedder: Embedder) -> None:
    wanted = expected(["query: sun", "passage: sun", "day sun"])
    prompts = ("query", "document", "day ")
    assert close(torch.cat([embedder.embed("sun", prompt=p) for p in prompts]), wanted)
    assert embedder.count_tokens("sun", prompt="query") == 5
    with pytest.raises(ArgumentError, match="prompt must be query, document, another name"):
        embedder.embed("sun", prompt=3)  # type: ignore[arg-type]


def test_a_name_without_a_prefix_puts_nothing_before_a_text(damaged: Path) -> None:
    write_manifest(damaged, prompts={})
    with Embedder.load(damaged) as embedder:
        assert close(embedder.embed("sun", prompt="query"), expected(["sun"]))


def test_embeddings_are_cut_where_the_model_was_trained_for_it(embedder: Embedder) -> None:
    found, whole = embedder.embed(TEXTS, dimensions=8), expected(TEXTS)[:, :8]
    assert close(found, torch.nn.functional.normalize(whole, dim=1))
    with pytest.raises(ArgumentError, match="dimensions must be one of 16, 8, not 4: to other"):
        embedder.embed("sun", dimensions=4)


def test_without_training_for_it_embeddings_are_not_cut(damaged: Path) -> None:
    write_manifest(damaged, matryoshka=None)
    with Embedder.load(damaged) as embedder:
        assert embedder.embed("sun", dimensions=16).shape == (1, 16)
        with pytest.raises(ArgumentError, match="dimensions must be 16, not 8: the model was not"):
            embedder.embed("sun", dimensions=8)


def test_a_long_text_is_cut_off_and_that_is_told(embedder: Embedder) -> None:
    long = "night " * 30
    found = embedder.embed_with_stats(["sun", long])
    assert (found.truncated, found.tokens) == ((1,), (3, 12))
    assert close(found.values, expected(["sun", "night " * 10]))
    assert embedder.count_tokens(long) == 32
    with pytest.raises(ArgumentError, match="text 1 has 32 tokens; the model takes 12"):
        embedder.embed(["sun", long], truncate=False)


def test_ids_instead_of_texts(embedder: Embedder) -> None:
    found = embedder.embed_ids([[2, VOCABULARY.index("moon"), 3], [2, *[15] * 20, 3]])
    assert close(found.values[:1], expected(["moon"]))
    assert found.truncated == (1,)
    mistakes: tuple[Any, ...] = ([[]], ["ab"], [[2, 25]], [[-1]], [[True]], [[2.0]])
    for wrong in mistakes:
        with pytest.raises(ArgumentError, match="text 0 "):
            embedder.embed_ids(wrong)
    with pytest.raises(ArgumentError, match="ids must be a list of lists of token ids, not int"):
        embedder.embed_ids(3)  # type: ignore[arg-type]


def test_similarity(embedder: Embedder, damaged: Path) -> None:
    a, b = torch.tensor([[3.0, 0.0], [1.0, 1.0]]), torch.tensor([[0.0, 2.0]])
    assert embedder.similarity(a, b).tolist() == [[0.0], [pytest.approx(0.5**0.5)]]
    wanted: dict[str, list[list[float]]] = {
        "dot": [[0], [2]],
        "euclidean": [[-(13**0.5)], [-(2**0.5)]],
        "manhattan": [[-5], [-2]],
    }
    for name, values in wanted.items():
        write_manifest(damaged, similarity=name)
        with Embedder.load(damaged) as made:
            assert made.similarity(a, b).tolist() == [pytest.approx(row) for row in values]
    with pytest.raises(ArgumentError, match="of 2 and of 16 dimensions cannot be compared"):
        embedder.similarity(a, embedder.embed("sun"))
    with pytest.raises(ArgumentError, match="takes two tensors of embeddings"):
        embedder.similarity(a[0], b)


def test_threads_share_it(embedder: Embedder) -> None:
    found: dict[int, torch.Tensor] = {}

    def embed(number: int) -> None:
        found[number] = embedder.embed(TEXTS[number:])

    threads = [threading.Thread(target=embed, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(close(found[n], expected(TEXTS[n:])) for n in range(6))


def test_wrong_arguments(embedder: Embedder) -> None:
    for texts, message in (
        (["a", 3], "text 1 must be a str, not int"),
        (["\ud800"], "text 0 is not valid Unicode: character 0 is a lone surrogate"),
        (3, "texts must be a list of texts, not int"),
    ):
        with pytest.raises(ArgumentError, match=message):
            embedder.embed(texts)  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="batch_size must be a whole number from 1"):
        embedder.embed("a", batch_size=0)


def test_a_closed_embedder_says_so(bundle: Path) -> None:
    with Embedder.load(bundle, threads=1) as embedder:
        assert "16 dimensions, up to 12 tokens; " in repr(embedder)
    assert embedder.closed
    assert "closed" in repr(embedder)
    with pytest.raises(BundleRuntimeError, match="the program is closed"):
        embedder.embed("sun")


def test_bundles_of_other_tasks(portable_bundle: Path, bundle: Path) -> None:
    with pytest.raises(BundleRuntimeError, match="this bundle generates text"):
        Embedder.load(portable_bundle)
    with pytest.raises(BundleRuntimeError) as error:
        LLM.load(bundle)
    assert "this bundle embeds texts" in str(error.value)
    assert "runtime_py.Embedder.load(BUNDLE)" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dimensions": 17}, r"method forward returns \(4, 16\), not \(4, 17\)"),
        ({"max_length": 13}, r"method forward takes \(4, 12\) of another .* than \(4, 13\)"),
        ({"lengths": [6, 12]}, "the program has no method 'forward_6'"),
        ({"similarity": "angle"}, "settings.similarity must be one of cosine, dot"),
        ({"lengths": [12, 6]}, "settings.lengths must be null or a list of ascending lengths"),
        ({"prompts": {"query": 3}}, "settings.prompts must be an object of texts"),
        ({"max_batch": 0}, "settings.max_batch must be a whole number from 1, not 0"),
    ],
)
def test_a_manifest_that_does_not_fit(
    damaged: Path, changes: dict[str, object], message: str
) -> None:
    write_manifest(damaged, **changes)
    with pytest.raises(BundleRuntimeError, match=message):
        Embedder.load(damaged)


def test_a_damaged_program_is_not_loaded(damaged: Path) -> None:
    data = bytearray((damaged / "model.pte").read_bytes())
    data[-1] ^= 1
    (damaged / "model.pte").write_bytes(data)
    with pytest.raises(BundleRuntimeError, match=r"model\.pte has another sha256"):
        Embedder.load(damaged)


@pytest.mark.slow
def test_fixed_lengths(tmp_path: Path) -> None:
    embed_bundles.make(tmp_path / "fixed", lengths=[4, 12])
    with Embedder.load(tmp_path / "fixed") as embedder:
        assert close(embedder.embed(TEXTS), expected(TEXTS))
        assert embedder.embed_with_stats(["sun", "rain"]).calls == 1
