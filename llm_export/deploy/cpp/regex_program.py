"""Regular expressions as programs of a backtracking matcher (Thompson's instructions; see
https://swtch.com/~rsc/regexp/regexp2.html), which the project's ``pattern.cpp`` runs.

=============  ====================================================================
char C         a character of class C
jump A         go on at A
split A B      go on at A; if that fails, at B
look A / avoid A  what the program up to the next ``match`` of this branch matches does
               (not) follow; then go on at A
atomic A       the program up to ``match``, without coming back into it; then go on at A
start / end    the beginning / the end of the text
match          done
=============  ====================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_export.deploy.cpp import regex_parse as tree
from llm_export.deploy.cpp.code_points import Ranges

Instruction = tuple[str | int, ...]
_MOST_INSTRUCTIONS = 20_000


class Classes:
    """Numbers of character classes."""

    def __init__(self) -> None:
        self._numbers: dict[Ranges, int] = {}

    def number(self, ranges: Ranges) -> int:
        return self._numbers.setdefault(ranges, len(self._numbers))

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


def compiled(node: tree.Node, classes: Classes) -> Sequence[Instruction]:
    """
    Raises:
        ValueError: the program would be too large.
    """
    writer = _Writer(classes)
    writer.write(node)
    writer.add("match")
    return writer.code


class _Writer:
    def __init__(self, classes: Classes) -> None:
        self.code: list[Instruction] = []
        self._classes = classes

    def add(self, *words: str | int) -> int:
        if len(self.code) >= _MOST_INSTRUCTIONS:
            raise ValueError("its program is too large")
        self.code.append(words)
        return len(self.code) - 1

    def write(self, node: tree.Node) -> None:
        if isinstance(node, tree.Chars):
            self.add("char", self._classes.number(node.ranges))
        elif isinstance(node, tree.Edge):
            self.add("end" if node.end else "start")
        elif isinstance(node, tree.Sequence):
            for part in node.parts:
                self.write(part)
        elif isinstance(node, tree.Choice):
            self._choice(node.parts)
        elif isinstance(node, tree.Look):
            self._apart("look" if node.wanted else "avoid", node.part)
        elif isinstance(node, tree.Atomic):
            self._apart("atomic", node.part)
        elif node.kind == "possessive":
            self._apart("atomic", tree.Repeat(node.part, node.least, node.most, "greedy"))
        else:
            self._repeat(node)

    def _apart(self, word: str, part: tree.Node) -> None:
        at = self.add(word, 0)
        self.write(part)
        self.add("match")
        self.code[at] = (word, len(self.code))

    def _choice(self, parts: Sequence[tree.Node]) -> None:
        ends = []
        for part in parts[:-1]:
            at = self.add("split", 0, 0)
            self.write(part)
            ends.append(self.add("jump", 0))
            self.code[at] = ("split", at + 1, len(self.code))
        self.write(parts[-1])
        for end in ends:
            self.code[end] = ("jump", len(self.code))

    def _repeat(self, node: tree.Repeat) -> None:
        for _ in range(node.least):
            self.write(node.part)
        if node.most is None:
            if _may_be_empty(node.part):
                raise ValueError("a repetition of what may be empty")
            at = self.add("split", 0, 0)
            self.write(node.part)
            self.add("jump", at)
            self._fork(at, node.kind)
            return
        splits = []
        for _ in range(node.most - node.least):
            splits.append(self.add("split", 0, 0))
            self.write(node.part)
        for at in splits:
            self._fork(at, node.kind)

    def _fork(self, at: int, kind: str) -> None:
        on, out = at + 1, len(self.code)
        self.code[at] = ("split", out, on) if kind == "lazy" else ("split", on, out)


def _may_be_empty(node: tree.Node) -> bool:
    if isinstance(node, tree.Chars):
        return False
    if isinstance(node, tree.Sequence):
        return all(map(_may_be_empty, node.parts))
    if isinstance(node, tree.Choice):
        return any(map(_may_be_empty, node.parts))
    if isinstance(node, tree.Repeat):
        return node.least == 0 or _may_be_empty(node.part)
    if isinstance(node, tree.Atomic):
        return _may_be_empty(node.part)
    return True
