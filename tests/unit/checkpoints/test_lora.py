"""LoRA adapters: merged as PEFT merges them, and refused where they are not understood."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hf_models
import pytest
import torch
from checkpoint_files import close, expected, logits, recipe_for_config, write_gguf
from safetensors.torch import load_file, save_file

from llm_export.checkpoints.adapter import read_adapter
from llm_export.checkpoints.open import describe_source, open_checkpoint
from llm_export.cli.main import main
from llm_export.config.schema import CheckpointConfig
from llm_export.errors import CheckpointError, InputError

peft = pytest.importorskip("peft", exc_type=ImportError)
Q, UP = "model.layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"


def untied() -> Any:
    return hf_models.llama(seed=3, tie_word_embeddings=False)


def make(folder: Path, base: Any = None, **options: Any) -> torch.Tensor:
    """Save an adapter with PEFT, its factors random; returns the logits PEFT computes."""
    settings = {"r": 4, "lora_alpha": 12, "target_modules": ["q_proj", "v_proj", "up_proj"]}
    config = peft.LoraConfig(task_type="CAUSAL_LM", **{**settings, **options})
    model = peft.get_peft_model(base or untied(), config)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder, save_embedding_layers=False)
    model.eval()
    return expected(model)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return hf_models.save(untied(), tmp_path / "base")


def merged(base: Path, adapter: Path) -> CheckpointConfig:
    return CheckpointConfig(path=str(base), adapter=str(adapter))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"up_proj": 2, r"model.layers.0.*q_proj": 6}},
        {"alpha_pattern": {"v_proj": 3}, "rank_pattern": {"layers.1.self_attn.v_proj": 8}},
        {"target_modules": "all-linear"},
        {"target_modules": ["embed_tokens", "o_proj"]},
        {"modules_to_save": ["lm_head", "norm"]},
        {"init_lora_weights": "orthogonal", "layers_to_transform": [1]},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_logits_are_those_of_peft(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    want = make(tmp_path / "adapter", **options)
    got = logits(merged(base, tmp_path / "adapter"))
    assert close(got, want)
    assert not close(got, expected(untied()), 1e-2)


def test_weights_that_are_stored_transposed(base: Path, tmp_path: Path) -> None:
    """fan_in_fan_out is for models of Conv1D, as GPT-2: compared tensor by tensor."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=64, n_positions=16, n_embd=8, n_layer=1, n_head=2)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "gpt2")
    settings = {"r": 2, "target_modules": ["c_attn"], "fan_in_fan_out": True}
    adapted = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.normal_()
    adapted.save_pretrained(tmp_path / "adapter")
    checkpoint = open_checkpoint(merged(tmp_path / "gpt2", tmp_path / "adapter"), {})
    tensors = dict(checkpoint.tensors())
    want = adapted.merge_and_unload().state_dict()
    name = next(n for n in tensors if "c_attn.weight" in n)
    assert torch.allclose(tensors[name], want[next(n for n in want if n.endswith(name))], atol=1e-6)


def test_half_precision_and_bin_adapters(tmp_path: Path) -> None:
    base = hf_models.save(untied().bfloat16(), tmp_path / "base")
    make(tmp_path / "adapter")
    want = logits(merged(base, tmp_path / "adapter"))
    assert not close(want, logits(CheckpointConfig(path=str(base))), 1e-2)
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    torch.save(load_file(file), file.with_name("adapter_model.bin"))
    file.unlink()
    assert torch.equal(logits(merged(base, tmp_path / "adapter")), want)


def test_an_adapter_can_be_read_apart(base: Path, tmp_path: Path) -> None:
    make(tmp_path / "adapter", alpha_pattern={"up_proj": 2}, modules_to_save=["lm_head"])
    adapter = read_adapter(tmp_path / "adapter")
    a, b = adapter.pairs[UP]
    assert (a.shape, b.shape) == ((4, 64), (96, 4))
    assert adapter.scale[UP] == 0.5
    assert adapter.scale[Q] == 3.0
    assert set(adapter.replaced) == {"lm_head.weight"}
    assert len(adapter.pairs) == 6
    source = merged(base, tmp_path / "adapter")
    checkpoint = open_checkpoint(source, {})
    assert [p.name for p in checkpoint.files] == [
        "model.safetensors", "adapter_model.safetensors", "adapter_config.json"]  # fmt: skip
    assert checkpoint.format == "safetensors + LoRA"
    assert describe_source(source).endswith("base + " + str(tmp_path / "adapter"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"use_dora": True}, "use_dora=True, which is not implemented"),
        ({"lora_bias": True}, "lora_bias=True, which is not implemented"),
        ({"bias": "all"}, "bias='all', which is not implemented"),
        ({"peft_type": "IA3"}, "peft_type='IA3', which is not implemented"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', which is not implemented"),
        ({"trainable_token_indices": [3]}, "trainable_token_indices=[3]"),
        ({"layer_replication": [[0, 2]]}, "layer_replication=[[0, 2]]"),
        ({"later_idea": {"x": 1}}, "later_idea={'x': 1}, which is not implemented"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save=lm_head, and its weights have none"),
        ({"r": 8}, "the adapter's config gives rank 8"),
        ({"r": None}, "the adapter's config lacks 'r'"),
    ],
)
def test_settings_that_are_not_implemented(
    base: Path, tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    make(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CheckpointError) as caught:
        open_checkpoint(merged(base, tmp_path / "adapter"), {})
    assert words in str(caught.value)


def test_what_is_off_in_later_versions_is_no_obstacle(base: Path, tmp_path: Path) -> None:
    want = make(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "later_idea": None}))
    assert close(logits(merged(base, tmp_path / "adapter")), want)


