"""The packages that ``runtime_py`` imports, with theirs, in the versions that are installed here.

ExecuTorch and tokenizers declare what only export and downloads need; of those two the lock names
what running imports. So it is installed with ``pip install --no-deps``.
"""

from __future__ import annotations

from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from llm_export.errors import MissingDependencyError
from llm_export.targets.python_runner import NEEDS

ROOTS = (*NEEDS, "safetensors")
"""Snapshots are files of safetensors."""
_IMPORTS = {
    # The last is ruamel-yaml's parser in C: ExecuTorch reads a YAML file in each process.
    "executorch": ("flatbuffers", "tabulate", "torchao", "ruamel-yaml", "ruamel-yaml-clib"),
    "tokenizers": (),
}  # fmt: skip
"""Distribution -> those of its declared packages that running a program imports."""
_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"


def locked() -> dict[str, str]:
    """Distribution -> version.

    Raises:
        MissingDependencyError: one is not installed here.
    """
    found: dict[str, str] = {}
    waiting = list(ROOTS)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            raise MissingDependencyError(
                f"the lock needs the version of {name}, which is not installed here",
                fix=f"pip install {name}",
            ) from None
        waiting += _IMPORTS.get(name, _needs(name))
    return dict(sorted(found.items()))


def _needs(name: str) -> list[str]:
    wanted = map(Requirement, metadata.requires(name) or ())
    return [each.name for each in wanted if each.marker is None or each.marker.evaluate()]


def requirements(versions: dict[str, str]) -> str:
    """requirements.txt. The index of PyTorch has its CPU builds, which are a tenth of the others'
    size; on macOS every build is one."""
    lines = [f"--extra-index-url {_TORCH_INDEX}"]
    for name, version in versions.items():
        if name == "torch":
            public = Version(version).public
            lines += [f'torch=={public}+cpu; sys_platform != "darwin"',
                      f'torch=={public}; sys_platform == "darwin"']  # fmt: skip
        else:
            lines.append(f"{name}=={version}")
    return "\n".join(lines) + "\n"
