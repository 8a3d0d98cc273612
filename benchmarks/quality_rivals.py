"""What a user of a platform would otherwise take, measured on the same weights and text.

OpenVINO's and MLX's own packages quantize the weights of the float32 model; Core ML's weights are
rounded here as coremltools does it. OpenVINO's runtime computes its logits. MLX's and Core ML's
weights are dequantized into the float32 model, without the rounding of their float16 arithmetic:
their runtimes need a Mac.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.kept import Row, provenance
from benchmarks.quality_rows import POSITIONS, RECIPE

if TYPE_CHECKING:
    from torch import Tensor, nn

Logits = Callable[[list[int]], "Tensor"]
"""Ids of a window -> [S, V]."""


@dataclass(frozen=True)
class Rival:
    """Attributes:
    backends: whose users would take it.
    package: that it needs, as pip names it, and its module; None: it needs none.
    tools: packages whose versions are told.
    prepare: from the float32 model, which it may change, to (logits, bytes).
    """

    name: str
    backends: tuple[str, ...]
    package: tuple[str, str] | None
    tools: tuple[str, ...]
    prepare: Callable[[Any], tuple[Logits, int]]
    note: str

    def obstacle(self) -> str | None:
        if self.package is None:
            return None
        package, module = self.package
        return None if find_spec(module) else f"{module} is missing: pip install '{package}'"


def measure(rival: Rival, positions: int = POSITIONS) -> Row:
    """Its row: compared with the float32 model like the programs."""
    import torch

    from llm_export.metrics.comparison import Comparison
    from llm_export.metrics.kept_logits import KeptLogits

    recipe, loaded = _float_model()
    texts, prefill = _texts(recipe, loaded, positions)
    model = loaded.model
    found = Comparison()
    with tempfile.TemporaryDirectory() as folder, KeptLogits(Path(folder)) as reference:
        for window in texts:
            reference.add(_eager(model)(window[:-1])[prefill - 1 :])
        logits, size = rival.prepare(model)
        for at, window in enumerate(texts):
            targets = torch.tensor(window[prefill:])
            found.add(logits(window[:-1])[prefill - 1 :], reference[at], targets)
            found.end_window()
    result = found.result()
    command = f'python benchmarks/quality_table.py --rows "{rival.name}"'
    return {
        "name": rival.name,
        "backends": list(rival.backends),
        "bytes": size,
        **{key: result.value(key) for key in ("perplexity", "reference_perplexity", "mean_kl")},
        "p99_kl": result.value("p99_kl"),
        "top1": result.value("top1_agreement"),
        "positions": result.positions,
        "note": rival.note,
        **provenance(command, *rival.tools),
    }


def _texts(recipe: Any, loaded: Any, positions: int) -> tuple[list[list[int]], int]:
    """Windows of the verification text, and the positions of a window that do not count."""
    from dataclasses import replace

    from tokenizers import Tokenizer

    from llm_export.config.schema import filled
    from llm_export.evaluation.eval_text import read_text
    from llm_export.stages.verification.metrics import window_count, windows

    settings = replace(recipe.verify, positions=positions)
    tokenizer = Tokenizer.from_str(loaded.checkpoint.tokenizer().tokenizer_json)
    ids = tokenizer.encode(read_text(settings.text), add_special_tokens=False).ids
    length = filled(settings.window)
    return list(windows(ids, length, window_count(settings))), filled(settings.prefill)


def _float_model() -> tuple[Any, Any]:
    """The recipe, and the model as verification has it, with its checkpoint."""
    from llm_export import api
    from llm_export.config.schema import filled
    from llm_export.models.load_model import load_model
    from llm_export.resolve.recipe import resolve

    recipe = resolve(api.compose_recipe(RECIPE).recipe).recipe
    longest = filled(recipe.verify.window)
    return recipe, load_model(
        recipe, attention="cacheless", context_length=longest, all_logits=True
    )


def _eager(model: Any) -> Logits:
    from llm_export.stages.verification.logits import eager_logits

    return lambda ids: eager_logits(model, ids)


def _matrices(model: nn.Module) -> Iterator[tuple[nn.Module, Tensor]]:
    """Weights of linears and embeddings, each once: the head may be the embedding."""
    from torch import nn

    seen: set[int] = set()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            weight = module.weight.detach()
            if weight.data_ptr() not in seen:
                seen.add(weight.data_ptr())
                yield module, weight


def _others(model: nn.Module) -> int:
    """Values of parameters that are no matrices, such as norms."""
    return sum(p.numel() for p in model.parameters() if p.dim() < 2)


# -- the tools -------------------------------------------------------------------------------


def _openvino(**choices: Any) -> Callable[[nn.Module], tuple[Logits, int]]:
    """NNCF's weight compression, as ``optimum-cli export openvino`` calls it."""

    def prepare(model: nn.Module) -> tuple[Logits, int]:
        import nncf
        import openvino as ov
        import torch

        tokens = torch.zeros(1, 8, dtype=torch.int64)
        places = torch.zeros(1, dtype=torch.int64)
        with torch.no_grad():
            made = ov.convert_model(
                model, example_input=(tokens, places),
                input=[([1, -1], ov.Type.i64), ([1], ov.Type.i64)],
            )  # fmt: skip
        mode = getattr(nncf.CompressWeightsMode, choices["mode"])
        made = nncf.compress_weights(made, **{**choices, "mode": mode})
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "openvino_model.xml"
            ov.save_model(made, file)
            size = sum(each.stat().st_size for each in Path(folder).iterdir())
        compiled = ov.compile_model(made, "CPU")

        def logits(ids: list[int]) -> Tensor:
            out = compiled([torch.tensor([ids]).numpy(), places.numpy()])[0]
            return torch.from_numpy(out.copy())[0].float()

        return logits, size

    return prepare


