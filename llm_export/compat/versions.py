"""The versions of other libraries that the rest of this folder was written for."""

from __future__ import annotations

import functools
from importlib import metadata

from packaging.specifiers import SpecifierSet

TESTED = {
    "torch": ">=2.13,<2.14",
    # One release alone: the order of its passes, its file format and two of its classes are
    # repeated or patched here, and these change between patch releases.
    "executorch": "==1.5.1",
    "torchao": ">=0.18,<0.19",
    "hydra-core": ">=1.3.2,<1.4",
    "omegaconf": ">=2.3,<2.4",
    "transformers": ">=5.23,<5.24",
    "torchtune": "==0.6.1",
}
"""Package -> the range of versions that its private parts were tested with."""


@functools.cache
def version(package: str) -> str:
    """The version of an installed package, which a process reads once: a recipe's checks ask for
    dozens, and each is a file to find and parse. Does not import it.

    Raises:
        PackageNotFoundError: it is not installed; asked again, it is looked for again.
    """
    return metadata.version(package)


def installed(package: str) -> str:
    """The version of a package; '' if it is not installed. Does not import it."""
    try:
        return version(package)
    except metadata.PackageNotFoundError:
        return ""


def tested(package: str) -> str:
    """'' if the installed version of a package is in the tested range, else a message.

    Raises:
        KeyError: nothing private of the package is used.
    """
    allowed, found = TESTED[package], installed(package)
    if found and SpecifierSet(allowed).contains(found, prereleases=True):
        return ""
    if not found:
        return f"{package} is not installed; tested is {allowed}"
    return f"{package} {found} is installed; tested is {allowed}"


def lowering_untested() -> str:
    """'' if the optimizations that use private parts of ExecuTorch are enabled, else why they are
    off. Without them ExecuTorch's documented path gives the same model.
    """
    return tested("executorch") or tested("torch")
