"""Write conf/backend/NAME.yaml of every backend from its Python file, which is the source.

python docs_tools/backend_options.py             writes what differs
python docs_tools/backend_options.py --check     only names it; exit code 1 if there is any
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPO))

from llm_export.backends import BACKENDS  # noqa: E402
from llm_export.backends.base import Backend  # noqa: E402
from llm_export.config.recipe_files import dump  # noqa: E402
from llm_export.registry import OWN  # noqa: E402

FOLDER = REPO / "conf" / "backend"
_HEAD = "# From llm_export/backends/{name}.py; docs_tools/backend_options.py writes this file.\n"


def option_file(name: str) -> str:
    """The text of a backend's option file: each of its options, with its default."""
    backend = BACKENDS.get(name)
    state = "; experimental" if getattr(backend, "experimental", "") else ""
    body: dict[str, Any] = {"name": name, "description": backend.description + state}
    defaults = _defaults(backend)
    if defaults:
        body["options"] = defaults
    return _HEAD.format(name=name) + dump(body)


def _defaults(backend: Backend) -> dict[str, Any]:
    return {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(backend.options)
    }


def files() -> dict[Path, str]:
    """Every file that the registry of backends asks for, with its text."""
    own = [name for name in BACKENDS if BACKENDS.origin(name) == OWN]
    return {FOLDER / f"{name}.yaml": option_file(name) for name in own}


def different() -> list[Path]:
    """Files that are missing, say something else, or have no backend."""
    wanted = files()
    there = {path: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.yaml")}
    return sorted(p for p in {*wanted, *there} if wanted.get(p) != there.get(p))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    found, wanted = different(), files()
    for path in found:
        print(path.relative_to(REPO))
        if not check and path in wanted:
            path.write_text(wanted[path], encoding="utf-8")
        elif not check:
            path.unlink()
    return int(check and bool(found))


if __name__ == "__main__":
    raise SystemExit(main())
