"""Store an adapter's weights in a separate file (.ptd) instead of the program.

A kernel's weight is found there by its parameter's name, a delegate's by a key derived from the
bytes. The program is therefore lowered with values derived from the parameters' names: every
factor gets a unique key that is independent of the adapter, and the bytes show which key belongs
to which parameter. The file of any adapter then stores its values under these keys.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from llm_export.bundle.adapter_file import Place, bytes_of
from llm_export.compat.tensor_file import read_tensor_file
from llm_export.errors import PostConditionError

_TAG = "adapter"


class ExternalWeights:
    """The parameters of a program's methods that are stored externally.

    Args:
        programs: changed in place: values of ``names`` by placeholders, their nodes tagged.
        names: parameters.
    """

    def __init__(self, programs: Iterable[ExportedProgram], names: Mapping[str, Tensor]) -> None:
        self._values = {n: _placeholder(n, tuple(t.shape)) for n, t in names.items()}
        self._nodes: set[str] = set()
        for program in programs:
            self._take_out(program)

    def _take_out(self, program: ExportedProgram) -> None:
        inputs = program.graph_signature.inputs_to_parameters
        nodes = {node for node, name in inputs.items() if name in self._values}
        for name, value in self._values.items():
            program.state_dict[name] = torch.nn.Parameter(value, requires_grad=False)
        for node in program.graph.nodes:
            if node.name in nodes:
                # What ExecuTorch's delegate_external_constants_pass_unlifted writes.
                node.meta["custom"] = {
                    **node.meta.get("custom", {}), "delegate_constant_tag": _TAG,
                }  # fmt: skip
        self._nodes |= nodes

    @property
    def constants(self) -> bool | Callable[[Any], str | None]:
        """For ExecutorchBackendConfig.external_constants."""
        return (lambda node: _TAG if node.name in self._nodes else None) if self._nodes else False

    def places(self, lowered: Any) -> dict[str, Place]:
        """Parameter -> its key, from an ExecutorchProgramManager.

        Raises:
            PostConditionError: a parameter is not in the file, or was changed.
        """
        if not self._values:
            return {}
        entries = _entries(lowered)
        keys: dict[bytes, list[str]] = {}
        for key, (data, _) in entries.items():
            keys.setdefault(data, []).append(key)
        places = {}
        for name, value in self._values.items():
            found = keys.get(bytes_of(value), [])
            if len(found) != 1:
                raise PostConditionError(
                    f"lowering did not keep '{name}' apart from the program",
                    where="checkpoint.adapter_mode",
                    fix="checkpoint.adapter_mode=merged",
                )
            places[name] = Place(found[0], tuple(value.shape), entries[found[0]][1])
        if len(entries) != len(places):
            raise PostConditionError("lowering put more than the adapter into its file")
        return places


def _placeholder(name: str, shape: tuple[int, ...]) -> Tensor:
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _entries(lowered: Any) -> dict[str, tuple[bytes, bool]]:
    """key -> (bytes, whether it is a tensor) of the file that lowering wrote for the tag."""
    with tempfile.TemporaryDirectory() as folder:
        lowered.write_tensor_data_to_file(folder)
        files = list(Path(folder).iterdir())
        if [file.name for file in files] != [f"{_TAG}.ptd"]:
            return {}
        return read_tensor_file(files[0].read_bytes())
