"""Programs of text encoders: every batch and length, what is delegated, fixed lengths."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from encoder_models import CONTEXT, batch, embed, loaded, reference, save, tiny

from llm_export.models.encoders.options import EmbedOptions
from runtime_py.method_program import MethodProgram

BATCH = 4
HEAVY = ("linear", "addmm", "bmm", "softmax", "gelu", "mm.default")


def lowered(model: Any, path: Path, **options: Any) -> tuple[MethodProgram, Counter[str]]:
    """The program for XNNPACK, and the operators outside of delegates."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower

    exported = {}
    for method in model.methods(EmbedOptions(pooling="mean", **options), dynamic=True):
        with torch.no_grad():
            exported[method.name] = torch.export.export(
                method.module, method.inputs, dynamic_shapes=tuple(method.dynamic), strict=False
            )
    edge = to_edge_transform_and_lower(
        exported, partitioner=[XnnpackPartitioner()],
        compile_config=EdgeCompileConfig(_check_ir_validity=False),
    )  # fmt: skip
    outside = Counter(
        str(node.target)
        for name in exported
        for node in edge.exported_program(name).graph.nodes
        if node.op == "call_function"
    )
    path.write_bytes(edge.to_executorch().buffer)
    return MethodProgram(path, threads=1), outside


def small(family: str) -> dict[str, Any]:
    """One layer of each kind."""
    layers = {"modernbert": 2}.get(family, 1)
    return {**tiny(family), "num_hidden_layers": layers}


# Windows, groups of heads and attention both ways; the real model of the default recipe is BERT.
@pytest.mark.parametrize(
    "family",
    [
        pytest.param("gemma3_text", marks=pytest.mark.slow),
        *(pytest.param(f, marks=pytest.mark.release) for f in ("bert", "modernbert", "qwen3")),
    ],
)
def test_one_method_takes_every_batch_and_length(family: str, tmp_path: Path) -> None:
    model = loaded(save(reference(family, **small(family)), tmp_path / "model"), family)
    program, outside = lowered(model, tmp_path / "model.pte", max_batch=BATCH)
    assert not [name for name in outside for heavy in HEAVY if heavy in name]
    for lengths in ([1], [CONTEXT], [1, 1, 1, 1], [CONTEXT, 3, 1, 20], [9, 2]):
        ids, mask = batch(lengths, 300, 0)
        (made,) = program.call("forward", (ids, mask))
        torch.testing.assert_close(made, embed(model, ids, mask, pooling="mean"),
                                   atol=2e-6, rtol=1e-5)  # fmt: skip


@pytest.mark.release  # a bundle of them answers in tests/unit/runtime_py/test_embedder.py
def test_fixed_lengths_are_methods_of_their_own(tmp_path: Path) -> None:
    model = loaded(save(reference("bert", **small("bert")), tmp_path / "model"), "bert")
    program, _ = lowered(model, tmp_path / "model.pte", max_batch=1, lengths=[8, 16])
    assert {"forward", "forward_8"} <= set(program.methods)
    for name, length in (("forward_8", 8), ("forward", 16)):
        ids, mask = batch([5], 300, 0)
        padded = [torch.nn.functional.pad(x, (0, length - 5)) for x in (ids, mask)]
        (made,) = program.call(name, padded)
        torch.testing.assert_close(made, embed(model, ids, mask, pooling="mean"),
                                   atol=2e-6, rtol=1e-5)  # fmt: skip