def test_an_adapter_of_another_model(base: Path, tmp_path: Path) -> None:
    wide = hf_models.llama(seed=3, tie_word_embeddings=False, intermediate_size=128)
    deep = hf_models.llama(seed=3, tie_word_embeddings=False, num_hidden_layers=3)
    for name, other, words in (
        ("wide", wide, f"2 of its 6 targets do not fit: {UP.replace('1', '0')}.weight is (96, 64) "
         "in the base model and (128, 64) here"),
        ("deep", deep, "3 of its 9 targets do not fit: model.layers.2."),
    ):  # fmt: skip
        make(tmp_path / name, base=other)
        config = tmp_path / name / "adapter_config.json"
        stated = {**json.loads(config.read_text()), "base_model_name_or_path": "org/other"}
        config.write_text(json.dumps(stated))
        with pytest.raises(CheckpointError, match="the adapter is of another model") as caught:
            open_checkpoint(merged(base, tmp_path / name), {})
        assert words in str(caught.value)
        assert "its base_model_name_or_path is org/other" in str(caught.value)


def test_tied_matrices_are_not_changed_apart(tmp_path: Path) -> None:
    tied = hf_models.llama(seed=3, tie_word_embeddings=True)
    base = hf_models.save(tied, tmp_path / "base")
    make(tmp_path / "adapter", base=tied, target_modules=["embed_tokens", "q_proj"])
    with pytest.raises(CheckpointError, match="the base model ties embedding and head"):
        open_checkpoint(merged(base, tmp_path / "adapter"), {})


def _drop_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _drop_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def _cut(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])


def _drop_half_a_pair(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    name = f"base_model.model.{Q}.lora_B.weight"
    save_file({k: v for k, v in load_file(file).items() if k != name}, file)


def _dora_vector(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    extra = {f"base_model.model.{Q}.lora_magnitude_vector.weight": torch.ones(64)}
    save_file({**load_file(file), **extra}, file)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_drop_config, "the adapter has no adapter_config.json"),
        (_drop_weights, "the adapter has no weights"),
        (_cut, "not a whole safetensors file"),
        (_drop_half_a_pair, f"'{Q}' has no lora_B"),
        (_dora_vector, "lora_magnitude_vector.weight' is of a kind that is not implemented"),
    ],
)
def test_damaged_adapters(
    base: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    make(tmp_path / "adapter")
    damage(tmp_path / "adapter")
    with pytest.raises(InputError) as caught:
        open_checkpoint(merged(base, tmp_path / "adapter"), {})
    assert words in str(caught.value)


def test_adapters_need_a_base_with_hugging_face_names(base: Path, tmp_path: Path) -> None:
    import gguf

    make(tmp_path / "adapter")
    file = write_gguf(tmp_path / "m.gguf", untied(), gguf.GGMLQuantizationType.F32)
    with pytest.raises(CheckpointError, match="this one is of format gguf"):
        open_checkpoint(merged(file, tmp_path / "adapter"), {})
    with pytest.raises(InputError, match="there is no such adapter folder"):
        open_checkpoint(merged(base, tmp_path / "none"), {})
    with pytest.raises(CheckpointError, match="the folder holds an adapter and no model") as caught:
        open_checkpoint(CheckpointConfig(path=str(tmp_path / "adapter")), {})
    assert f"checkpoint.adapter={tmp_path / 'adapter'}" in str(caught.value)


def test_tokenizer_and_chat_template_of_an_adapter(base: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    make(folder)
    checkpoint = open_checkpoint(merged(base, folder), {})
    own = checkpoint.tokenizer()
    (folder / "tokenizer.json").write_text((base / "tokenizer.json").read_text())
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    assert checkpoint.tokenizer().chat_template == "{{ messages[0]['content'] }}"
    assert checkpoint.tokenizer().eos_ids == own.eos_ids
    raw = json.loads((base / "tokenizer.json").read_text())
    raw["added_tokens"][-1]["content"] = "<|other|>"
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(CheckpointError, match="another vocabulary than its base model's"):
        checkpoint.tokenizer()


def test_values_that_are_not_finite_after_the_merge(base: Path, tmp_path: Path) -> None:
    make(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors[f"base_model.model.{Q}.lora_A.weight"][0, 0] = float("nan")
    save_file(tensors, file)
    with pytest.raises(CheckpointError, match=f"'{Q}.weight' holds values that are not finite"):
        logits(merged(base, tmp_path / "adapter"), recipe_for_config(base))


def test_the_flags_of_the_rfc_keep_the_adapter(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"--check_point={base}", f"checkpoint.adapter={tmp_path / 'none'}"]
    assert main(words) == 2
    assert "there is no such adapter folder" in capsys.readouterr().err
