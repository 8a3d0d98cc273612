"""Qwen3-VL, Qwen3.5 and InternVL of our components against transformers', method by method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import vision_models
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parity_tools import relative_error, sample_ids
from torch import Tensor

from llm_export.models.vision.config import GRID
from llm_export.models.vision.model import VisionLanguageModel
from llm_export.models.vision.sequences import sequence_inputs, sequence_logits
from llm_export.transforms.attention import require_custom_ops
from runtime_py.images import Tile
from runtime_py.vision.program import SeeingProgram

_BAR = 1e-4
# Not square: rows and columns differ.
SIZES: dict[str, tuple[int, int] | None] = {
    "internvl": None,
    "qwen3_5": (16, 24),
    "qwen3_vl": (24, 16),
}


@dataclass
class Pair:
    """transformers' model and ours with its weights, and an image."""

    reference: Any
    model: VisionLanguageModel
    pixels: Tensor

    @property
    def grid(self) -> tuple[int, int] | None:
        found = self.model.config.settings.get(GRID)
        return None if found is None else tuple(found)

    def pictured(self) -> dict[str, Tensor]:
        """The image as transformers' model takes it."""
        if self.grid is None:
            return {"pixel_values": self.pixels}
        p, m = self.model.config.tower.patch, self.model.config.tower.merge
        rows, columns = self.grid
        both = self.pixels[:, None].repeat(1, 2, 1, 1, 1).reshape(2, 3, rows, m, p, columns, m, p)
        patches = both.permute(2, 5, 3, 6, 1, 0, 4, 7).reshape(rows * columns * m * m, -1)
        sizes = torch.tensor([[1, rows * m, columns * m]])
        return {"pixel_values": patches, "image_grid_thw": sizes}

    def features(self) -> tuple[Tensor, ...]:
        """What transformers' tower makes of it: embeddings, then what is added after layers."""
        if self.grid is None:
            return (self.reference.model.get_image_features(self.pixels).pooler_output,)
        given = self.pictured()
        found = self.reference.model.get_image_features(*given.values())
        added = [each[0] for each in getattr(found, "deepstack_features", None) or ()]
        embeddings = found.pooler_output[0][None]
        return (embeddings, torch.stack(added)[:, None]) if added else (embeddings,)

    def prompt(self) -> tuple[Tensor, dict[str, Tensor]]:
        """Text around two images, and further inputs of transformers' model."""
        image = self.model.config.image_token_id
        text = [i for i in sample_ids(14) if i < image]
        middle = [image] * self.model.config.tokens_per_image
        ids = torch.tensor([[*text[:5], *middle, *text[5:8], *middle, *text[8:]]])
        pictured = {name: x.repeat_interleave(1, 0) for name, x in self.pictured().items()}
        pictured = {name: torch.cat((x, x)) for name, x in pictured.items()}
        if self.grid is not None:
            pictured["mm_token_type_ids"] = (ids == image).long()
        return ids, pictured

    def logits(self, ids: Tensor, prefill: int) -> Tensor:
        """[S, V] of a chunk, then one by one."""
        parts: list[list[int] | Tensor] = []
        image, count = self.model.config.image_token_id, self.model.config.tokens_per_image
        text = ids[0].tolist()
        while image in text:
            at = text.index(image)
            parts += [text[:at], self.pixels]
            text = text[at + count :]
        inputs = sequence_inputs(self.model, [*parts, text])
        return sequence_logits(self.model, inputs, prefill)


def pair(name: str, folder: Path, size: tuple[int, int] | None, **parts: Any) -> Pair:
    reference = vision_models.build(name, **parts)
    model = vision_models.ours(reference, folder, size=size)
    return Pair(reference, model, vision_models.picture(model))


