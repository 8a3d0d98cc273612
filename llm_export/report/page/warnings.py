"""What to know before the program is used, each with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from llm_export.report.page.commands import AGAIN
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.verdicts import verdict_of


@dataclass(frozen=True)
class Warned:
    """
    Attributes:
        fix: '' where there is nothing to do.
    """

    about: str
    text: str
    fix: str = ""


def warnings(found: Evidence) -> list[Warned]:
    made = [*_of_verdict(found), *_of_stages(found), *_of_benchmark(found)]
    made += [Warned("recipe", str(note)) for note in found.record.get("notes") or []]
    made += [Warned("checkpoint", str(text)) for text in found.facts("load").get("remarks") or []]
    made += [
        Warned("stage cache", f"{what} was found damaged and made anew")
        for what in found.record.get("damaged_in_cache") or []
    ]
    for what, why in (found.evaluation.get("missing") or {}).items():
        made.append(Warned("evaluation", f"{what} was not evaluated: {why}"))
    return made


def _of_verdict(found: Evidence) -> list[Warned]:
    verdict = verdict_of(found.proof)
    made = []
    proof = found.manifest.get("proof") or {}
    if not proof.get("verified"):
        why = str(proof.get("reason") or "the program is not verified")
        fix = f"{AGAIN} verify=default, on a machine that runs the backend"
        made.append(Warned("verification", why, fix))
    if verdict is None:
        return made
    made += [Warned("quality", remark) for remark in verdict.remarks]
    if verdict.advice:
        made.append(Warned("quality", "another option keeps more of it", verdict.advice))
    return made


def _of_stages(found: Evidence) -> list[Warned]:
    made = []
    for stage in found.record.get("stages") or []:
        if stage.get("error"):
            made.append(Warned(str(stage["name"]), str(stage["error"]),
                               f"{AGAIN}: it tries what failed again"))  # fmt: skip
        untested = (stage.get("facts") or {}).get("untested")
        if untested:
            made.append(Warned(str(stage["name"]), f"layer reuse was off: {untested}",
                               "install the versions in constraints.txt"))  # fmt: skip
    return made


def _of_benchmark(found: Evidence) -> list[Warned]:
    made = []
    said = found.benchmark.get("conditions") or {}
    if said.get("disturbed"):
        made.append(Warned(
            "benchmark", f"other processes kept {said.get('other_cpus', 0):.2f} CPUs busy",
            "llm-export bench BUNDLE, on an idle machine",
        ))  # fmt: skip
    made += [Warned("benchmark", str(note)) for note in found.benchmark.get("notes") or []]
    profile = found.facts("benchmark").get("profile") or {}
    if profile.get("error"):
        made.append(Warned("profile", str(profile["error"]), "llm-export profile BUNDLE"))
    return made
