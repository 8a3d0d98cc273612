"""Keys of a config.json without effect on the logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BOOKKEEPING = frozenset(
    {
        "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path",
        "architectures", "attn_implementation", "auto_map", "bos_token_id", "dtype",
        "eos_token_id", "experts_implementation", "finetuning_task", "id2label", "is_llama_config",
        "keys_to_ignore_at_inference", "label2id", "model_type", "num_labels", "pad_token_id",
        "prefix", "problem_type", "rope_interleaved", "sep_token_id", "task_specific_params",
        "tokenizer_class", "torch_dtype", "transformers.js_config", "transformers_version",
        "unsloth_fixed", "unsloth_version", "use_flash_attention",
    }
)  # fmt: skip
_TRAINING = frozenset(
    {
        "attention_dropout", "embd_pdrop", "embedding_dropout", "gradient_checkpointing",
        "hidden_dropout", "initializer_range", "resid_pdrop", "residual_dropout",
        "router_aux_loss_coef", "router_jitter_noise", "tf_legacy_loss",
    }
)  # fmt: skip
# What is returned besides the logits, and in how many pieces they are computed.
_OUTPUTS = frozenset(
    {
        "chunk_size_feed_forward", "output_attentions", "output_hidden_states",
        "output_router_logits", "return_dict", "torchscript", "use_bfloat16", "use_cache",
    }
)  # fmt: skip
GENERATION = frozenset(
    {
        "assistant_confidence_threshold", "assistant_lookbehind", "bad_words_ids",
        "begin_suppress_tokens", "decoder_start_token_id", "diversity_penalty", "do_sample",
        "early_stopping", "encoder_no_repeat_ngram_size", "encoder_repetition_penalty",
        "epsilon_cutoff", "eta_cutoff", "exponential_decay_length_penalty", "forced_bos_token_id",
        "forced_eos_token_id", "length_penalty", "max_length", "max_new_tokens", "min_length",
        "min_p", "no_repeat_ngram_size", "num_assistant_tokens", "num_assistant_tokens_schedule",
        "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
        "remove_invalid_values", "repetition_penalty", "return_dict_in_generate",
        "suppress_tokens", "target_lookbehind", "temperature", "top_k", "top_p", "typical_p",
    }
)  # fmt: skip
"""Settings of generation, which older versions of transformers wrote into config.json."""

INERT = _BOOKKEEPING | _TRAINING | _OUTPUTS | GENERATION
"""Keys without effect, whatever their value."""

_ONLY_AS: Mapping[str, tuple[Any, ...]] = {
    "add_cross_attention": (False,),
    "is_decoder": (False, True),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({},),
    "quantization_config": ({},),
    "tie_encoder_decoder": (False,),
}


def is_inert(key: str, value: Any) -> bool:
    """Whether ``key`` with this value changes nothing. Null is the same as absent."""
    return value is None or key in INERT or value in _ONLY_AS.get(key, ())
