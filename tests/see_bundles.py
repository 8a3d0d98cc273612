"""A bundle that sees, made by hand: a tiny model of torch, lowered to portable kernels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor, nn

HIDDEN, CONTEXT, STEP, SIDE, EACH = 16, 400, 32, 16, 4
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


VOCABULARY = 256 + len(SPECIAL)


class TinySeeing(nn.Module):
    """Attention to the mean of what came before; tokens of an image are means of its patches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(VOCABULARY, HIDDEN)
        self.head = nn.Linear(HIDDEN, VOCABULARY)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.patch = nn.Linear(3, HIDDEN)
        self.register_buffer("cache", torch.zeros(CONTEXT, HIDDEN))


class Embedding(nn.Module):
    def __init__(self, model: TinySeeing) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor) -> Tensor:
        found: Tensor = self.model.table(ids)
        return found


class Decoder(nn.Module):
    def __init__(self, model: TinySeeing) -> None:
        super().__init__()
        self.model = model

    def forward(self, embeddings: Tensor, input_pos: Tensor) -> Tensor:
        positions = torch.arange(embeddings.shape[1]) + input_pos
        cache = self.model.cache
        assert isinstance(cache, Tensor)
        cache.index_put_([positions], embeddings[0])
        seen = torch.arange(CONTEXT).view(1, -1) <= positions.view(-1, 1)
        weights = seen.float() / (positions.view(-1, 1) + 1)
        mean = weights @ cache
        hidden = torch.tanh(self.model.mix(mean) + embeddings[0])
        logits: Tensor = self.model.head(hidden[-1:])
        return logits


class Encoder(nn.Module):
    def __init__(self, model: TinySeeing) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        half = SIDE // 2
        parts = pixels.reshape(1, 3, 2, half, 2, half).mean(5).mean(3)
        found: Tensor = self.model.patch(parts.reshape(1, 3, EACH).transpose(1, 2))
        return found


def make(folder: Path) -> Path:
    """Write a bundle."""
    folder.mkdir()
    (folder / "model.pte").write_bytes(_program())
    tokenizer().save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "processor.json").write_text(json.dumps(PROCESSOR))
    write_manifest(folder)
    return folder


def _program() -> bytes:
    from executorch.exir import ExecutorchBackendConfig, to_edge
    from executorch.exir.passes.sym_shape_eval_pass import ConstraintBasedSymShapeEvalPass

    model = TinySeeing().eval().requires_grad_(False)
    tokens = torch.export.Dim("tokens", min=1, max=STEP)
    exported = {
        "token_embedding": torch.export.export(
            Embedding(model), (torch.zeros(1, STEP, dtype=torch.int64),),
            dynamic_shapes=({1: tokens},), strict=False,
        ),
        "text_decoder": torch.export.export(
            Decoder(model),
            (torch.zeros(1, STEP, HIDDEN), torch.zeros(1, dtype=torch.int64)),
            dynamic_shapes=({1: tokens}, None), strict=False,
        ),
        "vision_encoder": torch.export.export(
            Encoder(model), (torch.zeros(1, 3, SIDE, SIDE),), strict=False
        ),
    }  # fmt: skip
    config = ExecutorchBackendConfig(sym_shape_eval_pass=ConstraintBasedSymShapeEvalPass())
    return bytes(to_edge(exported).to_executorch(config).buffer)


def write_manifest(folder: Path, **changes: Any) -> None:
    """
    Args:
        changes: of the task's settings.
    """
    names = ("model.pte", "tokenizer.json", "chat_template.jinja", "processor.json")
    files = {
        name: {"bytes": (folder / name).stat().st_size,
               "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest()}
        for name in names
    }  # fmt: skip
    settings = {
        "image_token_id": tokenizer().token_to_id("<image>"), "image_size": [SIDE, SIDE],
        "tokens_per_image": EACH, **changes,
    }  # fmt: skip
    manifest = {
        "format": 1,
        "name": "tiny_see",
        "created": "2026-11-29T00:00:00+00:00",
        "producer": {"llm_export": "0"},
        "model": {"name": "tiny", "family": "tiny", "checkpoint": "random", "parameters": 1456},
        "task": {"name": "see", "settings": settings},
        "program": {
            "methods": ["token_embedding", "text_decoder", "vision_encoder"],
            "context_length": CONTEXT, "prefill_length": STEP, "dynamic_shapes": True,
            "steps": {"text_decoder": STEP},
            "kv_cache": True, "vocab_size": VOCABULARY, "logits": "last",
        },
        "tokenizer": {
            "bos_id": None, "eos_ids": [256], "add_bos": False,
            "special_tokens": {"eos_token": "<end_of_utterance>"},
        },
        "sampling": {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "max_new_tokens": 8},
        "requires": {"executorch": "1", "backends": [], "operators": []},
        "proof": {"verified": False, "reason": "made by hand"},
        "roles": {
            "program": "model.pte", "tokenizer": "tokenizer.json",
            "chat_template": "chat_template.jinja", "processor": "processor.json",
        },
        "files": files,
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))


def greedy(ids: list[int], images: list[Tensor], count: int) -> list[int]:
    """The eager model's answer.

    Args:
        ids: of the prompt, with the image token in the places of images.
        images: tiles [1, 3, h, w], in their order.
    """
    model = TinySeeing().eval()
    rows = torch.cat([Encoder(model)(each)[0] for each in images]) if images else None
    made = list(ids)
    with torch.no_grad():
        table = model.table(torch.tensor(made))
        if rows is not None:
            table[torch.tensor([t == 257 for t in made])] = rows
        for _ in range(count):
            mean = table.mean(0, keepdim=True)
            logits = model.head(torch.tanh(model.mix(mean) + table[-1:]))
            made.append(int(logits.argmax()))
            table = torch.cat((table, model.table(torch.tensor(made[-1:]))))
            if made[-1] == 256:
                break
    return made[len(ids) :]
