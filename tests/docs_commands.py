"""Commands in the code blocks of the docs, and what stands before each block."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).parent.parent
PAGES = sorted([REPO / "README.md", REPO / "recipes" / "README.md", *(REPO / "docs").glob("*.md")])
MARK = re.compile(r"<!-- checked, not run: (.+) -->")
LIGHT = ("ls", "show", "validate", "doctor", "explain", "schema", "version", "cache", "inspect")
_FENCE = re.compile(r"^```(\S*)(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        reason: why its commands are checked and not run; None where they are run.
        line: of the page, from 1.
        titled: whether it is a file's text rather than something to type.
    """

    page: Path
    line: int
    language: str
    reason: str | None
    titled: bool
    text: str

    def commands(self) -> Iterator[list[str]]:
        """The words after ``llm-export`` of each of its lines."""
        if self.language in ("bash", "console"):
            for line in self.text.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").strip()
                if line.startswith("llm-export "):
                    yield shlex.split(line, comments=True)[1:]

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(REPO)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Those of a page, in order.

    Raises:
        ValueError: a fence is not closed.
    """
    found, lines, index = [], page.read_text(encoding="utf-8").splitlines(), 0
    while index < len(lines):
        fence = _FENCE.match(lines[index])
        if fence is None:
            index += 1
            continue
        mark = MARK.fullmatch(lines[index - 1]) if index else None
        end = lines.index("```", index + 1)
        found.append(
            Block(page, index + 1, fence[1], mark and mark[1], "title=" in fence[2],
                  "\n".join(lines[index + 1 : end]))
        )  # fmt: skip
        index = end + 1
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def is_light(words: list[str]) -> bool:
    """Whether a command takes seconds at most and needs nothing but what is here."""
    return (words[0] in LIGHT and not {"--target", "--get"} & {*words}) or "--help" in words


def builds_on_itself(block: Block) -> bool:
    """Whether its commands are run one after the other: some leave what others need."""
    return block.reason is None and any(not is_light(words) for words in block.commands())
