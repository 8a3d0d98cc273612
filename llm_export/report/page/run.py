"""The page of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from llm_export.pipeline.record import for_people
from llm_export.report import templates
from llm_export.report.page import (
    answers,
    commands,
    consumers,
    delegation,
    measures,
    module_tree,
    origin,
    quality,
    sizes,
    speed,
    timeline,
    verdicts,
    warnings,
)
from llm_export.report.page.assets import fill
from llm_export.report.page.commands import AGAIN
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.tables import Section, Table, bytes_text

_SCRIPTS = ("page.js", "strips.js", "icicle.js", "start_run.js")
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What reading a file raises that is not as it was written."""
T = TypeVar("T")
_NO_RECORD = "run.json is not in this bundle"


def run_page(found: Evidence) -> str:
    """The text of report.html.

    A section whose file is missing says how to get it, and so does one whose file is not as it was
    written.
    """
    data: dict[str, Any] = {}
    sections = [
        _readable(build, id, title, file, found, data)
        for id, title, file, build in (_SECTIONS if decodes(found) else _PROGRAM_SECTIONS)
    ]
    return fill(
        "run.html.jinja", _SCRIPTS, data,
        name=str(found.manifest.get("name") or ""),
        written=for_people(str(found.record.get("started") or found.manifest.get("created") or "")),
        verdict=_or(verdicts.UNREADABLE, verdicts.quality, found.proof),
        scale=_all([verdicts.scale], found.proof),
        figures=_all([verdicts.figures], found.proof),
        others=_all(verdicts.OTHERS, found),
        keys=_all(verdicts.KEYS, found),
        sections=sections,
    )  # fmt: skip


def _or(otherwise: T, read: Callable[[Any], T], of: object) -> T:
    """What ``read`` makes of a file; ``otherwise`` where the file is not as it was written."""
    try:
        return read(of)
    except _DAMAGE:
        return otherwise


def _all(readers: Sequence[Callable[[Any], list[T]]], of: object) -> list[T]:
    """What they make of it, without those that cannot read it."""
    none: list[T] = []
    return [one for read in readers for one in _or(none, read, of)]


Built = dict[str, object] | Sequence[str]
"""The content of a section, or what is missing."""


def _readable(
    build: Callable[[Evidence, dict[str, Any]], Built],
    id: str,
    title: str,
    file: str,
    found: Evidence,
    data: dict[str, Any],
) -> Section:
    try:
        built = build(found, data)
    except _DAMAGE as error:
        what = f"{file} is not as it was written ({type(error).__name__}: {error})"
        return Section(id, title, (what, "llm-export verify BUNDLE"))
    if isinstance(built, dict):
        return Section(id, title, content=built)
    return Section(id, title, built)


def _origin(found: Evidence, data: dict[str, Any]) -> Built:
    return {"groups": origin.origin(found)}


def _timeline(found: Evidence, data: dict[str, Any]) -> Built:
    table = timeline.timeline(found)
    if table is None:
        return (_NO_RECORD, AGAIN)
    return {"table": table, "estimate": timeline.estimate(found)}


def _sizes(found: Evidence, data: dict[str, Any]) -> Built:
    groups = sizes.by_scheme(found)
    if not groups:
        return ("earlier versions did not record the bytes of each module", AGAIN)
    whole = sum(group.bytes for group in groups)
    return {
        "groups": list(zip(groups, sizes.tones(group.scheme for group in groups), strict=True)),
        "whole": whole,
        "table": sizes.scheme_table(groups),
        "file": bytes_text(verdicts.program_bytes(found)),
    }


def _quality(found: Evidence, data: dict[str, Any]) -> Built:
    compared, evaluated = quality.comparisons(found), quality.evaluation(found)
    if compared is None and evaluated is None:
        reason = (found.manifest.get("proof") or {}).get("reason") or "the program was not compared"
        return (str(reason), f"{AGAIN} verify=default evaluate=quick")
    failed = found.stage("evaluate").get("error")
    return {
        "positions": quality.positions(found),
        "table": compared,
        "measures": measures.proof_table(found),
        "arm": _arm(found),
        "source": _source(found),
        "tasks": [
            (task.task, task.about, quality.task_tables(task))
            for task in (evaluated.tasks if evaluated else ())
        ],
        "unevaluated": failed or f"{AGAIN} evaluate=quick evaluates by task and by position",
    }


def _arm(found: Evidence) -> str:
    from llm_export.bundle.arm_proof import ArmProof
    from llm_export.json_data import from_json

    said = found.proof.get("arm")
    return "" if not said else from_json(ArmProof, said).sentence


def _source(found: Evidence) -> str:
    from llm_export.bundle.proof import SourceComparison
    from llm_export.json_data import from_json

    said = found.proof.get("source") or (found.manifest.get("proof") or {}).get("source")
    return "" if not said else str(from_json(SourceComparison, said))