@torch.no_grad()
def require_parity(both: Pair) -> None:
    encoded = both.model.encode_image(both.pixels)
    made = encoded if isinstance(encoded, tuple) else (encoded,)
    for ours, theirs in zip(made, both.features(), strict=True):
        assert relative_error(ours, theirs) < _BAR
    ids, pictured = both.prompt()
    table = both.reference.get_input_embeddings()(ids)
    assert relative_error(both.model.embed_tokens(ids), table) < _BAR
    whole = both.reference(input_ids=ids, **pictured).logits[0]
    assert relative_error(both.logits(ids, ids.shape[1] - 3), whole) < _BAR
    text = ids[ids != both.model.config.image_token_id][None]
    alone = both.model(text, torch.tensor([0]))[0]
    assert relative_error(alone, both.reference(input_ids=text).logits[0]) < _BAR


@pytest.mark.parametrize("name", SIZES)
def test_methods_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    require_parity(pair(name, tmp_path, SIZES[name]))


@st.composite
def odd_grids(draw: st.DrawFn) -> tuple[str, tuple[int, int] | None, dict[str, Any]]:
    """Members of Qwen3-VL and Qwen3.5: (name, image size, parts of the config)."""
    name = draw(st.sampled_from(["qwen3_vl", "qwen3_vl", "qwen3_5"]))
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    heads, depth, layers = number(1, 3), number(1, 4), number(2, 4)
    vision: dict[str, Any] = {
        "depth": depth, "num_heads": heads, "hidden_size": heads * 4 * number(1, 4),
        "intermediate_size": number(8, 40), "patch_size": number(2, 5),
        "spatial_merge_size": number(1, 3), "num_position_embeddings": number(1, 6) ** 2,
        "hidden_act": draw(st.sampled_from(["gelu_pytorch_tanh", "gelu", "silu"])),
    }  # fmt: skip
    text: dict[str, Any] = {"rms_norm_eps": draw(st.sampled_from([1e-6, 1e-4]))}
    if name == "qwen3_vl":
        pairs = 4 * number(1, 4)
        rows = number(0, pairs)
        columns = number(0, pairs - rows)
        sections = [pairs - rows - columns, rows, columns]
        text |= {"num_hidden_layers": layers, "head_dim": 2 * pairs,
                 "rope_parameters": {"rope_theta": 1e4, "mrope_section": sections}}  # fmt: skip
        taps = draw(st.sets(st.integers(0, depth - 1), max_size=layers))
        vision["deepstack_visual_indexes"] = sorted(taps)
    unit = vision["patch_size"] * vision["spatial_merge_size"]
    size = (unit * number(1, 4), unit * number(1, 4))
    tied = draw(st.booleans())
    return name, size, {"vision": vision, "text": text, "tie_word_embeddings": tied}


@st.composite
def odd_tiles(draw: st.DrawFn) -> tuple[str, tuple[int, int] | None, dict[str, Any]]:
    """Members of InternVL."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    flag = lambda: draw(st.booleans())  # noqa: E731
    heads, patch, factor = number(1, 3), number(2, 5), draw(st.sampled_from([1, 2, 4]))
    vision = {
        "num_hidden_layers": number(1, 3), "num_attention_heads": heads,
        "hidden_size": heads * number(3, 12), "intermediate_size": number(8, 40),
        "patch_size": patch, "image_size": patch * factor * number(1, 8 // factor // 2 + 1),
        "attention_bias": flag(), "use_qk_norm": flag(), "use_mean_pooling": flag(),
        "use_absolute_position_embeddings": flag(),
        "norm_type": draw(st.sampled_from(["layer_norm", "rms_norm"])),
        "hidden_act": draw(st.sampled_from(["gelu_pytorch_tanh", "gelu"])),
    }  # fmt: skip
    kind = draw(st.sampled_from(["qwen2", "qwen3", "llama"]))
    return "internvl", None, {
        "vision": vision, "text": {"model_type": kind}, "downsample_ratio": 1 / factor,
        "tie_word_embeddings": flag(),
    }  # fmt: skip


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(member=st.one_of(odd_grids(), odd_tiles()), seed=st.integers(0, 99))
def test_odd_members_agree_too(
    tmp_path_factory: pytest.TempPathFactory,
    member: tuple[str, tuple[int, int] | None, dict[str, Any]],
    seed: int,
) -> None:
    name, size, parts = member
    require_parity(pair(name, tmp_path_factory.mktemp("odd"), size, seed=seed, **parts))


def greedy(reference: Any, ids: Tensor, pictured: dict[str, Tensor]) -> list[int]:
    """transformers' next 32 tokens."""
    made = reference.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), **pictured, max_new_tokens=32,
        do_sample=False, eos_token_id=-1, pad_token_id=0,
    )  # fmt: skip
    answer: list[int] = made[0, ids.shape[1] :].tolist()
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
@torch.no_grad()
def test_greedy_answers_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    both = pair(name, tmp_path, SIZES[name])
    ids, pictured = both.prompt()
    answer = greedy(both.reference, ids, pictured)
    made: list[int] = []
    for _ in range(32):
        whole = torch.cat((ids, torch.tensor([made], dtype=torch.int64)), dim=1)
        made.append(int(both.logits(whole, whole.shape[1])[-1].argmax()))
    assert made == answer


