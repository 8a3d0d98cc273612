"""QNN: the Hexagon NPU (HTP) of Qualcomm's Snapdragon, by Qualcomm AI Engine Direct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llm_export.backends import one_scheme
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.machine import Variable
from llm_export.backends.one_scheme import integers_only, static_scheme
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING
from llm_export.compat.vendor_backends import qnn_passes

if TYPE_CHECKING:
    from torch.export import ExportedProgram

# The version that ExecuTorch 1.5 is built against, and its download page.
_VERSION = "2.37.0.250724"
_URL = (
    "https://softwarecenter.qualcomm.com/api/download/software/sdks/"
    f"Qualcomm_AI_Runtime_Community/All/{_VERSION}/v{_VERSION}.zip"
)
_LIBRARIES = "lib/x86_64-linux-clang"

# QcomChipset of ExecuTorch 1.5; a test compares the two.
CHIPSETS = (
    "SA8295", "SA8797", "SC8380XP", "SM8350", "SM8450", "SM8475", "SM8550", "SM8650", "SM8750",
    "SM8850", "SSG2115P", "SSG2125P", "SXR1230P", "SXR2230P", "SXR2330P", "QCS9100", "SAR2230P",
    "SA8255", "SW6100", "QCM6490", "SM8845",
)  # fmt: skip

_DTYPES = {"8a8w": "use_8a8w", "16a8w": "use_16a8w", "16a4w": "use_16a4w"}

# Embeddings stay outside the delegate: QNN has no lookup in quantized embeddings.
SUPPORT = integers_only(*_DTYPES, embedding=EMBEDDING)


@dataclass(frozen=True)
class Options:
    """Attributes:
    soc_model: the chip, e.g. SM8650 (Snapdragon 8 Gen 3), SM8750 (8 Elite).
    shared_buffer: keep inputs and outputs in memory shared with the NPU, without copies.
    """

    soc_model: str = "SM8650"
    shared_buffer: bool = False

    def __post_init__(self) -> None:
        if self.soc_model not in CHIPSETS:
            raise ValueError(f"soc_model={self.soc_model} is none of {', '.join(CHIPSETS)}")


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.qualcomm.partition.qnn_partitioner import QnnPartitioner

    return [QnnPartitioner(compile_specs(resolved))]


def compile_specs(resolved: Resolved) -> list[Any]:
    """Compile options: float16 on the NPU if the recipe has no static scheme."""
    from executorch.backends.qualcomm.serialization.qc_schema import QcomChipset
    from executorch.backends.qualcomm.utils.utils import (
        generate_htp_compiler_spec,
        generate_qnn_executorch_compiler_spec,
    )

    options = options_of(resolved, Options)
    specs: list[Any] = generate_qnn_executorch_compiler_spec(
        soc_model=QcomChipset[options.soc_model],
        backend_options=generate_htp_compiler_spec(use_fp16=static_scheme(resolved) is None),
        shared_buffer=options.shared_buffer,
    )
    return specs


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantizer for all operators that the NPU supports, in the scheme's integer types."""
    from executorch.backends.qualcomm.quantizer.quantizer import QnnQuantizer, QuantDtype
    from executorch.backends.qualcomm.serialization.qc_schema import (
        QcomChipset,
        QnnExecuTorchBackendType,
    )

    scheme = static_scheme(resolved)
    assert scheme is not None, "called for static schemes only"
    made = QnnQuantizer(
        backend=QnnExecuTorchBackendType.kHtpBackend,
        soc_model=QcomChipset[options_of(resolved, Options).soc_model],
    )
    made.set_default_quant_config(
        QuantDtype[_DTYPES[scheme]],
        is_qat=training,
        is_conv_per_channel=True,
        is_linear_per_channel=True,
    )
    return made


def prepare(program: ExportedProgram) -> ExportedProgram:
    """Qualcomm's passes over the exported graph: make constants accessible to its node builders."""
    return qnn_passes().transform_for_export_pipeline(program)


def edge_passes(resolved: Resolved, program: ExportedProgram) -> list[Any]:
    """Qualcomm's passes over the edge program of ``program``, before partitioning."""
    specs = compile_specs(resolved)
    return list(qnn_passes().get_to_edge_transform_passes(program, compiler_specs=specs))


BACKEND = DeclaredBackend(
    name="qnn",
    description="Hexagon NPUs of Qualcomm's Snapdragon chips, by Qualcomm AI Engine Direct",
    delegate="QnnBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        integers_throughout=True,
        attention=("static_io", "plain"),
        token_dtype="int32",
        computes_in="float16",
    ),
    make_partitioners=partitioners,
    refusals=one_scheme.refusals,
    make_edge_passes=edge_passes,
    needs=(
        Module(
            "executorch.backends.qualcomm.python.PyQnnManagerAdaptor",
            "this build of ExecuTorch lacks Qualcomm's compiler adaptor; its package for Linux on "
            "x86-64 has it",
            "pip install executorch, on Linux on x86-64",
        ),
        Variable(
            "QNN_SDK_ROOT",
            f"{_LIBRARIES}/libQnnHtp.so",
            f"Qualcomm's AI Engine Direct SDK {_VERSION} is not installed",
            f"download {_URL}, unpack it, and: export QNN_SDK_ROOT=FOLDER "
            f"LD_LIBRARY_PATH=FOLDER/{_LIBRARIES}:$LD_LIBRARY_PATH",
            instead=f"~/.cache/executorch/qnn/sdk-{_VERSION}",
        ),
    ),
    runs=(Never("a Hexagon NPU runs it", "run the bundle in an app on a Snapdragon device"),),
    make_quantizer=quantizer,
    exported_transform="llm_export.backends.qnn:prepare",
    options=Options,
    dim_order=True,
    experimental="never lowered with Qualcomm's SDK here; compare on a device before relying on it",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends-qualcomm.html",
    ),
)  # fmt: skip