def _mlx(model: nn.Module) -> tuple[Logits, int]:
    """``mlx_lm.convert --quantize`` with its defaults: 4 bits, groups of 64, embedding too."""
    import mlx.core as mx
    import numpy as np
    import torch

    size = 2 * _others(model)
    for _, weight in _matrices(model):
        packed = mx.quantize(mx.array(weight.numpy()).astype(mx.float16), group_size=64, bits=4)
        size += sum(part.nbytes for part in packed)
        restored = mx.dequantize(*packed, group_size=64, bits=4).astype(mx.float32)
        weight.copy_(torch.from_numpy(np.array(restored)))
    return _eager(model), size


def _palettised(model: nn.Module) -> tuple[Logits, int]:
    """As coremltools' palettes by k-means: 16 float16 values for every 16 output channels."""
    size, channels = 2 * _others(model), 16
    for _, weight in _matrices(model):
        for part in weight.split(channels << 8):
            whole = len(part) // channels * channels
            for some in (
                part[:whole].reshape(-1, channels * part.shape[1]),
                part[whole:].flatten(),
            ):
                if some.numel():
                    some.copy_(_k_means(some.reshape(-1, some.shape[-1]), 16).reshape(some.shape))
        size += weight.numel() // 2 + -(-len(weight) // channels) * 16 * 2
    return _eager(model), size


def _blocks(model: nn.Module) -> tuple[Logits, int]:
    """As coremltools' ``linear_quantize_weights``: -7 to 7, a float16 scale for 32 values."""
    size, block = 2 * _others(model), 32
    for _, weight in _matrices(model):
        values = weight.reshape(-1, block)
        scale = (values.abs().amax(1, keepdim=True) / 7).clamp(min=1e-8).half().float()
        weight.copy_(((values / scale).round().clamp(-7, 7) * scale).reshape(weight.shape))
        size += weight.numel() // 2 + 2 * len(values)
    return _eager(model), size


def _k_means(values: Tensor, count: int, rounds: int = 60) -> Tensor:
    """Each value's centre, [G, N], of ``count`` in a row: Lloyd's algorithm on sorted values."""
    import torch

    order = values.double().sort(dim=1).values
    sums = torch.nn.functional.pad(order.cumsum(1), (1, 0))
    places = (torch.arange(count) + 0.5) / count * (values.shape[1] - 1)
    centres = order[:, places.long()].contiguous()
    ends = torch.tensor([[0, values.shape[1]]]).expand(len(values), 2)
    for _ in range(rounds):
        cuts = torch.searchsorted(order, (centres[:, 1:] + centres[:, :-1]) / 2)
        edges = torch.cat([ends[:, :1], cuts, ends[:, 1:]], 1)
        held = edges.diff(dim=1)
        means = sums.gather(1, edges).diff(dim=1) / held.clamp(min=1)
        centres = torch.where(held > 0, means, centres)
    limits = ((centres[:, 1:] + centres[:, :-1]) / 2).contiguous()
    return centres.gather(1, torch.searchsorted(limits, values.double())).to(values.dtype)


_OPENVINO = ("openvino",), ("nncf", "nncf"), ("nncf", "openvino")
RIVALS = {
    rival.name: rival
    for rival in (
        Rival("OpenVINO int4_asym, groups of 64", *_OPENVINO,
              _openvino(mode="INT4_ASYM", group_size=64, ratio=1.0),
              "NNCF without data; embedding and head in 8 bits; run by OpenVINO"),
        Rival("OpenVINO int8_asym", *_OPENVINO, _openvino(mode="INT8_ASYM"),
              "NNCF without data; run by OpenVINO"),
        Rival("MLX 4 bit, groups of 64", ("mlx",), ("mlx[cpu]", "mlx"), ("mlx",), _mlx,
              "mlx_lm.convert's defaults, by mlx.core.quantize; float32 arithmetic"),
        Rival("Core ML int4, blocks of 32", ("coreml",), None, ("torch",), _blocks,
              "linear and symmetric, embedding and head too; float32 arithmetic"),
        Rival("Core ML palettised, 4 bit", ("coreml",), None, ("torch",), _palettised,
              "a palette by k-means for every 16 output channels, embedding and head too; float32 "
              "arithmetic"),
    )
}  # fmt: skip
