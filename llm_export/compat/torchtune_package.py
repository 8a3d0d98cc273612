"""Import torchtune 0.6.1 beside torchao 0.18, or say what is missing.

torchtune 0.6.1 is its last release. It imports ``torchao.dtypes.nf4tensor``, which torchao
0.18 moved; registered under its old name before the first import, it makes torchtune's
models, modules and weight conversions import. ``torchtune.training.quantization`` still
does not: it needs a layout class that torchao removed. Nothing here uses it.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys

from llm_export.errors import MissingDependencyError

_OLD = "torchao.dtypes.nf4tensor"
_NEW = "torchao.quantization.quantize_.workflows.nf4.nf4_tensor"
INSTALL = "pip install torchtune==0.6.1"


def torchtune_is_installed() -> bool:
    """Whether the package is there; imports nothing."""
    return importlib.util.find_spec("torchtune") is not None


def missing_torchtune(reason: str = "torchtune is not installed") -> MissingDependencyError:
    """The error of everything that needs torchtune."""
    return MissingDependencyError(
        reason, where="torchtune checkpoints and model.definition=torchtune", fix=INSTALL
    )


def load_torchtune() -> None:
    """Make ``import torchtune.models...`` work; calling it again does nothing.

    Raises:
        MissingDependencyError: torchtune is not installed, or does not fit the torchao at hand.
    """
    if not torchtune_is_installed():
        raise missing_torchtune()
    try:
        try:
            importlib.import_module(_OLD)
        except ModuleNotFoundError:
            # By name: the attribute ``torchao.quantization.quantize_`` is a function.
            sys.modules[_OLD] = importlib.import_module(_NEW)
        importlib.import_module("torchtune.models.convert_weights")
    except ImportError as error:
        raise missing_torchtune(f"torchtune cannot be imported: {error}") from None
