"""A bundle that sees, from a whole run of a tiny SmolVLM with random weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import vision_models
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor

from llm_export import api

CONTEXT, STEP, SIDE, EACH = 400, 32, 16, 4
SPECIAL = [
    "<end_of_utterance>", "<image>", "<fake_token_around_image>", "<global-img>",
    *(f"<row_{y}_col_{x}>" for y in range(1, 5) for x in range(1, 5)),
]  # fmt: skip
TEMPLATE = (
    "{% for m in messages %}{{ m.role | capitalize }}"
    "{% if m.content[0]['type'] == 'image' %}:{% else %}: {% endif %}"
    "{% for part in m.content %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}<image>{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
PROCESSOR = {
    "processor_class": "SmolVLMProcessor", "image_seq_len": EACH,
    "image_processor": {
        "image_processor_type": "SmolVLMImageProcessor", "size": {"longest_edge": 2 * SIDE},
        "max_image_size": {"longest_edge": SIDE}, "do_image_splitting": True,
    },
}  # fmt: skip


def tokenizer(special: Sequence[str] = SPECIAL) -> Tokenizer:
    """One token for each byte, and special ones."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(each, special=True, normalized=False) for each in special])
    return made


VOCABULARY, IMAGE = 256 + len(SPECIAL), 257


TEXT = {
    "vocab_size": VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": SIDE, "patch_size": 4,
}  # fmt: skip


@cache
def model() -> Any:
    """transformers' SmolVLM with random weights."""
    return vision_models.build(
        "smolvlm", text=TEXT, vision=VISION, scale_factor=2, image_token_id=IMAGE, pad_token_id=0
    )


def make(folder: Path) -> Path:
    """A whole run, from a folder as on the hub to a bundle."""
    with TemporaryDirectory() as temporary:
        checkpoint = Path(temporary)
        model().save_pretrained(checkpoint)
        tokenizer().save(f"{checkpoint}/tokenizer.json")
        (checkpoint / "tokenizer_config.json").write_text(json.dumps(
            {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[0]}
        ))  # fmt: skip
        (checkpoint / "chat_template.jinja").write_text(TEMPLATE)
        (checkpoint / "processor_config.json").write_text(json.dumps(PROCESSOR))
        words = [
            "model=auto", "model.task=see", f"checkpoint.path={checkpoint}", "backend=portable",
            f"runtime.context_length={CONTEXT}", f"runtime.prefill_length={STEP}",
            "verify.positions=20", "benchmark=off", "deploy.questions=[Hello?]",
            "runtime.sampling.max_new_tokens=8",
        ]  # fmt: skip
        api.run(None, words, out=folder, quiet=True)
    return folder


def write_manifest(folder: Path, **changes: Any) -> None:
    """Change a bundle's manifest.

    Args:
        changes: of the task's settings.
    """
    file = folder / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["task"]["settings"] |= changes
    for name, entry in manifest["files"].items():
        data = (folder / name).read_bytes()
        entry.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    file.write_text(json.dumps(manifest))


@torch.no_grad()
def greedy(ids: list[int], images: list[Tensor], count: int) -> list[int]:
    """transformers' answer.

    Args:
        ids: of the prompt, with the image token in the places of images.
        images: tiles [1, 3, h, w], in their order.
    """
    seen = {"pixel_values": torch.cat(images)[None]} if images else {}
    made = list(ids)
    for _ in range(count):
        made.append(int(model()(input_ids=torch.tensor([made]), **seen).logits[0, -1].argmax()))
        if made[-1] == 256:
            break
    return made[len(ids) :]
