"""MediaTek: the NPUs (APU) of Dimensity chips, by NeuroPilot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_export.backends import one_scheme
from llm_export.backends.base import Capabilities, DeclaredBackend, Resolved, options_of
from llm_export.backends.one_scheme import integers_only, static_scheme
from llm_export.backends.packages import Module, Never
from llm_export.backends.tables import EMBEDDING
from llm_export.compat.vendor_backends import set_neuropilot_training

PLATFORMS = ("mt6989", "mt6991", "mt6993")

_PRECISIONS = {"8a8w": "A8W8", "16a8w": "A16W8", "16a4w": "A16W4"}
SUPPORT = integers_only(*_PRECISIONS, embedding=EMBEDDING)

_SDK = (
    "download the NeuroPilot Express SDK from https://neuropilot.mediatek.com and pip install the "
    "mtk_converter and mtk_neuron wheels in it"
)


@dataclass(frozen=True)
class Options:
    """``platform``: mt6989 (Dimensity 9300), mt6991 (9400) or mt6993 (9500)."""

    platform: str = "mt6989"

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise ValueError(f"platform={self.platform} is none of {', '.join(PLATFORMS)}")


def partitioners(resolved: Resolved) -> list[Any]:
    from executorch.backends.mediatek.partitioner import NeuropilotPartitioner
    from executorch.exir.backend.backend_details import CompileSpec

    platform = options_of(resolved, Options).platform
    return [NeuropilotPartitioner([CompileSpec("platform-config", platform.encode())])]


def quantizer(resolved: Resolved, modules: Sequence[str], training: bool) -> Any:
    """Quantizer for all operators that NeuroPilot supports, in the scheme's integer types."""
    from executorch.backends.mediatek.quantizer import NeuropilotQuantizer, Precision

    scheme = static_scheme(resolved)
    assert scheme is not None, "called for static schemes only"
    made = NeuropilotQuantizer()
    made.setup_precision(Precision[_PRECISIONS[scheme]])
    set_neuropilot_training(made, training)
    return made


BACKEND = DeclaredBackend(
    name="mediatek",
    description="NPUs of MediaTek's Dimensity chips, by NeuroPilot",
    delegate="NeuropilotBackend",
    capabilities=Capabilities(
        dynamic_shapes=False,
        integers_throughout=True,
        attention=("static_io", "plain"),
        # Its compiler runs with relaxed float32 precision.
        computes_in="float16",
        prefill_length=1,
    ),
    make_partitioners=partitioners,
    refusals=one_scheme.refusals,
    needs=(
        Module("executorch.backends.mediatek"),
        Module("mtk_converter", "MediaTek's mtk_converter is not installed", _SDK),
        Module("mtk_neuron", "MediaTek's mtk_neuron is not installed", _SDK),
    ),
    runs=(Never("a Dimensity NPU runs it", "run the bundle in an app on a Dimensity device"),),
    make_quantizer=quantizer,
    options=Options,
    experimental="never lowered with MediaTek's SDK here; compare on a device before relying on it",
    references=(
        "https://docs.pytorch.org/executorch/stable/backends-mediatek.html",
    ),
)  # fmt: skip
