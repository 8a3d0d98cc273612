"""Private parts of other libraries stand in ``compat`` alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).parent.parent.parent
LIBRARIES = {
    "torch", "executorch", "torchao", "hydra", "omegaconf", "transformers", "torchtune",
}  # fmt: skip
ALLOWED = (Path("llm_export/compat"), Path("runtime_py/compat.py"))
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields"}
PLACE = re.compile(rf"({'|'.join(sorted(LIBRARIES))})([.:]\w+)+[.:]?")


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def of_a_library(place: str) -> bool:
    return place.split(".")[0] in LIBRARIES


def hidden(place: str) -> bool:
    """Whether a part of ``library.module:name`` is private."""
    return any(map(private, re.split("[.:]", place)))


class Finder:
    """Lines of one file that use something private of a library.

    A private attribute of an object counts unless the file defines it or takes it of ``self``:
    which object is a library's cannot be seen from the source.
    """

    def __init__(self, source: str) -> None:
        self.found: list[tuple[int, str]] = []
        nodes = list(ast.walk(ast.parse(source)))  # once: a walk takes longer than all else
        self._imported = set(_imported(nodes))
        self._own = OF_NAMED_TUPLES | set(_defined(nodes))
        by_kind: dict[type[ast.AST], Callable[[Any], None]] = {
            ast.Import: self._import, ast.ImportFrom: self._import_from,
            ast.Attribute: self._attribute, ast.Call: self._call, ast.Constant: self._constant,
        }  # fmt: skip
        for node in nodes:
            if found := by_kind.get(type(node)):
                found(node)

    def _take(self, node: ast.AST, what: str) -> None:
        self.found.append((node.lineno, what))  # type: ignore[attr-defined]

    def _import(self, node: ast.Import) -> None:
        for alias in node.names:
            if of_a_library(alias.name) and hidden(alias.name):
                self._take(node, alias.name)

    def _import_from(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            place = f"{node.module}.{alias.name}"
            if not node.level and of_a_library(place) and hidden(place):
                self._take(node, place)

    def _attribute(self, node: ast.Attribute) -> None:
        base = node.value
        if private(node.attr) and not (isinstance(base, ast.Name) and base.id in ("self", "cls")):
            of_module = isinstance(base, ast.Name) and base.id in self._imported
            if of_module or node.attr not in self._own:
                self._take(node, f".{node.attr}")

    def _call(self, node: ast.Call) -> None:
        called = node.func
        while isinstance(called, ast.Attribute):
            called = called.value
        name = called.id if isinstance(called, ast.Name) else ""
        if name in self._imported:
            for keyword in node.keywords:
                if keyword.arg and private(keyword.arg):
                    self._take(node, f"{keyword.arg}=")
        if name in ("getattr", "setattr", "hasattr", "delattr"):
            for value in node.args[1:2]:
                text = value.value if isinstance(value, ast.Constant) else ""
                if isinstance(text, str) and private(text) and text not in self._own:
                    self._take(node, f".{text}")

    def _constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and PLACE.fullmatch(node.value) and hidden(node.value):
            self._take(node, node.value)


def _imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Names that stand for a library, or for something of one."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if of_a_library(alias.name):
                    yield alias.asname or alias.name.split(".")[0]
        elif isinstance(node, ast.ImportFrom) and not node.level and of_a_library(str(node.module)):
            yield from (alias.asname or alias.name for alias in node.names)


def _defined(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Private names that a file makes itself: methods, fields, attributes of ``self``."""
    for node in nodes:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "set_defaults":
            yield from (keyword.arg for keyword in node.keywords if keyword.arg)  # argparse


def sources() -> list[Path]:
    found = [p for top in ("llm_export", "runtime_py") for p in (REPO / top).rglob("*.py")]
    inside = [p.relative_to(REPO) for p in found]
    return [p for p in inside if not any(a == p or a in p.parents for a in ALLOWED)]


def test_private_parts_of_libraries_are_in_compat() -> None:
    found = [
        f"{path}:{line}: {what}"
        for path in sources()
        for line, what in Finder((REPO / path).read_text(encoding="utf-8")).found
    ]
    assert not found, "move these to llm_export/compat/:\n" + "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "from torch._subclasses.fake_tensor import FakeTensorMode",
        "from torch.utils import _pytree",
        "from torch.utils._pytree import tree_map",
        "import executorch.exir._serialize",
        "from hydra._internal.hydra import Hydra",
        "from torchao.quantization.quant_primitives import _do_fake_quantize_affine as f",
        "from transformers import _LazyModule",
        "import torch\ntorch._check(True)",
        "import torch\nisinstance(x, torch._ops.OpOverload)",
        "from executorch.exir import memory as m\nm._alloc()",
        "from executorch.exir import EdgeCompileConfig\nEdgeCompileConfig(_skip_dim_order=True)",
        "edge._edge_programs['forward']",
        "module._buffers[name] = value",
        "getattr(node.target, '_schema', None)",
        "load('executorch.exir._serialize._program')",
        "names = ('torch._C._nn.',)",
        "place = 'torchtune.models.qwen2._convert_weights:qwen2_hf_to_tune'",
        "class A:\n    _check = 1\n\n\nimport torch\ntorch._check(True)",
    ],
)
def test_the_walk_finds(line: str) -> None:
    assert Finder(line).found


@pytest.mark.parametrize(
    "line",
    [
        "from llm_export.registry import _hidden",
        "import torch\ntorch.__version__",
        "class A:\n    def __init__(self, other):\n        self._a = other._a",
        "one._replace(grid=2)",
        "'llm_export._version'",
        "from executorch.exir import memory",
    ],
)
def test_the_walk_leaves(line: str) -> None:
    assert not Finder(line).found
