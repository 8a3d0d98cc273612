"""ExecuTorch's fused mixture of experts, ``llama::quantized_moe_ffn``: is it right, how fast is it?

python benchmarks/moe_operator.py

Weights are packed here as torchao's kernels for Arm read them (torchao,
``csrc/cpu/torch_free_kernels/weight_packing``), because torchao's wheels have no operator that
packs them. Printed are the largest error relative to the largest output, against the same mixture
of dequantized weights, and the median CPU milliseconds of a call.
"""

from __future__ import annotations

import statistics
import time

import torch
from executorch.extension.llm.custom_ops import custom_ops  # noqa: F401
from torch import Tensor
from torch.nn import functional as F

_ROWS, _COLUMNS, _PARTS, _HEADER = 8, 16, 2, 64
_GROUP = 32
_SHAPES = ((512, 1024, 8, 2), (512, 128, 64, 4))
"""(hidden size, channels of an expert, experts, experts of a token)."""


def quantize(weight: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """[N, K] -> int8 values [N, K] and scales [N, K / group], symmetric."""
    half = 1 << (bits - 1)
    groups = weight.view(len(weight), -1, _GROUP)
    scales = groups.abs().amax(-1) / (half - 1)
    values = (groups / scales[..., None]).round().clamp(-half, half - 1).to(torch.int8)
    return values.view_as(weight), scales


def pack(values: Tensor, scales: Tensor, bits: int) -> Tensor:
    """Blocks of 8 rows: the values of a group in pieces of 16 columns, its scales, its sums."""
    parts = [torch.zeros(_HEADER, dtype=torch.uint8)]
    for row in range(0, len(values), _ROWS):
        for group in range(scales.shape[1]):
            block = values[row : row + _ROWS, group * _GROUP : (group + 1) * _GROUP]
            for column in range(0, _GROUP, _COLUMNS):
                piece = block[:, column : column + _COLUMNS]
                piece = piece.reshape(_ROWS, _PARTS, -1).transpose(0, 1).reshape(4, 32)
                if bits == 4:
                    piece = piece + 8
                    piece = (piece[:, 16:] << 4) | piece[:, :16]
                parts.append(_bytes(piece))
            parts.append(_bytes(scales[row : row + _ROWS, group]))
            parts.append(_bytes(block.sum(1, dtype=torch.int32)))
    return torch.cat(parts)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.contiguous().view(torch.uint8).reshape(-1)


class Mixture:
    """A random mixture, packed and dequantized."""

    def __init__(self, shape: tuple[int, int, int, int], bits: int, score: str) -> None:
        self.hidden, self.size, self.experts, self.active = shape
        self.bits, self.score = bits, score
        self.gate = torch.randn(self.experts, self.hidden) * self.hidden**-0.5
        self.bias = torch.randn(self.experts) * 0.1 if score == "sigmoid" else torch.empty(0)
        self.up, self.up_packed = self._weights(2 * self.size, self.hidden)
        self.down, self.down_packed = self._weights(self.hidden, self.size)

    def _weights(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        dense, packed = [], []
        for _ in range(self.experts):
            values, scales = quantize(torch.randn(rows, columns) * columns**-0.5, self.bits)
            dense.append((values.view(rows, -1, _GROUP) * scales[..., None]).view(rows, columns))
            packed.append(pack(values, scales, self.bits))
        return torch.stack(dense), torch.stack(packed)

    def fused(self, x: Tensor) -> Tensor:
        return torch.ops.llama.quantized_moe_ffn(
            x, self.gate, self.bias, self.up_packed, self.down_packed, self.active, self.experts,
            self.size, self.hidden, _GROUP, self.bits, self.score, 2.5,
        )  # fmt: skip

    def expected(self, x: Tensor) -> Tensor:
        scores = x @ self.gate.t()
        if self.score == "sigmoid":
            scores = scores.sigmoid()
            chosen = (scores + self.bias).topk(self.active, -1).indices
            weights = scores.gather(1, chosen)
            weights = weights / weights.sum(-1, keepdim=True) * 2.5
        else:
            best = scores.topk(self.active, -1)
            chosen, weights = best.indices, best.values.softmax(-1)
        gate, up = (self.up[chosen] @ x[:, None, :, None]).squeeze(-1).chunk(2, -1)
        rows = (self.down[chosen] @ (F.silu(gate) * up)[..., None]).squeeze(-1)
        return (rows * weights[..., None]).sum(1)


def milliseconds(mixture: Mixture, tokens: int) -> float:
    x, found = torch.randn(tokens, mixture.hidden), []
    mixture.fused(x)
    for _ in range(7):
        start = time.process_time()
        mixture.fused(x)
        found.append(1e3 * (time.process_time() - start))
    return statistics.median(found)


def main() -> None:
    torch.manual_seed(0)
    for bits in (4, 8):
        for score in ("sigmoid", "softmax"):
            mixture, x = Mixture((64, 32, 4, 2), bits, score), torch.randn(5, 64)
            expected = mixture.expected(x)
            error = float((mixture.fused(x) - expected).abs().max() / expected.abs().max())
            print(f"{bits} bits, {score}: error {error:.0e}")
    for shape in _SHAPES:
        mixture = Mixture(shape, 4, "softmax")
        times = ", ".join(f"{n} tokens {milliseconds(mixture, n):.1f} ms" for n in (1, 16))
        print(f"hidden {shape[0]}, {shape[3]} of {shape[2]} experts of {shape[1]}: {times}")


if __name__ == "__main__":
    main()
