"""Compare a program that embeds with its exported model and with the float32 model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from llm_export.memory import release_memory
from llm_export.metrics.scale import LEVELS
from llm_export.tasks.contract import LOWERING, QUALITY, Comparison, Measure, Subject
from llm_export.tasks.embedding.texts import COUNT, prose, text_set
from llm_export.tasks.embedding.vectors import (
    NEAREST,
    cosines,
    eager_vectors,
    method_of,
    perturbed,
    same_nearest,
)
from llm_export.tokenizers.compare import compare_with_special_tokens
from runtime_py import Embedder
from runtime_py.bundle import Bundle
from runtime_py.embedding.similarity import similarity
from runtime_py.embedding.tokens import TextEncoder

_LONGEST = 1024
"""Tokens of the longest text of a program that takes any length."""
_ALONE = 12
"""Texts that are also embedded alone."""
_LOWEST = 0.98
"""Limit of a cosine to the exported model, however large the noise floor is."""

MEANINGS = {
    "lossless": "finds what the float model finds",
    "near-lossless": "a difference is hard to find",
    "good": "near neighbours change places now and then",
    "visible loss": "results differ, mostly among neighbours of equal worth",
    "poor": "results are often others",
    "broken": "the vectors have little to do with the model's",
}
"""Word of the scale -> what a user can expect of the vectors."""
_COSINE = (0.9999, 0.995, 0.98, 0.95, 0.8)
"""Least mean cosine of each level but the last, best first."""
_SAME = (0.97, 0.9, 0.75, 0.5, 0.2)
"""Least share of queries with the same nearest sentences, likewise."""


def word(cosine: float, same: float) -> tuple[str, str]:
    """(word, meaning): the best level whose two bounds hold."""
    for level, least_cosine, least_same in zip(LEVELS, _COSINE, _SAME, strict=False):
        if cosine >= least_cosine and same >= least_same:
            return level.word, MEANINGS[level.word]
    return LEVELS[-1].word, MEANINGS[LEVELS[-1].word]


@dataclass(frozen=True)
class _Texts:
    """Token ids of queries, passages, and texts that fill the program's methods."""

    rows: list[list[int]]
    queries: int
    passages: int

    def similarities(self, name: str, vectors: Tensor) -> Tensor:
        """[queries, passages]"""
        end = self.queries + self.passages
        return similarity(name, vectors[: self.queries], vectors[self.queries : end])


