"""Make the programs of this folder again, with the exporters of others:

    python tests/foreign/make.py FOLDER [OPTIMUM_CLI]

OPTIMUM_CLI: optimum-cli of an environment with optimum-executorch 1.1.0, which needs transformers
5.0.0rc1. Without it the programs of optimum-executorch are left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

CONTEXT = 64
PROMPT = [10, 50, 60, 70, 33, 44, 5, 9]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def write_checkpoint(folder: Path) -> Any:
    """A llama of random weights: a Hugging Face folder ``hf``, and Meta's files for export_llm."""
    import torch
    from same_weights import _write_meta
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = bytes_of, decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=bytes_of.alphabet(), show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(["hello world, the quick brown fox jumps over it"] * 20, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|im_end|>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder / "hf")
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=304, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=CONTEXT,
        bos_token_id=0, eos_token_id=3, tie_word_embeddings=True, initializer_range=0.5,
    )).eval()  # fmt: skip
    model.save_pretrained(folder / "hf")
    config = json.loads((folder / "hf" / "config.json").read_text(encoding="utf-8"))
    weights = {n: t.contiguous() for n, t in model.state_dict().items() if n != "lm_head.weight"}
    _write_meta(folder, weights, {**config, "rope_theta": 10000.0})
    return model


def expected(model: Any, count: int) -> list[int]:
    """Greedy tokens after ``PROMPT``, by transformers."""
    import torch

    ids = torch.tensor([PROMPT])
    with torch.no_grad():
        for _ in range(count):
            ids = torch.cat([ids, model(ids).logits[:, -1].argmax(-1)[None]], 1)
    return [int(token) for token in ids[0, len(PROMPT) :]]


def export_llm(folder: Path) -> None:
    out = folder / "export_llm"
    out.mkdir()
    subprocess.run([
        sys.executable, "-m", "executorch.extension.llm.export.export_llm",
        "base.model_class=llama2", f"base.params={folder}/params.json",
        f"base.checkpoint={folder}/model.pth", "model.use_kv_cache=True",
        'base.metadata=\'{"get_bos_id":0,"get_eos_ids":[3]}\'',
        "model.use_sdpa_with_kv_cache=True", f"export.max_seq_length={CONTEXT}",
        f"export.max_context_length={CONTEXT}", f"export.output_name={out}/model.pte",
        "backend.xnnpack.enabled=True", "backend.xnnpack.extended_ops=True",
    ], check=True)  # fmt: skip


def optimum(folder: Path, program: str) -> None:
    common = [program, "export", "executorch", "-m", str(folder / "hf"), "--recipe", "xnnpack",
              "--task", "text-generation", "--max_seq_len", str(CONTEXT)]  # fmt: skip
    kinds = {"optimum": ["--use_custom_sdpa", "--use_custom_kv_cache"],
             "optimum_static": ["--disable_dynamic_shapes"]}  # fmt: skip
    for name, words in kinds.items():
        subprocess.run([*common, *words, "-o", str(folder / name)], check=True)


def transformers(folder: Path, model: Any) -> None:
    import torch
    from transformers.exporters import ExecutorchConfig, ExecutorchExporter

    inputs: dict[str, Any] = {
        "input_ids": torch.tensor([PROMPT]),
        "attention_mask": torch.ones(1, 8).long(),
    }
    config = ExecutorchConfig(backend="xnnpack", dynamic=True)
    exporter = ExecutorchExporter()
    exporter.export(model, inputs, config=config).save_pretrained(folder / "transformers")
    exporter.export_for_generation(model, inputs, config=config).save_pretrained(
        folder / "transformers_generation"
    )


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True)
    model = write_checkpoint(folder)
    (folder / "expected.json").write_text(json.dumps(expected(model, 24)) + "\n", encoding="utf-8")
    export_llm(folder)
    transformers(folder, model)
    if len(sys.argv) > 2:
        optimum(folder, sys.argv[2])


if __name__ == "__main__":
    main()
