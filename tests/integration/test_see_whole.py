"""From a checkpoint and a picture to text: a bundle answers as transformers does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import library_vision
import numpy as np
import pytest
import torch
import vision_models
from images import encoded, picture
from see_bundles import tokenizer
from torch import Tensor

from llm_export import api
from llm_export.models.vision.families import VISION_FAMILIES
from runtime_py import LLM
from runtime_py.images import opened_image
from runtime_py.token_ids import FIRST_ROW
from runtime_py.vision.prompts import SeeingPrompts

TOKEN = {"smolvlm": "<image>", "lfm2_vl": "<image>", "llava": "<image>",
         "gemma3": "<image_soft_token>", "qwen3_vl": "<|image_pad|>",
         "internvl": "<IMG_CONTEXT>", "aya_vision": "<|IMG_PATCH|>",
         "deepseek_vl": "<image_placeholder>", "vipllava": "<image>",
         "mistral3": "[IMG]"}  # fmt: skip
MARK = {"gemma3": "<start_of_image>", "aya_vision": "<image>"}
OTHERS = {
    "smolvlm": ["<fake_token_around_image>", "<global-img>",
                *(f"<row_{y}_col_{x}>" for y in (1, 2) for x in (1, 2))],
    "internvl": ["<img>", "</img>"],
    "mistral3": ["[IMG_BREAK]", "[IMG_END]"],
    "aya_vision": ["<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "TILE_GLOBAL", "TILE_1",
                   "TILE_2"],
    "gemma3": ["<start_of_image>", "<end_of_image>"],
    "lfm2_vl": ["<|image_start|>", "<|image_end|>", "<|img_thumbnail|>",
                *(f"<|img_row_{y}_col_{x}|>" for y in (1, 2) for x in (1, 2))],
}  # fmt: skip
PROCESSORS: dict[str, dict[str, Any]] = {
    "smolvlm": {"image_processor_type": "SmolVLMImageProcessor", "size": {"longest_edge": 64},
                "max_image_size": {"longest_edge": 32}},
    "gemma3": {"image_processor_type": "Gemma3ImageProcessor"},
    "qwen3_vl": {"image_processor_type": "Qwen2VLImageProcessorFast", "patch_size": 4,
                 "size": {"shortest_edge": 64, "longest_edge": 4096}},
    "lfm2_vl": {"image_processor_type": "Lfm2VlImageProcessorFast", "do_image_splitting": False,
                "encoder_patch_size": 8},
    "internvl": {"image_processor_type": "GotOcr2ImageProcessor", "max_patches": 2},
    "llava": {"image_processor_type": "CLIPImageProcessor"},
    "mistral3": {"patch_size": 8, "spatial_merge_size": 2, "processor_class": "PixtralProcessor",
                 "image_processor": {"image_processor_type": "PixtralImageProcessorFast"}},
    "vipllava": {"image_processor_type": "CLIPImageProcessor"},
    "aya_vision": {"image_processor_type": "GotOcr2ImageProcessor", "max_patches": 2,
                   "processor_class": "AyaVisionProcessor"},
    "deepseek_vl": {"image_processor_type": "DeepseekVLImageProcessor",
                    "processor_class": "DeepseekVLProcessor"},
}  # fmt: skip
SIZES = {"lfm2_vl": "[32, 48]", "qwen3_vl": "[24, 16]"}
"""Of images, where they are not of one size."""


def write_checkpoint(name: str, folder: Path) -> Any:
    """A random member with tokenizer, template and processor, as on the hub; returns
    transformers' model."""
    families = VISION_FAMILIES
    model: Any = vision_models.build(name) if name in families else library_vision.whole(name)
    model.save_pretrained(folder)
    token = int(getattr(model.config, "image_token_id", vision_models.IMAGE_TOKEN))
    others = OTHERS.get(name, [])
    special = [*others, *(f"<unused{i}>" for i in range(320 - 257 - len(others)))]
    special.insert(token - 256, TOKEN[name])
    made = tokenizer(special)
    assert made.token_to_id(TOKEN[name]) == token
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "#"})
    )
    (folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role }}: {% for part in m.content %}"
        "{% if part.type == 'image' %}" + MARK.get(name, TOKEN[name]) + "{% else %}"
        "{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}assistant: "
    )
    both = "image_processor" in PROCESSORS[name]
    file = "processor_config.json" if both else "preprocessor_config.json"
    (folder / file).write_text(json.dumps(PROCESSORS[name]))
    return model


