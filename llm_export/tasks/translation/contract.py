"""Verify, measure and try programs that turn one text into another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_export.bundle.measures import Measure
from llm_export.config.benchmark_schema import BenchmarkConfig
from llm_export.pipeline.summary import Answer
from llm_export.tasks.contract import Comparison, Subject
from llm_export.tasks.decoded import Case, compare_decoded
from llm_export.tasks.scoring import Form, Scorer
from llm_export.tasks.timing import at_each_count, encode_and_decode, length_of

if TYPE_CHECKING:
    from llm_export.models.programs.task_model import TaskModel
    from llm_export.pipeline.artifacts import Source
    from llm_export.resolve.recipe import ResolvedRecipe
    from runtime_py.seq2seq.translator import Translator

_ANSWER = 32
"""Tokens of an answer that are compared."""
_SAMPLES = ("The house is wonderful.", "What does a compiler do?")


class TranslateContract:
    speed_settings = ("prompt_length", "decode_length")

    def write_files(self, folder: Path, source: Source, model: TaskModel, options: Any) -> None:
        """There is nothing but the tokenizer."""

    def compare(self, subject: Subject, progress: Callable[[int, int], None]) -> Comparison:
        """Compare encoder and decoder over sentences of the shipped English text."""
        settings = subject.exported.settings(subject.options)
        wanted = max(1, subject.resolved.recipe.verify.positions // _ANSWER)
        cases = list(_cases(subject, settings, wanted))
        steps = min(_ANSWER, settings["target_length"] - len(settings["start_ids"]))
        return compare_decoded(
            subject, cases, steps, progress, f"answers to {len(cases)} sentences"
        )

    def speed(self, bundle: Path, settings: BenchmarkConfig) -> tuple[Measure, ...]:
        """Seconds to encode a source, and tokens a second of an answer to it."""
        from runtime_py.seq2seq.translator import Translator

        return at_each_count(Translator.load, bundle, settings, lambda t: _speed(t, settings))

    def scores(self) -> tuple[tuple[Form, ...], Scorer]:
        """chrF and BLEU."""
        from llm_export.tasks.translation.scores import FORMS, score

        return FORMS, score

    def samples(self, bundle: Path, resolved: ResolvedRecipe) -> tuple[Answer, ...]:
        """Answers to a sentence with each prefix, or to two without one."""
        from runtime_py.errors import BundleRuntimeError
        from runtime_py.seq2seq.translator import Translator

        found = []
        with Translator.load(bundle, verify_hashes=False) as translator:
            prefixes = list(translator.settings.prefixes.values())
            asked = [prefix + _SAMPLES[0] for prefix in prefixes] or list(_SAMPLES)
            for text in asked[:4]:
                try:
                    made = translator.translate(text, max_new_tokens=64)
                    found.append(Answer(text, made.text, tokens=len(made.tokens)))
                except BundleRuntimeError as error:
                    found.append(Answer(text, "", problem=error.what))
        return tuple(found)


def _speed(translator: Translator, settings: BenchmarkConfig) -> tuple[Measure, ...]:
    s = translator.settings
    ids = _source(translator, length_of(settings.prompt_length, 128, s.source_length))
    return encode_and_decode(
        lambda count: translator.measure(ids, count), f"{len(ids)} tokens",
        s.target_length - len(s.start_ids), settings,
    )  # fmt: skip


def _cases(subject: Subject, settings: dict[str, Any], wanted: int) -> Iterator[Case]:
    """Sentences as token ids, cut to the source's length."""
    import torch
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(subject.source.tokenizer.tokenizer_json)
    suffix, most = settings["source_suffix"], settings["source_length"]
    fixed = not subject.resolved.methods.dynamic
    for text in _sentences(wanted):
        ids = tokenizer.encode(text, add_special_tokens=False).ids[: most - len(suffix)] + suffix
        length = most if fixed else len(ids)
        padded = torch.full((1, length), settings["pad_id"], dtype=torch.int64)
        padded[0, : len(ids)] = torch.tensor(ids)
        mask = (torch.arange(length) < len(ids)).to(torch.int64)[None]
        yield Case((padded, mask), tuple(settings["start_ids"]))


def _sentences(count: int) -> list[str]:
    text = resources.files("llm_export.data").joinpath("english.txt").read_text("utf-8")
    sentences = [
        s.strip() for s in re.split(r"(?<=[.?!;])\s+", text) if 20 <= len(s.strip()) <= 300
    ]
    return sentences[:count]


def _source(translator: Translator, length: int) -> list[int]:
    text = " ".join(_sentences(64))
    return translator.tokenizer.encode(text)[:length]


CONTRACT = TranslateContract()
