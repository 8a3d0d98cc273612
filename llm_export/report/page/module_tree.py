"""The model as a tree of modules, with the bytes of each and its time in each profiled step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llm_export.profile.kinds import (
    ATTENTION,
    ELEMENTWISE,
    EMBEDDING,
    KINDS,
    LINEAR,
    MIXER,
    NORM,
    PRODUCT,
)
from llm_export.report.page.evidence import Evidence
from llm_export.report.page.sizes import FLOAT, schemes, tones
from llm_export.report.page.tables import Bar, Cell, Indented, Table, bytes_text, share_of

BYTES = "bytes"
_NUMBERED = re.compile(r"\d+")
_LEAST = 2e-4
"""Share of the whole below which a chart leaves a module out; its parent's cell keeps the room."""
_WORK = {
    KINDS[kind]: tone
    for tone, kind in (
        (1, LINEAR), (2, ATTENTION), (3, MIXER), (4, EMBEDDING), (5, ELEMENTWISE), (6, PRODUCT),
        (7, NORM),
    )
}  # fmt: skip
"""Kind of work -> its colour; the others are grey."""
_ALIKE = 0.95
"""Share of a module that is of one kind, from which on it has that kind's colour."""


@dataclass
class Node:
    """A module, or below a module one of its operators.

    Attributes:
        count: how many modules it stands for.
        own: measure -> kind -> its value, without what it contains.
    """

    name: str
    count: int = 1
    operator: bool = False
    own: dict[str, Counter[str]] = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    _totals: dict[str, Counter[str]] = field(default_factory=dict)

    def add(self, measure: str, kind: str, value: float) -> None:
        self.own.setdefault(measure, Counter())[kind] += value  # type: ignore[assignment]

    def total(self, measure: str) -> Counter[str]:
        """Kind -> value, with all that it contains. Nothing is to be added afterwards."""
        if measure not in self._totals:
            found = Counter(self.own.get(measure, {}))
            for child in self.children.values():
                found.update(child.total(measure))
            self._totals[measure] = found
        return self._totals[measure]

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        yield depth, self
        for child in self.children.values():
            yield from child.walk(depth + 1)

    def at(self, path: str) -> Node:
        """The module with this path below the model, made where it is missing."""
        node = self
        for name in filter(None, path.split(".")):
            node = node.children.setdefault(name, Node(name))
        return node


def tree_of(found: Evidence) -> Node:
    """The model. Its modules are in the order in which the program has them."""
    root = Node("model")
    known = schemes(found)
    for path, size in (found.program_map.weights if found.program_map else {}).items():
        root.at(path).add(BYTES, known.get(path, FLOAT), size)
    for profile in found.profiles:
        for part in profile.get("parts") or []:
            module = root.at(str(part["module"]))
            name = str(part["operator"])
            leaf = module.children.setdefault(f"{name}()", Node(name, operator=True))
            kind = KINDS.get(str(part["kind"]), str(part["kind"]))
            leaf.add(str(profile["phase"]), kind, max(0.0, float(part["seconds"])))
    return root


def folded(node: Node) -> Node:
    """The same with numbered siblings, such as layers, as one."""
    return _together(node.name, [node])


def _together(name: str, nodes: Sequence[Node]) -> Node:
    """Several modules as one."""
    made = Node(name, sum(node.count for node in nodes), nodes[0].operator)
    children: dict[str, list[Node]] = {}
    for node in nodes:
        for measure, kinds in node.own.items():
            for kind, value in kinds.items():
                made.add(measure, kind, value)
        for key, child in node.children.items():
            children.setdefault(key, []).append(child)
    numbered = [key for key in children if _NUMBERED.fullmatch(key)]
    siblings: dict[str, list[Node]] = {}
    for key, some in children.items():
        siblings.setdefault("*" if len(numbered) > 1 and key in numbered else key, []).extend(some)
    for key, some in siblings.items():
        made.children[key] = _together("*" if key == "*" else some[0].name, some)
    return made


def measures(found: Evidence) -> list[tuple[str, str]]:
    """(measure, its title) of those that the bundle has."""
    phases = [str(p.get("phase")) for p in found.profiles]
    made = [(phase, f"time, {phase}") for phase in reversed(phases)]
    return [*made, *([(BYTES, "bytes")] if found.program_map else [])]


def chart(found: Evidence) -> list[dict[str, Any]]:
    """What the icicle shows: for each measure a tree of all layers, and one with their sum."""
    root = tree_of(found)
    summed = folded(root)
    made = []
    for measure, title in measures(found):
        kinds = [kind for kind, _ in root.total(measure).most_common()]
        whole = sum(root.total(measure).values())
        if whole <= 0:
            continue
        trees = [_plain(one, measure, kinds, _LEAST * whole) for one in (summed, root)]
        made.append({
            "key": measure, "title": title, "kinds": kinds,
            "tones": _tones(measure, kinds),
            "summed": trees[0], "each": trees[1],
        })  # fmt: skip
    return made


def _tones(measure: str, kinds: list[str]) -> list[int]:
    """A colour for each kind: of work always the same, of schemes in their order."""
    if measure == BYTES:
        return tones(kinds)
    return [_WORK.get(kind, 8) for kind in kinds]


def _plain(node: Node, measure: str, kinds: list[str], least: float) -> dict[str, Any]:
    """n: name, v: value of itself alone, k: index of its kind, -1 for several, c: what it has."""
    total = node.total(measure)
    whole = sum(total.values())
    kind, most = total.most_common(1)[0] if total else ("", 0)
    own = sum(node.own.get(measure, {}).values())
    body: dict[str, Any] = {
        "n": label(node), "v": round(own, 9),
        "k": kinds.index(kind) if whole and most >= _ALIKE * whole else -1,
    }  # fmt: skip
    shown, lost = [], 0.0
    for child in node.children.values():
        size = sum(child.total(measure).values())
        if size >= least and size > 0:
            shown.append(_plain(child, measure, kinds, least))
        else:
            lost += size
    if shown:
        body["c"] = shown
    body["v"] = round(own + lost, 9)
    return body


def label(node: Node) -> str:
    return f"all {node.count}" if node.name == "*" else node.name


def table(found: Evidence) -> Table | None:
    """The same tree in words, the layers summed up; None where there is nothing to divide."""
    known = measures(found)
    if not known:
        return None
    root = folded(tree_of(found))
    wholes = {measure: sum(root.total(measure).values()) for measure, _ in known}
    head, has_bytes = ["module"], BYTES in wholes
    if has_bytes:
        head += ["share of bytes", "size"]
    times = [(measure, title) for measure, title in known if measure != BYTES]
    rows = [
        _row(depth, node, wholes, [measure for measure, _ in times])
        for depth, node in root.walk()
        if not node.operator
    ]
    return Table([*head, *(title for _, title in times), "schemes"], rows, last_words=True)


def _row(depth: int, node: Node, wholes: Mapping[str, float], times: Iterable[str]) -> list[Cell]:
    row: list[Cell] = [Indented(label(node), depth)]
    held = node.total(BYTES)
    if BYTES in wholes:
        share = share_of(sum(held.values()), wholes[BYTES])
        row += [Bar(f"{share:.1%}", share), bytes_text(sum(held.values())) if held else "–"]
    for measure in times:
        seconds = sum(node.total(measure).values())
        share = share_of(seconds, wholes[measure])
        row.append(f"{seconds * 1e3:.2f} ms ({share:.1%})" if seconds else "–")
    return [*row, ", ".join(kind for kind, _ in held.most_common())]
