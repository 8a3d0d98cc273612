"""Outcomes of gates as a JUnit report, as CI systems read it.

The elements and attributes are those of Jenkins' junit-10.xsd, which GitHub's and GitLab's readers
take too.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from xml.etree import ElementTree

from llm_export.compare.gates import FAILED, PASSED, Outcome

SUITE = "llm-export compare"
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold."""


def junit_xml(outcomes: Sequence[Outcome], summary: str, when: datetime.datetime) -> str:
    """A test case for each gate and rule. One that is not enforced and does not hold is skipped.

    Args:
        summary: what the comparison says, for the suite's output.
        when: of the comparison, in UTC.
    """
    failures = sum(o.fails and o.state == FAILED for o in outcomes)
    errors = sum(o.fails and o.state != FAILED for o in outcomes)
    skipped = sum(o.state != PASSED and not o.fails for o in outcomes)
    counts = {"tests": len(outcomes), "failures": failures, "errors": errors}
    totals = {name: str(count) for name, count in counts.items()}
    root = ElementTree.Element("testsuites", {"name": SUITE, **totals, "time": "0"})
    suite = ElementTree.SubElement(
        root, "testsuite",
        {"name": SUITE, **totals, "skipped": str(skipped), "time": "0",
         "timestamp": when.strftime("%Y-%m-%dT%H:%M:%S")},
    )  # fmt: skip
    for outcome in outcomes:
        _case(suite, outcome)
    ElementTree.SubElement(suite, "system-out").text = _clean(summary)
    ElementTree.indent(root)
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(suite: ElementTree.Element, outcome: Outcome) -> None:
    kind = "rules" if outcome.gate.title else "gates"
    case = ElementTree.SubElement(
        suite, "testcase",
        {"classname": f"llm_export.compare.{kind}", "name": _clean(outcome.gate.name), "time": "0"},
    )  # fmt: skip
    found = _clean(outcome.found)
    if outcome.state == PASSED:
        ElementTree.SubElement(case, "system-out").text = found
        return
    if not outcome.fails:
        said = f"not enforced: {found}" if outcome.state == FAILED else found
        ElementTree.SubElement(case, "skipped", {"message": said})
        return
    element = "failure" if outcome.state == FAILED else "error"
    condition = _clean(outcome.gate.condition.text)
    ElementTree.SubElement(
        case, element, {"message": found, "type": outcome.state}
    ).text = f"fails if {condition}\n{found}"


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
