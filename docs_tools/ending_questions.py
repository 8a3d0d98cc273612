"""Write the questions of the evaluation task ``endings`` from the shipped text.

Each is the first part of a sentence of Jane Austen's Persuasion, to be continued by its own ending
or by one of three endings of other sentences that are about as long.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from llm_export.evaluation.eval_text import shipped_text

FILE = Path(__file__).parent.parent / "llm_export" / "data" / "evaluation" / "endings.jsonl"
QUESTIONS, CHOICES = 100, 4
_WORDS = range(12, 45)
_SHARE = 0.6


def questions() -> list[dict[str, object]]:
    """Beginning, endings in random order, and the index of the right one."""
    chance = random.Random(0)
    text = re.sub(r"\s+", " ", shipped_text())
    sentences = [s.split() for s in re.findall(r"[A-Z][^.!?]*[a-z]{3}[.!?]", text)]
    cut = [
        (" ".join(words[:at]), " ".join(words[at:]))
        for words in sentences
        if len(words) in _WORDS
        for at in [round(_SHARE * len(words))]
    ]
    made = []
    for index in sorted(chance.sample(range(len(cut)), QUESTIONS)):
        beginning, ending = cut[index]
        others = sorted(
            (other for _, other in cut if other != ending),
            key=lambda other: abs(len(other) - len(ending)),
        )
        choices = [ending, *chance.sample(others[:20], CHOICES - 1)]
        chance.shuffle(choices)
        made.append({"text": beginning, "choices": choices, "label": choices.index(ending)})
    return made


def content() -> str:
    return "".join(json.dumps(question, ensure_ascii=False) + "\n" for question in questions())


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