def compare(subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
    """Cosines of all texts, and the share of queries with the same nearest sentences.

    Raises:
        VerificationError: the bundle's tokenizer gives other ids than the checkpoint's.
        BundleRuntimeError: the program cannot be loaded, or fails.
    """
    settings = subject.exported.settings(subject.options)
    tokens, tokenizer = _tokenizer(subject, settings)
    texts = _texts(tokens, settings, subject.resolved.recipe.verify.positions)
    noisy = subject.bundle is not None and bool(subject.resolved.recipe.quant.rules)
    passes, done = 2 + (subject.bundle is not None) + noisy, 0

    def step(count: int) -> None:
        nonlocal done
        done += count
        progress(done, passes * len(texts.rows))

    pad = settings["pad_id"]
    module = method_of(subject.exported, subject.options)
    exported = eager_vectors(module, texts.rows, pad, step)
    lowering: list[Measure] = []
    found = exported
    if subject.bundle is not None:
        with Embedder.load(subject.bundle) as embedder:
            found = embedder.embed_ids(texts.rows).values
            lowering = _lowering(embedder, texts, found, exported)
        step(len(texts.rows))
    if noisy:
        with perturbed(subject.exported):
            near = cosines(eager_vectors(module, texts.rows, pad, step), exported)
        factor = subject.resolved.recipe.verify.noise_factor
        lowering = [_widened(measure, near, factor) for measure in lowering]
    release_memory(always=True)
    reference = eager_vectors(
        method_of(subject.reference(), subject.options), texts.rows, pad, step
    )
    quality, said = _quality(texts, settings["similarity"], found, reference)
    return Comparison(
        (*quality, *lowering), *said, f"{texts.passages} sentences and {texts.queries} queries",
        tokenizer,
    )  # fmt: skip


def _tokenizer(subject: Subject, settings: Mapping[str, Any]) -> tuple[TextEncoder, str]:
    """The bundle's tokenizer as the runtime uses it, or the checkpoint's where there is no bundle;
    and what it was compared with."""
    source, most = subject.source.tokenizer, settings["max_length"]
    if subject.bundle is None:
        return TextEncoder.of(source.tokenizer_json, max_length=most), ""
    bundle = Bundle.open(subject.bundle)
    file, entry = bundle.file("tokenizer"), bundle.manifest["tokenizer"]
    assert file is not None
    tokens = TextEncoder(file, max_length=most, nfc=entry.get("normalization") == "NFC")
    if not subject.resolved.recipe.verify.tokenizer:
        return tokens, "the tokenizer was not compared: verify.tokenizer is false"
    strings = compare_with_special_tokens(source, tokens.whole)
    return tokens, f"the tokenizer gives the checkpoint's ids for {strings} strings"


def _texts(tokens: TextEncoder, settings: Mapping[str, Any], most: int) -> _Texts:
    """
    Args:
        most: sentences, of which there are 500.
    """
    chosen = text_set(min(most, COUNT))
    rows = [each.ids for each in tokens.encode(chosen.prompted(settings["prompts"]))]
    longest = settings["max_length"]
    lengths = settings["lengths"] or [min(longest, _LONGEST)]
    (whole,) = tokens.whole([" ".join(prose())])
    # One for each method, which it fills; such long ones are compared, and not searched.
    rows += [(whole[: length - 1] + whole[-1:])[:length] for length in lengths]
    return _Texts(rows, len(chosen.queries), len(chosen.passages))


def _lowering(embedder: Embedder, texts: _Texts, found: Tensor, exported: Tensor) -> list[Measure]:
    near = cosines(found, exported)
    measures = [
        Measure("lowering_cosine_min", "least cosine to the exported model", float(near.min()),
                LOWERING, limit=0.999, higher_is_better=True),
        Measure("lowering_cosine_mean", "mean cosine to the exported model", float(near.mean()),
                LOWERING, limit=0.9999, higher_is_better=True),
    ]  # fmt: skip
    if embedder.settings.max_batch > 1:
        # Of all lengths, so that the longest pads the others.
        order = sorted(range(len(texts.rows) - 1), key=lambda row: len(texts.rows[row]))
        chosen = order[:: max(len(order) // _ALONE, 1)][:_ALONE]
        rows = [texts.rows[row] for row in chosen]
        alone = embedder.embed_ids(rows, batch_size=1).values
        padded = embedder.embed_ids(rows).values
        measures.append(
            Measure("padding_cosine_min", "least cosine of a text alone and padded in a batch",
                    float(cosines(alone, padded).min()), LOWERING, limit=0.9995,
                    higher_is_better=True)
        )  # fmt: skip
    return measures


def _widened(measure: Measure, noise: Tensor, factor: float) -> Measure:
    """With a limit that allows ``factor`` times the noise floor, the difference between the
    exported model and itself after a change of the size of rounding errors.

    Args:
        noise: cosines of the two.
    """
    assert measure.limit is not None
    floor = noise.mean() if measure.name.endswith("_mean") else noise.min()
    limit = min(measure.limit, 1 - factor * (1 - float(floor)))
    return replace(measure, limit=max(limit, _LOWEST))


def _quality(
    texts: _Texts, measure: str, found: Tensor, reference: Tensor
) -> tuple[list[Measure], tuple[str, str]]:
    near = cosines(found, reference)
    tables = [texts.similarities(measure, each) for each in (found, reference)]
    finite = all(bool(table.isfinite().all()) for table in tables)
    same = same_nearest(tables[0], tables[1]) if finite else 0.0
    mean = float(near.mean())
    measures = [
        Measure("cosine_mean", "mean cosine to the float32 model", mean, QUALITY,
                limit=_COSINE[3], higher_is_better=True),
        Measure("same_nearest", f"queries with the same {NEAREST} nearest sentences", same,
                QUALITY, limit=_SAME[3], higher_is_better=True),
        Measure("cosine_min", "least cosine to the float32 model", float(near.min()), QUALITY,
                higher_is_better=True),
    ]  # fmt: skip
    return measures, word(mean, same)
