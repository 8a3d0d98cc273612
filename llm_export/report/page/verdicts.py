"""The verdicts, first of all: how good, whether it is what was exported, how fast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from llm_export.bundle.measures import Measure
from llm_export.bundle.verdict import Verdict
from llm_export.json_data import from_json
from llm_export.metrics.scale import ADVISED, LEVELS
from llm_export.report.page.commands import AGAIN
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import bytes_text, seconds_text

GOOD, FAIR, BAD, OPEN = "good", "fair", "bad", "open"
SIGNS = {GOOD: "✓", FAIR: "!", BAD: "✕", OPEN: "?"}


@dataclass(frozen=True)
class Judged:
    """
    Attributes:
        tone: of ``SIGNS``; a sign is shown beside the colour.
        why: a sentence.
    """

    topic: str
    word: str
    tone: str
    why: str

    @property
    def sign(self) -> str:
        return SIGNS[self.tone]


@dataclass(frozen=True)
class Key:
    """A key figure."""

    name: str
    value: str
    unit: str = ""


def verdict_of(proof: Mapping[str, Any]) -> Verdict | None:
    found = proof.get("verdict")
    return None if found is None else from_json(Verdict, found)


def quality(proof: Mapping[str, Any]) -> Judged:
    """The verdict on the program's quality."""
    verdict = verdict_of(proof)
    if verdict is None:
        reason = proof.get("reason") or "an earlier version wrote no verdict"
        return Judged("Quality", "not verified", OPEN, reason)
    words = [level.word for level in LEVELS]
    if verdict.word not in words:
        return Judged("Quality", verdict.word, OPEN, verdict.meaning)
    at = words.index(verdict.word)
    tone = GOOD if at < ADVISED else FAIR if at == ADVISED else BAD
    return Judged("Quality", verdict.word, tone, verdict.meaning)


UNREADABLE = Judged("Quality", "not known", OPEN, "parity.json is not as it was written")


def figures(proof: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Title and text of the figures behind the verdict."""
    verdict = verdict_of(proof)
    return verdict.figure_rows() if verdict else []


def _failures(found: Evidence) -> list[Judged]:
    failed = [s for s in found.record.get("stages") or [] if s.get("error")]
    return [
        Judged("Run", f"{s['name']} failed", BAD, str(s["error"]).splitlines()[0]) for s in failed
    ]


def _export(found: Evidence) -> list[Judged]:
    return [_exported(found)]


def _exported(found: Evidence) -> Judged:
    proof = found.proof
    proof = {**(found.manifest.get("proof") or {}), **proof}
    verdict = verdict_of(proof)
    faithful = verdict.faithful if verdict else None
    if not proof.get("verified"):
        reason = proof.get("reason") or "the program was not compared with the eager model"
        return Judged("Export", "not verified", OPEN, reason)
    if faithful is False:
        return Judged("Export", "not faithful", BAD,
                      "the program does not compute what the exported model does")  # fmt: skip
    if faithful is None:
        return Judged("Export", "verified", GOOD, "the program was run and kept its limits")
    return Judged("Export", "faithful", GOOD, "the program computes what the exported model does")


def _speed(found: Evidence) -> list[Judged]:
    return [_measured(found)]


def _measured(found: Evidence) -> Judged:
    speed = found.benchmark
    if found.speed:
        first = from_json(Measure, found.speed[0])
        return Judged("Speed", first.text(), GOOD, first.title)
    if not speed:
        reason = found.stage("benchmark").get("error") or found.facts("benchmark").get("summary")
        why = f"{reason}; " if reason else ""
        return Judged("Speed", "not measured", OPEN, f"{why}{AGAIN} benchmark=quick measures it")
    decode = speed["decode_tokens_per_second"]["median"]
    where = f"decode on {speed['machine']['processor']}, {speed['settings']['threads']} threads"
    if (speed.get("conditions") or {}).get("disturbed"):
        return Judged("Speed", f"{decode:.1f} tokens/s", FAIR,
                      f"{where}; other processes disturbed the measurement")  # fmt: skip
    return Judged("Speed", f"{decode:.1f} tokens/s", GOOD, where)


def scale(proof: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """(word, whether it is the verdict), from best to worst; [] where none of them is."""
    verdict = verdict_of(proof)
    words = [level.word for level in LEVELS]
    if verdict is None or verdict.word not in words:
        return []
    return [(word, word == verdict.word) for word in words]


def _program(found: Evidence) -> list[Key]:
    size = program_bytes(found)
    return [_key("program", bytes_text(size))] if size else []


def _speeds(found: Evidence) -> list[Key]:
    speed = found.benchmark
    if not speed:
        return []
    return [
        Key("decode", f"{speed['decode_tokens_per_second']['median']:.1f}", "tokens/s"),
        Key("prefill", f"{speed['prefill_tokens_per_second']['median']:,.0f}", "tokens/s"),
        _key("first token", seconds_text(speed["time_to_first_token_seconds"]["median"])),
        _key("peak memory", bytes_text(speed["peak_memory_bytes"])),
    ]


def _context(found: Evidence) -> list[Key]:
    context = (found.manifest.get("program") or {}).get("context_length")
    return [Key("context", f"{context:,}", "tokens")] if context else []


def _key(name: str, text: str) -> Key:
    number, _, unit = text.partition(" ")
    return Key(name, number, unit) if " " not in unit else Key(name, text)


def program_bytes(found: Evidence) -> int:
    """Of the program's file; as the manifest lists it where the file is not at hand."""
    name = (found.manifest.get("roles") or {}).get("program")
    listed = ((found.manifest.get("files") or {}).get(name) or {}).get("bytes", 0)
    return found.sizes.get("program") or int(listed)


OTHERS: tuple[Callable[[Evidence], list[Judged]], ...] = (_export, _speed, _failures)
"""Further verdicts: on the export, on the speed, and on the run where a stage failed."""
KEYS: tuple[Callable[[Evidence], list[Key]], ...] = (_program, _speeds, _context)
"""The figures at the top."""
