"""Tiny Hugging Face folders whose files contradict each other, drawn by hypothesis."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import hf_models
import torch
from family_models import LLAMA3, LOCAL_GLOBAL, LOCAL_YARN, LONG, YARN, long_factors, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

ROWS = 320
BASE = 256  # byte-level tokens
END, START, STOP, IMAGE = "<|end|>", "<|start|>", "<|stop|>", "<|image|>"
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start|>' + m['role'] + '\n' + m['content'] }}"
    "{{ eos_token }}\n{% endfor %}{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
PLAIN = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ pad_token }}\n{% endfor %}"
EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"

FAMILIES: dict[str, str] = {
    "llama": "grouped", "mistral": "window", "qwen2": "plain", "qwen3": "mixed layers",
    "smollm3": "NoPE", "phi3": "window", "gemma": "one kv head", "gemma2": "mixed layers",
    "gemma3_text": "local and global", "stablelm": "partial rotary", "granite": "multipliers",
    "starcoder2": "window", "olmo2": "plain", "olmo3": "yarn", "exaone4": "local and global",
    "cohere2": "local and global", "apertus": "llama3 scaling", "granite_swa": "local and global",
    "granitemoehybrid": "dense",
}  # fmt: skip
"""Family -> member of ``family_models``."""
PARTIAL = ("phi3", "stablelm")
BY_KIND = {"gemma3_text": LOCAL_GLOBAL, "olmo3": LOCAL_YARN}
"""Families with a RoPE for each kind of layer."""


@dataclass
class Odd:
    """What one folder says, file by file."""

    family: str
    config: dict[str, Any]
    dropped: list[str]
    tensors: str
    layout: str
    tokenizer: dict[str, Any]
    files: dict[str, Any] = field(default_factory=dict)


def _maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A value, null, or ``...`` for a key that is not there."""
    return st.one_of(st.just(...), st.just(None), values)


def _present(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value is not ...}


def _rope(theta: Any, share: Any) -> st.SearchStrategy[dict[str, Any]]:
    kinds: list[dict[str, Any]] = [
        {}, {"rope_type": "default"}, {"type": "linear", "factor": 2.0}, {"rope_type": "linear",
        "factor": 4.0}, {**YARN, "rope_theta": ...}, {**LLAMA3, "rope_theta": ...},
        {**YARN, "original_max_position_embeddings": ..., "rope_theta": ...},
        {**LONG, **long_factors(8), "rope_theta": ...},
    ]  # fmt: skip
    return st.builds(
        lambda kind, t, share: _present({**kind, "rope_theta": t, "partial_rotary_factor": share}),
        st.sampled_from(kinds), theta, share,
    )  # fmt: skip


