"""The parts of a step by module, as a tree."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from llm_export.profile.breakdown import Part

_NUMBERED = re.compile(r"\d+")


@dataclass
class Module:
    """A module and all that it contains.

    Attributes:
        path: '' is the model.
        count: how many modules it stands for; more than one after ``folded``.
        seconds, bytes: with all that it contains.
    """

    path: str
    count: int = 1
    seconds: float = 0.0
    bytes: int = 0
    children: dict[str, Module] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Module]]:
        """Itself and all below, with their depth."""
        yield depth, self
        for child in self.children.values():
            yield from child.walk(depth + 1)


def tree_of(parts: Iterable[Part]) -> Module:
    """The model, whose children are in the order in which they first ran."""
    root = Module("")
    for part in parts:
        node = root
        _add(node, part)
        for end in [i for i, c in enumerate(part.module) if c == "."] + [len(part.module)]:
            path = part.module[:end]
            if path:
                node = node.children.setdefault(path.rpartition(".")[2], Module(path))
                _add(node, part)
    return root


def _add(node: Module, part: Part) -> None:
    node.seconds += part.seconds
    node.bytes += part.bytes


def folded(module: Module) -> Module:
    """The same with numbered siblings, such as layers, as one: ``layers.*``."""
    made = Module(module.path, module.count, module.seconds, module.bytes)
    numbered = [name for name in module.children if _NUMBERED.fullmatch(name)]
    for child in module.children.values():
        name = "*" if len(numbered) > 1 and child.name in numbered else child.name
        path = f"{module.path}.{name}" if module.path else name
        _merge(made.children, name, folded(child), path)
    return made


def _merge(into: dict[str, Module], name: str, one: Module, path: str) -> None:
    if name not in into:
        into[name] = Module(path, 0)
    target = into[name]
    target.count += one.count
    target.seconds += one.seconds
    target.bytes += one.bytes
    for key, child in one.children.items():
        _merge(target.children, key, child, f"{path}.{key}")