FEW_LAYERS: dict[str, dict[str, Any]] = {
    "internvl": {"vision": {"num_hidden_layers": 1}, "text": {"num_hidden_layers": 1}},
    "qwen3_vl": {
        "vision": {"depth": 2, "deepstack_visual_indexes": [0]},
        "text": {"num_hidden_layers": 1},
    },
}
HEAVY = ("linear", "addmm", "mm.", "bmm", "softmax", "convolution", "gelu", "sigmoid")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("qwen3_vl", marks=pytest.mark.slow),
        pytest.param("internvl", marks=pytest.mark.release),
    ],
)
@torch.no_grad()
def test_programs_see_as_transformers_does(name: str, tmp_path: Path) -> None:
    both = pair(name, tmp_path / "m", SIZES[name], **FEW_LAYERS[name])
    model, steps = both.model, 64
    model.all_logits = False
    require_custom_ops()
    model.set_attention("custom_op")
    with model.as_program(steps) as form:
        dim = torch.export.Dim("tokens", min=1, max=steps)
        dims = tuple(None if at is None else {at: dim} for at in form.token_dims)
        exported = {
            "text_decoder": torch.export.export(form.module, form.inputs, dynamic_shapes=dims)
        }
    for method in model.further_methods(steps, dynamic=True):
        exported[method.name] = torch.export.export(
            method.module, method.inputs, dynamic_shapes=method.dynamic
        )
    partitioner = {each: [XnnpackPartitioner()] for each in exported}
    edge = to_edge_transform_and_lower(exported, partitioner=partitioner)
    for method_name in exported:
        nodes = edge.exported_program(method_name).graph.nodes
        outside = {str(node.target) for node in nodes if node.op == "call_function"}
        assert not [op for op in outside if any(f"aten.{heavy}" in op for heavy in HEAVY)]
    passes = ConstraintBasedSymShapeEvalPass()
    made = edge.to_executorch(ExecutorchBackendConfig(sym_shape_eval_pass=passes))
    (tmp_path / "model.pte").write_bytes(made.buffer)
    program = SeeingProgram(
        tmp_path / "model.pte", inputs=[each.name for each in model.step_inputs], grid=both.grid,
        context_length=vision_models.CONTEXT, steps={"text_decoder": steps}, dynamic=True,
        vocab_size=320,
    )  # fmt: skip
    ids, pictured = both.prompt()
    image, count = model.config.image_token_id, model.config.tokens_per_image
    rows = program.images.add(Tile(both.pixels.numpy(), count)) * 2
    prompt = [rows.pop(0) if token == image else token for token in ids[0].tolist()]
    answer = greedy(both.reference, ids, pictured)
    token = int(program.prefill(prompt).argmax())
    tokens = [token]
    for _ in range(31):
        token = int(program.step([token])[0, -1].argmax())
        tokens.append(token)
    assert tokens == answer
