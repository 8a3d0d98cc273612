"""What sentence-transformers' files say, and what is refused of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llm_export.errors import CheckpointError
from llm_export.models.encoders.sentence_transformers import SentenceFiles, read_sentence_files

KINDS = ["Transformer", "Pooling", "Normalize"]


def written(folder: Path, kinds: list[str] = KINDS, **files: Any) -> Path:
    """A folder with these modules; ``files``: path with __ for / -> its JSON."""
    places = ["" if i == 0 else f"{i}_{kind}" for i, kind in enumerate(kinds)]
    content: dict[str, Any] = {
        "modules": [{"idx": i, "path": places[i], "type": f"sentence_transformers.models.{kind}"}
                    for i, kind in enumerate(kinds)],
        "1_Pooling__config": {"word_embedding_dimension": 8, "pooling_mode_mean_tokens": True},
        "2_Dense__config": {"in_features": 8, "out_features": 4, "bias": True,
                            "activation_function": "torch.nn.modules.activation.Tanh"},
    }  # fmt: skip
    for name, value in {**content, **files}.items():
        path = folder / f"{name.replace('__', '/')}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value))
    return folder


def read(folder: Path) -> SentenceFiles:
    found = read_sentence_files(folder)
    assert found is not None
    return found


def test_a_folder_without_modules_says_nothing(tmp_path: Path) -> None:
    assert read_sentence_files(tmp_path) is None


@pytest.mark.parametrize(
    ("pooling", "name"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_lasttoken": True, "include_prompt": True}, "last"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "max+mean"),
        ({"pooling_mode": "weightedmean", "embedding_dimension": 8}, "weighted_mean"),
        ({"pooling_mode": ["mean_sqrt_len_tokens", "cls"]}, "mean_sqrt_length+cls"),
        ({"word_embedding_dimension": 8}, "mean"),
    ],
)
def test_poolings_of_all_versions(pooling: dict[str, Any], name: str, tmp_path: Path) -> None:
    found = read(written(tmp_path, KINDS, **{"1_Pooling__config": pooling}))
    assert found.options == {"pooling": name, "normalize": True}


def test_prompts_similarity_and_lengths_are_options(tmp_path: Path) -> None:
    folder = written(
        tmp_path, KINDS[:2],
        config_sentence_transformers={
            "__version__": {}, "prompts": {"query": "q: ", "document": ""},
            "default_prompt_name": None, "similarity_fn_name": "dot", "truncate_dim": 4,
        },
        sentence_bert_config={"max_seq_length": 64, "do_lower_case": False},
    )  # fmt: skip
    assert read(folder).options == {
        "pooling": "mean", "normalize": False, "prompts": {"query": "q: "}, "similarity": "dot",
        "dimensions": 4, "matryoshka": [4], "max_length": 64,
    }  # fmt: skip


def test_dense_layers_are_read_in_order(tmp_path: Path) -> None:
    folder = written(tmp_path, ["Transformer", "Pooling", "Dense", "Normalize"])
    (folder / "2_Dense" / "model.safetensors").write_bytes(b"not read here")
    found = read(folder)
    assert found.weights == (folder / "2_Dense" / "model.safetensors",)
    assert found.dense[0] == {
        "in_features": 8, "out_features": 4, "bias": True, "activation": "tanh",
    }  # fmt: skip


def test_a_tokenizer_may_lowercase_itself(tmp_path: Path) -> None:
    folder = written(tmp_path, sentence_bert_config={"do_lower_case": True})
    with pytest.raises(CheckpointError, match="the tokenizer does not lowercase"):
        read(folder)
    written(folder, tokenizer={"normalizer": {"type": "BertNormalizer", "lowercase": True}})
    assert read(folder).options["pooling"] == "mean"


@pytest.mark.parametrize(
    ("kinds", "files", "said"),
    [
        (["Pooling"], {}, "the first module is Pooling"),
        (["Transformer", "Normalize", "Pooling"], {}, "module Pooling is not implemented, or not"),
        (["Transformer", "Dense"], {}, "module Dense is not implemented, or not in this place"),
        (["Transformer", "CNN"], {}, "module CNN"),
        (["Transformer", "Pooling", "Dense"], {}, "the weights of a dense layer"),
        (KINDS, {"modules": {"a": 1}}, "no list of modules"),
        (KINDS, {"modules": [{"type": "x.Transformer", "path": "../up"}]}, "a folder outside"),
        (KINDS, {"modules": [{"type": "x.Transformer", "path": "0_T"}]}, "a folder of its own"),
        (KINDS, {"1_Pooling__config": {"pooling_mode": "median"}}, "pooling_mode='median'"),
        (KINDS, {"1_Pooling__config": {"pooling_mode_x": True}}, "unknown key 'pooling_mode_x'"),
        (KINDS, {"1_Pooling__config": {"pooling_mode": [{}]}}, "pooling_mode=[{}]"),
        (KINDS, {"1_Pooling__config": {"include_prompt": False}}, "include_prompt=False"),
        (KINDS, {"config_sentence_transformers": {"prompts": {"q": 1}}}, "are not texts by name"),
        (KINDS, {"config_sentence_transformers": {"default_prompt_name": "q"}}, "_prompt_name='q'"),
        (["Transformer", "Pooling", "Dense"],
         {"2_Dense__config": {"activation_function": "my.Swish"}}, "function='my.Swish'"),
        (["Transformer", "Pooling", "Dense"],
         {"2_Dense__config": {"use_residual": True}}, "use_residual=True is not implemented"),
    ],
)  # fmt: skip
def test_what_is_not_implemented_is_refused(
    kinds: list[str], files: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read(written(tmp_path, kinds, **files))
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
