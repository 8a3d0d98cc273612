"""Write GGUF files of published shapes with random weights, to compare speed with llama.cpp.

python benchmarks/random_gguf.py lfm2_350m lfm2.gguf
python benchmarks/random_gguf.py qwen3_5_0_8b qwen3_5.gguf

Tensors have the types that llama.cpp's `llama-quantize` gives a file of `Q4_0`: matrices in Q4_0,
the embedding that serves as head too in Q6_K (`--head Q4_0` for that type), the rest in float32.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Shapes = Mapping[str, tuple[int, ...]]


class Writer:
    """A file of one architecture, ``D`` wide, with a vocabulary of ``words`` made-up tokens."""

    #: The type of the embedding.
    head = "Q6_K"

    def __init__(self, path: Path, architecture: str, width: int, words: int) -> None:
        import gguf

        self.gguf: Any = gguf
        self.file: Any = gguf.GGUFWriter(str(path), architecture)
        self.random = np.random.default_rng(0)
        self.file.add_embedding_length(width)
        self.file.add_vocab_size(words)
        self.file.add_tokenizer_model("gpt2")
        self.file.add_tokenizer_pre("qwen2")
        self.file.add_token_list(["a", "b", "ab", *(f"t{i}" for i in range(3, words))])
        self.file.add_token_types([1] * words)
        self.file.add_token_merges(["a b"])
        self.file.add_eos_token_id(words - 1)
        self.add_matrix("token_embd.weight", (words, width), self.head)

    def put(
        self, prefix: str, shapes: Shapes, *,
        leaf: str = ".weight", quantized: bool = True, value: float = 1.0,
    ) -> None:  # fmt: skip
        """Weights, rows first: random ones, but all of a vector are ``value``."""
        for name, shape in shapes.items():
            whole = prefix + name + leaf
            if len(shape) == 1 or not quantized:
                vector = np.full(shape, value)
                plain = vector if len(shape) == 1 else 0.1 * self.random.normal(size=shape)
                self.file.add_tensor(whole, plain.astype(np.float32))
                continue
            self.add_matrix(whole, shape, "Q4_0")

    def add_matrix(self, name: str, shape: tuple[int, ...], kind: str) -> None:
        """A matrix of random integers, its blocks as ``ggml-common.h`` lays them out."""
        # Q4_0: a scale in float16, then 32 weights of 4 bits. Q6_K: 256 of 6 bits, 16 scales
        # in int8, then one in float16 for all.
        weights, size, scale = {"Q4_0": (32, 18, slice(0, 2)), "Q6_K": (256, 210, slice(208, 210))}[
            kind
        ]
        count = shape[0] * shape[1] // weights
        blocks = self.random.integers(0, 256, (count, size), dtype=np.uint8)
        value = 2e-3 if kind == "Q4_0" else 5e-6
        blocks[:, scale] = np.full((count, 1), value, np.float16).view(np.uint8)
        tensor = blocks.reshape(shape[0], -1)
        self.file.add_tensor(name, tensor, raw_dtype=self.gguf.GGMLQuantizationType[kind])

    def close(self) -> None:
        self.file.write_header_to_file()
        self.file.write_kv_data_to_file()
        self.file.write_tensors_to_file()
        self.file.close()


def lfm2_350m(path: Path) -> None:
    d, f, layers, attention = 1024, 4608, 16, (2, 5, 8, 10, 12, 14)
    made = Writer(path, "lfm2", d, 65536)
    made.file.add_context_length(128000)
    made.file.add_block_count(layers)
    made.file.add_feed_forward_length(f)
    made.file.add_head_count(16)
    made.file.add_head_count_kv([8 if i in attention else 0 for i in range(layers)])
    made.file.add_layer_norm_rms_eps(1e-5)
    made.file.add_rope_freq_base(1e6)
    made.file.add_shortconv_l_cache(3)
    made.put("", {"token_embd_norm": (d,)})
    for i in range(layers):
        at = f"blk.{i}."
        made.put(at, {"attn_norm": (d,), "ffn_norm": (d,)})
        made.put(at, {"ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)})
        if i in attention:
            made.put(at, {"attn_q_norm": (64,), "attn_k_norm": (64,), "attn_q": (d, d)})
            made.put(at, {"attn_k": (512, d), "attn_v": (512, d), "attn_output": (d, d)})
        else:
            made.put(at, {"shortconv.conv": (d, 3)}, quantized=False)
            made.put(at, {"shortconv.in_proj": (3 * d, d)})
            made.put(at, {"shortconv.out_proj": (d, d)})
    made.close()


def qwen3_5_0_8b(path: Path) -> None:
    d, f, layers = 1024, 3584, 24
    made = Writer(path, "qwen35", d, 248320)
    made.file.add_context_length(262144)
    made.file.add_block_count(layers)
    made.file.add_feed_forward_length(f)
    made.file.add_head_count(8)
    made.file.add_head_count_kv(2)
    made.file.add_key_length(256)
    made.file.add_value_length(256)
    made.file.add_layer_norm_rms_eps(1e-6)
    made.file.add_rope_freq_base(1e7)
    made.file.add_rope_dimension_count(64)
    made.file.add_rope_dimension_sections([11, 11, 10, 0])
    made.file.add_ssm_conv_kernel(4)
    made.file.add_ssm_inner_size(2048)
    made.file.add_ssm_state_size(128)
    made.file.add_ssm_time_step_rank(16)
    made.file.add_ssm_group_count(16)
    made.file.add_uint32("qwen35.full_attention_interval", 4)
    made.put("", {"output_norm": (d,)})
    for i in range(layers):
        at = f"blk.{i}."
        made.put(at, {"attn_norm": (d,), "post_attention_norm": (d,)})
        made.put(at, {"ffn_gate": (f, d), "ffn_up": (f, d), "ffn_down": (d, f)})
        if i % 4 == 3:
            made.put(at, {"attn_q_norm": (256,), "attn_k_norm": (256,), "attn_q": (4096, d)})
            made.put(at, {"attn_k": (512, d), "attn_v": (512, d), "attn_output": (d, 2048)})
        else:
            made.put(at, {"attn_qkv": (6144, d), "attn_gate": (2048, d), "ssm_out": (d, 2048)})
            made.put(at, {"ssm_beta": (16, d), "ssm_alpha": (16, d), "ssm_norm": (128,)})
            made.put(at, {"ssm_conv1d": (6144, 4)}, quantized=False)
            # The decay is exp(a softplus(...)).
            made.put(at, {"ssm_dt": (16,)}, leaf=".bias")
            made.put(at, {"ssm_a": (16,)}, leaf="", value=-1.0)
    made.close()


MODELS: dict[str, Callable[[Path], None]] = {
    "lfm2_350m": lfm2_350m,
    "qwen3_5_0_8b": qwen3_5_0_8b,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=MODELS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--head", choices=("Q6_K", "Q4_0"), default="Q6_K")
    given = parser.parse_args()
    Writer.head = given.head
    MODELS[given.model](given.file)


if __name__ == "__main__":
    main()
