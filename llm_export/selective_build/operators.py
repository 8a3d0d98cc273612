"""selected_operators.yaml: the operators of a program, each with the types of its tensors.

ExecuTorch's own ``codegen.tools.gen_oplist`` writes it from the program's tables. Its kernel keys
are those of ``runtime/kernel/operator_registry.h``: ``v1/`` and for each tensor argument the number
of its dtype and its dimension order.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from llm_export.errors import BundleError
from runtime_py.guard import reason
from runtime_py.program_front import HEAD, tables_size
from runtime_py.program_header import check_program_header

KERNELS_TARGET = "executorch_kernels"
"""CMake target that ExecuTorch's selection is of."""

_HEAD_LINES = """\
# The operators that {name} runs outside of delegates, with the types of their tensors. For
# ExecuTorch's sources, target {target}, by operators and types, then by operators alone:
#   -DEXECUTORCH_SELECT_OPS_MODEL={name} -DEXECUTORCH_ENABLE_DTYPE_SELECTIVE_BUILD=ON
#   -DEXECUTORCH_SELECT_OPS_LIST={operators}
"""


def selected_operators(program: Path) -> str | None:
    """The text of selected_operators.yaml for a program; None where this build of ExecuTorch has no
    tool for it.

    Raises:
        BundleRuntimeError: the file is no program.
    """
    try:
        from executorch.codegen.tools.gen_oplist import gen_oplist
    except ImportError:
        return None
    check_program_header(program)
    with tempfile.TemporaryDirectory(prefix="llm_export-operators-") as scratch:
        tables, out = Path(scratch) / program.name, Path(scratch) / "operators.yaml"
        # The tool reads a file into memory; the tables name the operators without the weights.
        with program.open("rb") as file:
            size = tables_size(file.read(HEAD))
            file.seek(0)
            tables.write_bytes(file.read(size))
        with contextlib.redirect_stdout(io.StringIO()):
            gen_oplist(out, model_file_path=str(tables))
        body = yaml.safe_load(out.read_bytes())
    for entry in body["operators"].values():
        entry["debug_info"] = [program.name]  # the tool has put the file's path there
    return _text(body, program.name)


def _text(body: dict[str, Any], name: str) -> str:
    head = _HEAD_LINES.format(
        name=name, target=KERNELS_TARGET, operators=",".join(sorted(body["operators"]))
    )
    return head + yaml.safe_dump(body, default_flow_style=False, width=10_000)


def operators_list(files: Iterable[Path]) -> str:
    """The value of ``EXECUTORCH_SELECT_OPS_LIST`` for an app with all of these programs.

    Args:
        files: the selected_operators.yaml of each.

    Raises:
        BundleError: one cannot be read.
    """
    found: set[str] = set()
    for file in files:
        try:
            found |= {str(name) for name in yaml.safe_load(file.read_bytes())["operators"]}
        except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError) as error:
            raise BundleError(
                f"the operators cannot be read: {reason(error)}",
                where=str(file), fix="llm-export verify BUNDLE; export it again",
            ) from None  # fmt: skip
    return ",".join(sorted(found))