@st.composite
def configs(draw: Any, family: str, tensors: str) -> dict[str, Any]:
    theta = st.sampled_from([..., ..., 1e4, 1e6])
    share = st.sampled_from([..., ..., 0.5] if family in PARTIAL else [...] * 19 + [0.5])
    stated = {
        "tie_word_embeddings": draw(
            st.sampled_from([True] * 7 + [...] if tensors.startswith("no") else [..., True, False])
        ),
        "rope_theta": draw(theta),
        "rope_scaling": draw(st.one_of(st.just(...), _maybe(_rope(theta, share)))),
        "rope_parameters": draw(st.one_of(st.just(...), _maybe(_rope(theta, share)))),
        "partial_rotary_factor": draw(share),
        "original_max_position_embeddings": draw(st.sampled_from([..., ..., ..., 32])),
        "eos_token_id": draw(_maybe(st.sampled_from([3, BASE, [BASE, 5]]))),
    }
    if family in BY_KIND:
        stated["rope_parameters"] = draw(
            st.sampled_from([..., None, json.loads(json.dumps(BY_KIND[family]))])
        )
        stated["partial_rotary_factor"] = stated["original_max_position_embeddings"] = ...
    if draw(st.booleans()):  # a config.json that was written whole
        stated |= {
            "return_dict": True, "is_encoder_decoder": False, "add_cross_attention": False,
            "pruned_heads": {}, "id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0},
            "torchscript": False, "max_length": 20, "num_beams": 1,
            "do_sample": draw(st.booleans()), "temperature": 0.5,
        }  # fmt: skip
    if draw(st.integers(0, 5)) == 0:
        stated["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    return _present(stated)


def _token(text: str, **flags: bool) -> dict[str, Any]:
    usual = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": text, **usual, "special": True, **flags}


@st.composite
def tokenizers(draw: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what tokenizer.json has, name -> content of the settings files)."""
    inside = draw(st.sampled_from([[END], [END, START], [END, START, STOP], [START, END, STOP]]))
    flags = st.fixed_dictionaries(
        {"rstrip": st.booleans(), "special": st.booleans(), "normalized": st.booleans()}
    )
    made = {
        "inside": [_token(text, **draw(flags)) for text in inside],
        "front": draw(st.sampled_from([None, None, *inside])),
        "after": draw(st.sampled_from([None] * 19 + [END])),
        "truncation": draw(st.booleans()), "padding": draw(st.booleans()),
    }  # fmt: skip
    names = st.sampled_from([END, START, STOP, "a"])
    text_or_token = st.one_of(names, names.map(lambda t: {**_token(t), "__type": "AddedToken"}))
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": draw(text_or_token), "bos_token": draw(_maybe(text_or_token)),
        "pad_token": draw(_maybe(st.sampled_from([END, "<pad>"]))),
        "unk_token": draw(_maybe(st.just(END))), "add_bos_token": draw(_maybe(st.booleans())),
        "extra_special_tokens": draw(
            st.sampled_from([..., ..., [STOP], {"image_token": IMAGE}, [IMAGE]])
        ),
        "image_token": draw(st.sampled_from([..., ..., ..., IMAGE])),
        "chat_template": draw(
            st.sampled_from(
                [..., CHAT, PLAIN, None, [{"name": "default", "template": CHAT}],
                 [{"name": "tools", "template": PLAIN}, {"name": "default", "template": CHAT}],
                 [{"name": "tool_use", "template": PLAIN}, {"name": "default", "template": CHAT}],
                 ]
            )
        ),
    }  # fmt: skip
    files: dict[str, Any] = {}
    added = draw(
        st.sampled_from(
            ["no", "no", "decoder", "decoder", "decoder", "decoder", "json", "json", "wrong"]
        )
    )
    outside = [t for t in (END, START, STOP) if t not in inside]
    table = {str(BASE + i): text for i, text in enumerate([*inside, *outside])}
    if added == "json":
        files["added_tokens.json"] = {text: int(i) for i, text in table.items()}
    elif added != "no":
        shift = 1 if added == "wrong" else 0
        config["added_tokens_decoder"] = {
            str(int(i) + shift): _token(text, **draw(flags)) for i, text in table.items()
        }
    if draw(st.booleans()):
        files["special_tokens_map.json"] = _present(
            {"eos_token": draw(st.one_of(names, names.map(_token))),
             "bos_token": draw(st.sampled_from([..., START])),
             "additional_special_tokens": draw(st.sampled_from([..., [START, STOP]]))}
        )  # fmt: skip
    files["tokenizer_config.json"] = _present(config)
    if draw(st.integers(0, 3)) == 0:
        files["chat_template.json"] = {"chat_template": CHAT}
    jinja = draw(st.booleans())
    if jinja:
        files["chat_template.jinja"] = CHAT
    if draw(st.integers(0, 3 if jinja else 19)) == 0:
        name = draw(st.sampled_from(["tools", "tool_use"]))
        files[f"additional_chat_templates/{name}.jinja"] = PLAIN
    if draw(st.booleans()):
        files["generation_config.json"] = _present({
            "eos_token_id": draw(_maybe(st.sampled_from([7, BASE, [BASE, 9]]))),
            "do_sample": draw(_maybe(st.booleans())),
            "temperature": draw(_maybe(st.sampled_from([0.3, 1.0]))),
            "top_k": draw(_maybe(st.sampled_from([0, 20]))),
            "top_p": draw(_maybe(st.just(0.9))), "min_p": draw(_maybe(st.just(0.1))),
            "repetition_penalty": draw(_maybe(st.just(1.2))),
            "num_beams": draw(st.sampled_from([..., ..., 4])),
        })  # fmt: skip
    return made, files


@st.composite
def odd_folders(draw: Any) -> Odd:
    family = draw(st.sampled_from(sorted(FAMILIES)))
    optional = ["num_key_value_heads", "head_dim", "sliding_window", "max_window_layers",
                "attention_bias", "layer_types", "hidden_act"]  # fmt: skip
    made, files = draw(tokenizers())
    tensors = draw(st.sampled_from(["equal", "other", "no head", "no head", "no embedding"]))
    return Odd(
        family,
        draw(configs(family, tensors)),
        [draw(st.sampled_from(optional))] if draw(st.integers(0, 4)) == 0 else [],
        tensors,
        draw(st.sampled_from(["one", "one", "shards", "stale shards", "stale bin", "bin"])),
        made,
        files,
    )


@cache
def _weights(family: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """(config, tensors) of an untied model of the family."""
    sizes = {
        **settings(family, FAMILIES[family]), "num_hidden_layers": 2, "vocab_size": ROWS,
        "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": None,
        "pad_token_id": None, "tie_word_embeddings": False,
    }  # fmt: skip
    model = hf_models.build(family, 0, **sizes)
    tensors = {n: t.detach().clone().contiguous() for n, t in model.state_dict().items()}
    return model.config.to_diff_dict(), tensors


def write(odd: Odd, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config, tensors = _weights(odd.family)
    config = {k: v for k, v in config.items() if not k.startswith("rope")}
    for key in ("tie_word_embeddings", "eos_token_id", "original_max_position_embeddings",
                "partial_rotary_factor", *odd.dropped):  # fmt: skip
        config.pop(key, None)
    _write_json(folder / "config.json", {**config, "dtype": "float32", **odd.config})
    _write_weights(odd, folder, dict(tensors))
    _tokenizer(odd.tokenizer).save(str(folder / "tokenizer.json"))
    for name, content in odd.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        if name.endswith(".jinja"):
            (folder / name).write_text(content)
        else:
            _write_json(folder / name, content)
    return folder


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1))


def _write_weights(odd: Odd, folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    if odd.tensors == "equal":
        tensors[HEAD] = tensors[EMBED].clone()
    elif odd.tensors == "no head":
        del tensors[HEAD]
    elif odd.tensors == "no embedding":
        del tensors[EMBED]
    other = {name: tensor + 0.1 for name, tensor in tensors.items()}
    names = list(tensors)
    split = {name: f"model-{1 + 2 * i // len(names):05d}-of-00002.safetensors"
             for i, name in enumerate(names)}  # fmt: skip
    if "shards" in odd.layout:
        kept = other if odd.layout == "stale shards" else tensors
        for file in dict.fromkeys(split.values()):
            save_file({n: kept[n] for n in names if split[n] == file}, folder / file)
        _write_json(folder / "model.safetensors.index.json",
                    {"metadata": {}, "weight_map": split})  # fmt: skip
    if odd.layout != "shards" and odd.layout != "bin":
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    if "bin" in odd.layout:
        torch.save(tensors if odd.layout == "bin" else other, folder / "pytorch_model.bin")


def _tokenizer(made: dict[str, Any]) -> Tokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(**token) for token in made["inside"]])
    front, after = made["front"], made["after"]
    if front or after:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=" ".join([*([front] if front else []), "$A", *([after] if after else [])]),
            special_tokens=[(t, tokenizer.token_to_id(t)) for t in {front, after} - {None}],
        )
    if made["truncation"]:
        tokenizer.enable_truncation(4)
    if made["padding"]:
        tokenizer.enable_padding(length=16, pad_token=END, pad_id=BASE)
    return tokenizer
