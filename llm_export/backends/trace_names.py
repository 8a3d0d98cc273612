"""How backends name operators in the events that they trace inside their delegates.

A backend that traces none is not here: its delegates are measured as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping

_RESHAPES = {"view_copy", "unsqueeze_copy", "squeeze_copy", "reshape", "expand_copy", "clone"}
_ROUNDING = {
    "quantize_affine", "dequantize_affine", "quantize_per_tensor", "dequantize_per_tensor",
    "quantize_per_channel", "dequantize_per_channel", "_to_copy", "_to_dim_order_copy",
}  # fmt: skip
_LIMITS = {"clamp", "relu", "relu6", "hardtanh"}

_XNNPACK: dict[str, set[str]] = {
    "Abs": {"abs"},
    "Add": {"add"},
    "ApproxGELU": {"gelu"},
    "Batch Matrix Multiply": {"bmm", "matmul"},
    "Ceiling": {"ceil"},
    "Clamp": _LIMITS,
    "Constant Pad": {"constant_pad_nd"},
    "Convert": _ROUNDING,
    "Convolution": {"convolution", "conv1d", "conv2d"},
    "Copy": {"cat", "clone", "slice_copy", "copy"} | _RESHAPES,
    "Cosine": {"cos"},
    "Divide": {"div"},
    "Dynamic Fully Connected": {"linear", "addmm", "mm"},
    "ELU": {"elu"},
    "Exp": {"exp"},
    "Floor": {"floor"},
    "Fully Connected": {"linear", "addmm", "mm"},
    "Fuse Dims": _RESHAPES,
    "GELU": {"gelu"},
    "HardSwish": {"hardswish"},
    "LeakyReLU": {"leaky_relu"},
    "Log": {"log"},
    "Maximum": {"maximum", "clamp"},
    "Mean": {"mean"},
    "Minimum": {"minimum", "clamp"},
    "Multiply": {"mul"},
    "Negate": {"neg"},
    "PReLU": {"_prelu_kernel", "prelu"},
    "Power": {"pow"},
    "Reciprocal Square Root": {"rsqrt"},
    "Sigmoid": {"sigmoid"},
    "Sine": {"sin"},
    "Slice": {"slice_copy", "split", "split_with_sizes_copy"},
    "Softmax": {"_softmax"},
    "Split Dims": _RESHAPES,
    "Square": {"pow", "square"},
    "Square Root": {"sqrt"},
    "Squared Difference": {"squared_difference"},
    "Static Expand Dims": _RESHAPES,
    "Static Reshape": _RESHAPES,
    "Subtract": {"sub", "rsub"},
    "Sum": {"sum"},
    "TanH": {"tanh"},
    "Transpose": {"permute_copy", "transpose_copy", "t_copy"} | _RESHAPES,
}
"""Of XNNPACK's ``operator-type-defs.inc``."""

TRACE_NAMES: Mapping[str, Mapping[str, set[str]]] = {"XnnpackBackend": _XNNPACK}
"""ExecuTorch's name of a delegate -> how its events begin -> the operators that it may compute."""