def inputs_of(name: str, ids: list[int], tiles: list[Tensor], image_token: int) -> dict[str, Any]:
    """What transformers' model takes."""
    tokens = torch.tensor([ids])
    pixels = torch.cat(tiles)
    if name == "smolvlm":
        return {"input_ids": tokens, "pixel_values": pixels[None]}
    if name == "gemma3":
        kinds = (tokens == image_token).long()
        return {"input_ids": tokens, "pixel_values": pixels, "token_type_ids": kinds}
    if name == "qwen3_vl":
        _, _, height, width = pixels.shape
        grid = torch.tensor([[1, height // 4, width // 4]] * len(tiles))
        rows = [_patches(each[0]) for each in tiles]
        kinds = (tokens == image_token).long()
        return {"input_ids": tokens, "pixel_values": torch.cat(rows), "image_grid_thw": grid,
                "mm_token_type_ids": kinds}  # fmt: skip
    if name == "lfm2_vl":
        p = 8
        _, _, height, width = pixels.shape
        cut = pixels.reshape(len(tiles), 3, height // p, p, width // p, p)
        patches = cut.permute(0, 2, 4, 3, 5, 1).reshape(len(tiles), -1, 3 * p * p)
        shapes = torch.tensor([[height // p, width // p]] * len(tiles))
        mask = torch.ones(patches.shape[:2], dtype=torch.int64)
        return {"input_ids": tokens, "pixel_values": patches, "spatial_shapes": shapes,
                "pixel_attention_mask": mask}  # fmt: skip
    if name == "mistral3":
        sizes = torch.tensor([list(each.shape[2:]) for each in tiles])
        return {"input_ids": tokens, "pixel_values": pixels, "image_sizes": sizes}
    return {"input_ids": tokens, "pixel_values": pixels}


def _patches(pixels: Tensor, p: int = 4, merge: int = 2) -> Tensor:
    channels, height, width = pixels.shape
    grid = pixels.reshape(
        channels, height // p // merge, merge, p, width // p // merge, merge, p
    ).permute(1, 4, 2, 5, 0, 3, 6)
    twice = grid[:, :, :, :, :, None].expand(*grid.shape[:5], 2, p, p)
    return twice.reshape(-1, channels * 2 * p * p)


@torch.no_grad()
def greedy(model: Any, name: str, ids: list[int], tiles: list[Tensor], token: int) -> list[int]:
    made = list(ids)
    for _ in range(32):
        logits = model(**inputs_of(name, made, tiles, token)).logits[0, -1]
        logits[token] = -torch.inf  # which would ask for another image
        made.append(int(logits.argmax()))
    return made[len(ids) :]


@pytest.mark.parametrize(
    ("name", "more"),
    [
        # A smaller one answers as transformers in tests/unit/runtime_py/vision/test_see.py.
        pytest.param("smolvlm", (), marks=pytest.mark.release, id="smolvlm"),
        pytest.param("aya_vision", (), marks=pytest.mark.slow, id="aya_vision"),
        *(pytest.param(name, (), marks=pytest.mark.release, id=name)
          for name in ("gemma3", "qwen3_vl", "lfm2_vl", "llava", "internvl",
                       "deepseek_vl", "vipllava", "mistral3")),
        *(pytest.param(name, ("model.definition=hf",), marks=pytest.mark.release, id=f"{name}-hf")
          for name in ("smolvlm", "llava", "internvl")),
    ],
)  # fmt: skip
def test_answers_are_those_of_transformers(
    name: str, more: tuple[str, ...], tmp_path: Path
) -> None:
    """Two images of which the first is met again in the second turn: 32 greedy tokens each."""
    model = write_checkpoint(name, tmp_path / "checkpoint")
    words = [
        "model=auto", f"checkpoint.path={tmp_path / 'checkpoint'}", "model.task=see",
        "backend=portable", "benchmark=off", "verify.positions=20", "deploy.questions=[]",
        "runtime.context_length=512", "runtime.prefill_length=128", f"out={tmp_path / 'bundle'}",
    ]  # fmt: skip
    words += [f"model.task_options.image_size={SIZES[name]}"] if name in SIZES else []
    words += more
    api.run(None, words, quiet=True)
    first, second = picture(50, 30), picture(20, 40, 2, "RGBA")
    file = tmp_path / "a.png"
    file.write_bytes(encoded(first))

    def user(text: str, image: Any) -> dict[str, Any]:
        parts = [{"type": "image", "image": image}, {"type": "text", "text": text}]
        return {"role": "user", "content": parts}

    with LLM.load(tmp_path / "bundle") as llm:
        prompts = llm._prompts
        assert isinstance(prompts, SeeingPrompts)
        token = prompts._image_id
        messages, seen = [user("What?", str(file))], [first]
        for _ in range(2):
            ids = [token if i >= FIRST_ROW else i for i in llm.prompt_ids(messages)]
            tiles = [
                torch.from_numpy(np.array(tile.pixels))
                for image in seen
                for tile in prompts.processor(opened_image(image)).tiles
            ]
            answer = llm.chat(
                messages, max_new_tokens=32, ignore_eos=True, logit_bias={token: -100}
            )
            assert answer.tokens == greedy(model, name, ids, tiles, token)
            messages += [answer.message, user("And this?", second)]
            seen.append(second)
        assert answer.stats.cached_tokens > 0
