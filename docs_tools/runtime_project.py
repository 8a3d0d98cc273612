"""Write runtime_py/pyproject.toml, with which the runtime is a distribution of its own, from
setup.cfg: python docs_tools/runtime_project.py"""

from __future__ import annotations

import json
from collections.abc import Iterable
from configparser import ConfigParser
from pathlib import Path

from packaging.requirements import Requirement

REPO = Path(__file__).parents[1]
FILE = REPO / "runtime_py/pyproject.toml"
NEEDS = ("torch", "tokenizers", "jinja2", "jsonschema", "numpy", "psutil", "safetensors")
"""What running a bundle imports, but ExecuTorch: what that declares is for export."""
EXTRAS = ("audio", "constrained", "images", "serve")
"""Those of setup.cfg that are the runtime's."""
_TOP = "runtime_py"


def text() -> str:
    settings = ConfigParser()
    settings.read(REPO / "setup.cfg")
    options = settings["options"]
    packages = [name for name in options["packages"].split() if name.split(".")[0] == _TOP]
    data = {
        name: [part.strip() for part in files.split(",")]
        for name, files in settings["options.package_data"].items()
        if name.split(".")[0] == _TOP
    }
    known = {Requirement(line).name: line for line in _lines(options["install_requires"])}
    extras = {
        "executorch": [known["executorch"]],
        "hub": [known["huggingface_hub"]],
        **{name: list(_lines(settings["options.extras_require"][name])) for name in EXTRAS},
    }
    return _TEMPLATE.format(
        python=options["python_requires"],
        needs=_block(known[name] for name in NEEDS),
        extras="\n".join(f"{name} = {json.dumps(each)}" for name, each in sorted(extras.items())),
        packages=_block(sorted(packages)),
        data="\n".join(f'"{name}" = {json.dumps(each)}' for name, each in sorted(data.items())),
    )


def _lines(value: str) -> Iterable[str]:
    return (line for line in value.split("\n") if line and not line.startswith("#"))


def _block(values: Iterable[str]) -> str:
    return "".join(f"    {json.dumps(value)},\n" for value in values)


_TEMPLATE = """\
# Written by docs_tools/runtime_project.py. The runtime as a distribution of its own:
# pip install ./runtime_py. llm_export's wheel has the same package in it; see docs/runtime.md.
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "llm_export_runtime"
dynamic = ["version"]
description = "Run, talk to and serve bundles of llm_export with ExecuTorch."
readme = "README.md"
license = "BSD-3-Clause"
license-files = ["LICENSE"]
requires-python = "{python}"
keywords = ["executorch", "llm", "on-device", "inference"]
dependencies = [
{needs}]

[project.optional-dependencies]
{extras}

[project.scripts]
llm-runtime = "runtime_py.__main__:main"

[tool.setuptools]
package-dir = {{"runtime_py" = "."}}
packages = [
{packages}]

[tool.setuptools.dynamic]
version = {{attr = "runtime_py._version.__version__"}}

[tool.setuptools.package-data]
{data}

# Not into this folder, where the files would count as the package's.
[tool.distutils.build]
build_base = "../build/runtime"
"""

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
