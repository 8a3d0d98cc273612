"""What a user of a platform would otherwise take, measured on the same weights and text.

Each tool quantizes the weights of the float32 model. OpenVINO's runtime then computes the logits;
MLX's and Core ML's weights are dequantized into the float32 model, because their runtimes need a
Mac, so these two are without the rounding of their float16 arithmetic.
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
    package: that it needs, as pip names it, with the module to look for.
    prepare: from the float32 model, which it may change, to (logits, bytes).
    """

    name: str
    backends: tuple[str, ...]
    package: tuple[str, str]
    prepare: Callable[[Any], tuple[Logits, int]]
    note: str

    def obstacle(self) -> str | None:
        package, module = self.package
        return None if find_spec(module) else f"{module} is missing: pip install '{package}'"


def measure(rival: Rival, positions: int = POSITIONS) -> Row:
    """Its row: compared with the float32 model like the programs."""
    import torch

    from llm_export.metrics.comparison import Comparison

    recipe, loaded = _float_model()
    texts, prefill = _texts(recipe, loaded, positions)
    model = loaded.model
    with tempfile.TemporaryFile() as file:
        for window in texts:
            torch.save(_eager(model)(window[:-1])[prefill - 1 :], file)
        file.seek(0)
        logits, size = rival.prepare(model)
        found = Comparison()
        for window in texts:
            wanted, targets = torch.load(file), torch.tensor(window[prefill:])
            found.add(logits(window[:-1])[prefill - 1 :], wanted, targets)
            found.end_window()
    result = found.result()
    command = f'python benchmarks/quality_table.py --rows "{rival.name}"'
    package, module = rival.package
    return {
        "name": rival.name,
        "backends": list(rival.backends),
        "bytes": size,
        **{key: result.value(key) for key in ("perplexity", "reference_perplexity", "mean_kl")},
        "p99_kl": result.value("p99_kl"),
        "top1": result.value("top1_agreement"),
        "positions": result.positions,
        "note": rival.note,
        **provenance(command, package.partition("[")[0], module, "torch"),
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
    """coremltools' k-means palettes of 16 values for every 16 output channels."""
    import numpy as np
    from sklearn.cluster import KMeans

    size, channels = 2 * _others(model), 16
    for _, weight in _matrices(model):
        values = weight.numpy()
        for start in range(0, len(values), channels):
            some = values[start : start + channels]
            points = some.reshape(-1, 1)
            begin = np.quantile(points, (np.arange(16) + 0.5) / 16).reshape(-1, 1)
            found = KMeans(16, init=begin, n_init=1, max_iter=30).fit(points)
            some[:] = found.cluster_centers_[found.labels_].reshape(some.shape)
            size += points.size // 2 + 16 * 2
    return _eager(model), size


_OPENVINO = ("nncf", "nncf")
RIVALS = {
    rival.name: rival
    for rival in (
        Rival("OpenVINO int4_asym, groups of 64", ("openvino",), _OPENVINO,
              _openvino(mode="INT4_ASYM", group_size=64, ratio=1.0),
              "NNCF without data; embedding and head in 8 bits; run by OpenVINO"),
        Rival("OpenVINO int8_asym", ("openvino",), _OPENVINO, _openvino(mode="INT8_ASYM"),
              "NNCF without data; run by OpenVINO"),
        Rival("MLX 4 bit, groups of 64", ("mlx",), ("mlx[cpu]", "mlx"), _mlx,
              "mlx_lm.convert's defaults, by mlx.core.quantize"),
        Rival("Core ML palettised, 4 bit", ("coreml",), ("scikit-learn", "sklearn"), _palettised,
              "k-means, a palette for every 16 output channels"),
    )
}  # fmt: skip
