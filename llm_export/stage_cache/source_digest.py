"""Digest of the source code of a stage: its module and all llm_export modules it may import.

Imports are found by parsing the source, because a run with every stage cached imports none. A
string with the name of an llm_export module counts as an import, because registries contain
module names. The package of an imported module, with its data files, is included too.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import llm_export
import runtime_py
from llm_export.stage_cache.memo import Memo

TABLE = "llm_export.runner.stages"
"""Excluded from digests: it imports every stage, and its settings are in the stages' keys."""
_NO_DATA = (".py", ".pyc", ".so", ".pyd")
_parsed: dict[str, dict[str, list[str]]] = {}
"""As the memo's contents, for further runs of this process."""


class Sources:
    """The modules of this program.

    Args:
        memo: file that stores the imports of each module by digest. Parsing all modules would
            dominate the time of a run with every stage cached.
    """

    def __init__(self, memo: Path | None = None, roots: dict[str, Path] | None = None) -> None:
        self._memo = Memo(memo)
        self._found: dict[str, str] = {}
        self._roots = roots or {p.__name__: Path(p.__path__[0]) for p in (llm_export, runtime_py)}

    @property
    def damage(self) -> str:
        """What was wrong with the memo, which is written anew; empty if nothing was."""
        return self._memo.damage

    def digest(self, module: str) -> str:
        """Digest of ``module`` and everything that it may import, directly or indirectly."""
        if module not in self._found:
            reached = sorted(self.reached(module))
            said = json.dumps([(name, self._digests[name]) for name in reached])
            self._found[module] = hashlib.sha256(said.encode()).hexdigest()
        return self._found[module]

    def reached(self, module: str) -> set[str]:
        found: set[str] = set()
        waiting = [module]
        while waiting:
            name = waiting.pop()
            if name in found or name == TABLE:
                continue
            found.add(name)
            waiting += self._imports.get(name, [])
            if "." in name:
                waiting.append(name.rpartition(".")[0])
        return found

    @cached_property
    def _files(self) -> dict[str, Path]:
        found = {}
        for root, folder in self._roots.items():
            for path in folder.rglob("*.py"):
                parts = path.relative_to(folder).with_suffix("").parts
                parts = parts[:-1] if parts[-1] == "__init__" else parts
                found[".".join((root, *parts))] = path
        return found

    @cached_property
    def _texts(self) -> dict[str, bytes]:
        return {name: path.read_bytes() for name, path in self._files.items()}

    @cached_property
    def _digests(self) -> dict[str, str]:
        """Digest of each module's source; for a package with its data files."""
        found = {}
        for name, path in self._files.items():
            digest = hashlib.sha256(self._texts[name])
            if path.name == "__init__.py":
                for data in _data_files(path.parent):
                    digest.update(data.name.encode() + hashlib.sha256(data.read_bytes()).digest())
            found[name] = digest.hexdigest()
        return found

    @cached_property
    def _imports(self) -> dict[str, list[str]]:
        known = self._memo.read()
        # The imports of a module depend on which modules exist.
        names = hashlib.sha256(json.dumps(sorted(self._files)).encode()).hexdigest()
        former = known.get(names, {})
        parsed = _parsed.setdefault(names, {})
        found, digests = {}, {}
        for name, text in self._texts.items():
            digest = hashlib.sha256(name.encode() + text).hexdigest()
            if digest not in parsed:
                parsed[digest] = former.get(digest) or sorted(self._imports_of(name, text))
            digests[digest] = found[name] = parsed[digest]
        if digests != former or self._memo.damage:
            self._memo.write({names: digests})
        return found

    def _imports_of(self, module: str, text: bytes) -> set[str]:
        package = self._files[module].name == "__init__.py"
        found = set()
        for node in _executed(ast.parse(text)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = _absolute(node, module, package)
                found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value.partition(":")[0])
            elif isinstance(node, ast.JoinedStr):
                # f"llm_export.models.families.{name}": all that may follow.
                head = node.values[0] if node.values else None
                if isinstance(head, ast.Constant) and str(head.value).startswith("llm_export."):
                    found |= {n for n in self._files if n.startswith(str(head.value))}
        return {name for name in found if name in self._files and name != module}


def _data_files(package: Path) -> list[Path]:
    return sorted(p for p in package.iterdir() if p.suffix not in _NO_DATA and p.is_file())


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except docstrings and those under ``if TYPE_CHECKING``."""
    waiting = [tree]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue
            yield child
            waiting.append(child)


def _absolute(node: ast.ImportFrom, module: str, package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if package else 0)]
    return ".".join([*kept, *([node.module] if node.module else [])])
