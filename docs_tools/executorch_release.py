"""Write what a released ExecuTorch runs to ``llm_export/data/executorch/VERSION.json``.

    python docs_tools/executorch_release.py 1.5.1 [VERSION ...]

Downloads the wheels of the versions for Linux and macOS with pip and reads their libraries, without
installing them: each needs a torch of its own. Operators are the names in the libraries, which is
what they register: ``tests/unit/bundle/test_releases.py`` compares those of the installed version
with its registry.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

OUT = Path(__file__).parents[1] / "llm_export" / "data" / "executorch"
PLATFORMS = {
    "linux": ["manylinux_2_28_x86_64"],
    "macos": [f"macosx_{major}_0_arm64" for major in range(11, 16)],
}
LIBRARY = re.compile(r"executorch/(?:lib|extension/pybindings|extension/llm/custom_ops|"
                     r"kernels/quantized|backends/[^/]+)/[^/]*\.(?:so|dylib)$")  # fmt: skip
OPERATOR = re.compile(rb"([a-z][a-z0-9_]*::[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)?)\0")
PROFILED = "native_call_"
"""Prefix of an operator's name in traces."""
NO_OPERATORS = {"quantized_decomposed::embedding_xbit"}
"""A name for messages: the kernels that it stands for have one for each bit width."""
BACKEND = re.compile(r"^class (\w+)\(BackendDetails\)|^class (\w+)\(.*BackendDetails.*\):", re.M)
TABLES = ("Program", "ExecutionPlan", "ExtraTensorInfo")
XNNPACK = "executorch/backends/xnnpack/serialization/"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("versions", nargs="+", metavar="VERSION")
    parser.add_argument("--wheels", type=Path, help="a folder to keep the wheels in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for version in options.versions:
            folder = (options.wheels or Path(temporary)) / version
            wheels = {name: wheel(folder / name, version, name) for name in PLATFORMS}
            OUT.mkdir(parents=True, exist_ok=True)
            text = json.dumps(contents(version, wheels), indent=1) + "\n"
            (OUT / f"{version}.json").write_text(text)
            print(OUT / f"{version}.json")
    return 0


def wheel(folder: Path, version: str, platform: str) -> Path | None:
    """None: that version has none for the platform."""
    if not list(folder.glob("*.whl")):
        words = [word for name in PLATFORMS[platform] for word in ("--platform", name)]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:",
             "--python-version", "3.11", *words, "-d", str(folder), f"executorch=={version}"],
            check=platform == "linux",
        )  # fmt: skip
    return next(iter(folder.glob("*.whl")), None)


def contents(version: str, wheels: dict[str, Path | None]) -> dict[str, object]:
    linux = wheels["linux"]
    assert linux is not None
    with zipfile.ZipFile(linux) as file:
        program = file.read("executorch/schema/program.fbs").decode()
        xnnpack = [file.read(XNNPACK + n).decode() for n in ("runtime_schema.fbs", "schema.fbs")]
        sources = sorted(set(backend_classes(file)))
        declared = set(declared_operators(file))
    found = {name: libraries(path) for name, path in wheels.items() if path is not None}
    own = operators(found["linux"])
    return {
        "executorch": version,
        "program": {
            "identifier": identifier(program),
            "fields": {name: len(fields(program, name)) for name in TABLES},
        },
        "XnnpackBackend": {
            "identifiers": sorted({identifier(text) for text in xnnpack}),
            "nodes": union(xnnpack[0], "XNodeUnion"),
            "datatypes": union(xnnpack[0], "XNNDatatype"),
        },
        "backends": {
            **{name: registered(data, sources) for name, data in found.items()},
            "sources": sources,
        },
        "operators": own,
        "operators_macos": sorted({*operators(found.get("macos", b""))} - {*own}),
        "operators_sources": sorted(declared - {*own}),
    }


def libraries(path: Path) -> bytes:
    with zipfile.ZipFile(path) as file:
        return b"\0".join(file.read(n) for n in file.namelist() if LIBRARY.fullmatch(n))


def backend_classes(file: zipfile.ZipFile) -> Iterator[str]:
    """The names of delegates that this version's Python code lowers for."""
    for name in file.namelist():
        if re.fullmatch(r"executorch/backends/(?!example|.*test).*\.py", name):
            for match in BACKEND.finditer(file.read(name).decode()):
                yield match[1] or match[2]


def declared_operators(file: zipfile.ZipFile) -> Iterator[str]:
    """Operators of vendors' kernels, which no wheel has compiled."""
    for name in file.namelist():
        if re.fullmatch(r"executorch/backends/(?!.*test).*\.yaml", name):
            yield from re.findall(r"^- func: (\w+::\w+\.\w+)\(", file.read(name).decode(), re.M)


def registered(data: bytes, known: list[str]) -> list[str]:
    return [n for n in known if re.search(rb"(?<![A-Za-z_])" + n.encode() + rb"\0", data)]


def operators(data: bytes) -> list[str]:
    names = {n.decode().removeprefix(PROFILED) for n in OPERATOR.findall(data)}
    spaces = {name.split("::")[0] for name in names if "." in name}
    return sorted(
        name for name in names
        if name.split("::")[0] in spaces and name.split(".")[0] not in NO_OPERATORS
    )  # fmt: skip


def identifier(schema: str) -> str:
    found = re.search(r'^file_identifier "(\w+)"', schema, re.M)
    assert found
    return found[1]


def body(schema: str, name: str) -> str:
    bare = re.sub(r"//.*", "", schema)
    found = re.search(rf"^(?:table|union|enum) {name}\b[^{{]*\{{(.*?)^\}}", bare, re.M | re.S)
    assert found, name
    return found[1]


def fields(schema: str, table: str) -> list[str]:
    return re.findall(r"(\w+)\s*:[^;]*;", body(schema, table))


def union(schema: str, name: str) -> list[str]:
    """Members in the order of their numbers, from 1 for a union and from 0 for an enum."""
    return [part.strip().split(":")[0].split("=")[0].strip()
            for part in body(schema, name).split(",") if part.strip()]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