def _speed(found: Evidence, data: dict[str, Any]) -> Built:
    if not found.benchmark:
        stage = found.stage("benchmark")
        why = stage.get("error") or found.facts("benchmark").get("summary") or "it was not measured"
        return (str(why), f"{AGAIN} benchmark=quick")
    data["spreads"], data["series"] = speed.chart(found), speed.sustained(found)
    return {
        "how": speed.how(found),
        "rows": speed.rows(found),
        "statistics": speed.statistics(found),
        "combinations": speed.combinations(found),
    }


def _modules(found: Evidence, data: dict[str, Any]) -> Built:
    table = module_tree.table(found)
    if table is None:
        return ("earlier versions did not record which module each instruction comes from", AGAIN)
    data["trees"] = module_tree.chart(found)
    return {
        "table": table,
        "summaries": [str(one["summary"]) for one in found.profiles if one.get("summary")],
        "untimed": not found.profiles,
    }


def _delegation(found: Evidence, data: dict[str, Any]) -> Built:
    places = delegation.places(found)
    if not places:
        return ("run.json and the map of the program are not in this bundle", AGAIN)
    stayed = sum(places[-1].operators.values())
    return {
        "table": delegation.overview(places),
        "operators": delegation.operators(places),
        "stayed": stayed,
    }


def _answers(found: Evidence, data: dict[str, Any]) -> Built:
    shown = answers.answers(found)
    if not shown:
        return ("the recipe has no questions, or the program does not run on the machine that made "
                "it", f"{AGAIN} \"deploy.questions=['What does a compiler do?']\"")  # fmt: skip
    return {"answers": shown, "alone": all(each.reference is None for each in shown)}


def _templates(found: Evidence, data: dict[str, Any]) -> Built:
    chat = found.manifest.get("chat")
    rows = templates.engine_rows(chat)
    if not rows:
        return ("no template engine was tried", AGAIN)
    head = ("engine", "same text as Jinja2", "not the same")
    return {
        "table": Table(head, rows, last_words=True),
        "rules": templates.rewriting_rules(chat),
        "untried": templates.untried(chat),
    }


def _consumers(found: Evidence, data: dict[str, Any]) -> Built:
    table = consumers.table(found)
    if table is None:
        return ("earlier versions did not compare bundles with what apps require",
                "llm-export verify BUNDLE --for all")  # fmt: skip
    return {"table": table}


def _warnings(found: Evidence, data: dict[str, Any]) -> Built:
    return {"warnings": warnings.warnings(found)}


def _commands(found: Evidence, data: dict[str, Any]) -> Built:
    return {"commands": commands.commands(found)}


def _measures(found: Evidence, data: dict[str, Any]) -> Built:
    table = measures.proof_table(found)
    if table is None:
        reason = (found.manifest.get("proof") or {}).get("reason") or "the program was not compared"
        return (str(reason), f"{AGAIN} verify=default")
    return {"table": table}


def _measured(found: Evidence, data: dict[str, Any]) -> Built:
    table = measures.speed_table(found)
    if table is None:
        stage = found.stage("benchmark")
        why = stage.get("error") or found.facts("benchmark").get("summary") or "it was not measured"
        return (str(why), f"{AGAIN} benchmark=quick")
    return {"table": table}


def decodes(found: Evidence) -> bool:
    """Whether the program is a decoder's, which has logits to compare and tokens to time."""
    return bool((found.manifest.get("program") or {}).get("logits") != "none")


_SECTIONS: tuple[tuple[str, str, str, Callable[[Evidence, dict[str, Any]], Built]], ...] = (
    ("made-from", "What it was made from", "run.json", _origin),
    ("stages", "Stages", "run.json", _timeline),
    ("size", "Size", "profile_map.json or run.json", _sizes),
    ("quality", "Quality and parity", "parity.json or evaluation.json", _quality),
    ("speed", "Speed", "benchmark.json", _speed),
    ("modules", "The model's tree", "profile.json or profile_map.json", _modules),
    ("delegation", "Which backend runs what", "profile_map.json or run.json", _delegation),
    ("answers", "Answers", "answers.json", _answers),
    ("templates", "Chat template in apps", "manifest.json", _templates),
    ("consumers", "Where it loads", "manifest.json", _consumers),
    ("warnings", "Warnings", "run.json", _warnings),
    ("commands", "Make it again", "run.json", _commands),
)

_OWN = ("made-from", "stages", "size", "delegation", "answers", "consumers", "warnings", "commands")
_PROGRAM_SECTIONS = (
    *(section for section in _SECTIONS[:3] if section[0] in _OWN),
    ("measures", "Quality and parity", "parity.json", _measures),
    ("measured", "Speed", "speed.json", _measured),
    *(section for section in _SECTIONS[3:] if section[0] in _OWN),
)
