"""The token that ends an assistant's turn is found in the chat template."""

from __future__ import annotations

import re
from collections.abc import Iterable

import pytest
from chat_templates import TEMPLATES
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models

from llm_export.tokenizers.base import TokenizerAssets
from llm_export.tokenizers.turn_end import turn_ends, with_turn_ends

_TOKEN = re.compile(
    r"<\|[\w/]+\|?>|<[\w/]+\|>|<\w+_of_turn>|\[/?[A-Z_]+\]|</?(?:s|think|tool_call|sep)>"
)
_ORDINARY = ("<think>", "</think>", "<tool_call>", "</tool_call>")
"""Added tokens that are not special, as in Qwen 3 and GLM-4.5."""
_SWITCH = "{% if add_generation_prompt %}"


def _each(user: str, assistant: str, after: str = "") -> str:
    return (
        "{% for m in messages %}{% if m.role == 'assistant' %}" + assistant + "{% else %}" + user
        + "{% endif %}{% endfor %}" + after
    )  # fmt: skip


# Further manners of published and of plausible templates: name -> (template, ends).
OTHERS: dict[str, tuple[str, list[str]]] = {
    "glm4: the next role's token ends an answer": (
        "[gMASK]<sop>" + _each("<|user|>\n{{ m.content }}", "<|assistant|>\n{{ m.content }}",
                               _SWITCH + "<|assistant|>{% endif %}"),
        [],
    ),
    "gemma 4": (
        "{{ bos_token }}" + _each("<|turn>user\n{{ m.content | trim }}<turn|>\n",
                                  "<|turn>model\n{{ m.content | trim }}<turn|>\n",
                                  _SWITCH + "<|turn>model\n{% endif %}"),
        ["<turn|>"],
    ),
    "harmony: the last answer of all ends otherwise": (
        _each("<|start|>user<|message|>{{ m.content }}<|end|>",
              "{% if loop.last and not add_generation_prompt %}{% if m.thinking %}"
              "<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}<|end|>{% endif %}"
              "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|return|>{% else %}"
              "<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>{% endif %}",
              _SWITCH + "<|start|>assistant{% endif %}"),
        ["<|return|>"],
    ),
    "harmony without an end of its own": (
        _each("<|start|>user<|message|>{{ m.content }}<|end|>",
              "{% if m.thinking %}<|start|>assistant<|channel|>analysis<|message|>{{ m.thinking }}"
              "<|end|>{% endif %}<|start|>assistant<|message|>{{ m.content }}<|end|>",
              _SWITCH + "<|start|>assistant{% endif %}"),
        [],
    ),
    "command r7b: a part of the turn ends first": (
        _each("<|START_OF_TURN_TOKEN|><|USER_TOKEN|>{{ m.content }}<|END_OF_TURN_TOKEN|>",
              "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{{ m.content }}"
              "<|END_RESPONSE|><|END_OF_TURN_TOKEN|>",
              _SWITCH + "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"),
        ["<|END_OF_TURN_TOKEN|>"],
    ),
    "an end between turns only": (
        _each("User: {{ m.content }}<|end|>",
              "Assistant: {{ m.content }}{% if not loop.last %}<|end|>{% endif %}"),
        ["<|end|>"],
    ),
    "no end, and a start that is always there": (
        _each("<|user|>{{ m.content }}", "<|assistant|>{{ m.content }}", "<|assistant|>"), []
    ),
    "an end, and a start that is always there": (
        _each("<|im_start|>user\n{{ m.content }}<|im_end|>\n",
              "<|im_start|>assistant\n{{ m.content }}<|im_end|>\n", "<|im_start|>assistant\n"),
        ["<|im_end|>"],
    ),
    "text before the end": (
        _each("<|user|>{{ m.content }}", "<|assistant|><answer>\n{{ m.content }}\n</answer><|eos|>",
              _SWITCH + "<|assistant|>{% endif %}"),
        ["<|eos|>"],
    ),
    "plain text": (
        _each("User: {{ m.content }}\n", "Assistant: {{ m.content }}\n",
              _SWITCH + "Assistant:{% endif %}"),
        [],
    ),
    "an end that is added like a word": (
        _each("User: {{ m.content }}</tool_call>", "Assistant: {{ m.content }}</tool_call>\n"),
        ["</tool_call>"],
    ),
    "calls in tokens of their own, before the end": (
        _each("<|user|>{{ m.content }}<|eot|>",
              "<|assistant|>{{ m.content }}{% for c in m.tool_calls or [] %}<|call_begin|>"
              "{{ c.function.name + c.function.arguments }}<|call_end|>{% endfor %}<|eot|>",
              _SWITCH + "<|assistant|>{% endif %}"),
        ["<|eot|>"],
    ),
    "calls without an end": (
        _each("<|user|>{{ m.content }}",
              "<|assistant|>{{ m.content }}{% for c in m.tool_calls or [] %}<|call_begin|>"
              "{{ c.function.name ~ c.function.arguments }}<|call_end|>{% endfor %}",
              _SWITCH + "<|assistant|>{% endif %}"),
        [],
    ),
    "calls with an end of their own": (
        _each("<|user|>{{ m.content }}<|eot|>",
              "<|assistant|>{{ m.content }}{% if m.tool_calls %}{{ m.tool_calls | tojson }}<|eom|>"
              "{% else %}<|eot|>{% endif %}",
              _SWITCH + "<|assistant|>{% endif %}"),
        ["<|eot|>", "<|eom|>"],
    ),
    "not valid": ("{% if %}", []),
    "refuses everything": ("{{ raise_exception('no') }}", []),
    "does not show the answer": ("{{ messages[0].content }}<|end|>", []),
    "shows it twice": (_each("{{ m.content }}", "{{ m.content }}{{ m.content }}<|end|>"),
                       ["<|end|>"]),
}  # fmt: skip
FAMILIES: dict[str, list[str]] = {
    "chatml": ["<|im_end|>"], "zephyr": ["</s>"], "llama2": ["</s>"], "llama3": ["<|eot_id|>"],
    "llama3_tools": ["<|eot_id|>"], "gemma": ["<end_of_turn>"], "gemma3": ["<end_of_turn>"],
    "phi3": ["<|end|>"], "phi4_mini": ["<|end|>"], "phi4_reasoning": ["<|im_end|>"],
    "mistral_tools": ["</s>"], "mixtral_old": ["</s>"], "qwen25": ["<|im_end|>"],
    "qwen3": ["<|im_end|>"], "qwen3_5": ["<|im_end|>"], "smollm2": ["<|im_end|>"],
    "lfm2": ["<|im_end|>"],
    "smollm3": ["<|im_end|>"], "deepseek": ["</s>"], "granite": ["<|end_of_text|>"],
    "command_r": ["<|END_OF_TURN_TOKEN|>"], "olmo2": ["</s>"], "gpt_oss": ["<|call|>"],
    "hermes_tools": ["<|im_end|>"], "nemotron": [], "refuses_without_system": ["<|im_end|>"],
}  # fmt: skip


def assets_of(
    template: str | None, words: Iterable[str] = (), tool_use_template: str | None = None
) -> TokenizerAssets:
    """A tokenizer that has the tokens of the template; ``</s>`` is its EOS."""
    texts = dict.fromkeys(["<s>", "</s>", *_TOKEN.findall(template or ""), *words])
    tokenizer = Tokenizer(models.BPE({"a": 0}, []))
    tokenizer.add_tokens([AddedToken(text, special=text not in _ORDINARY) for text in texts])
    specials = {"bos_token": "<s>", "eos_token": "</s>"}
    ends = tuple(i for i, t in tokenizer.get_added_tokens_decoder().items() if t.content == "</s>")
    return TokenizerAssets(
        tokenizer.to_str(), template, 1, ends, False, special_tokens=specials,
        tool_use_template=tool_use_template,
    )  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_of_published_families(name: str) -> None:
    assert list(turn_ends(assets_of(TEMPLATES[name]))) == FAMILIES[name]


@pytest.mark.parametrize("name", OTHERS)
def test_of_other_manners(name: str) -> None:
    template, ends = OTHERS[name]
    assert list(turn_ends(assets_of(template))) == ends


def test_both_templates_count_and_declared_ids_come_first() -> None:
    tools, _ = OTHERS["calls with an end of their own"]
    assets = assets_of(TEMPLATES["chatml"], ["<|eot|>", "<|eom|>"], tool_use_template=tools)
    ending, (remark,) = with_turn_ends(assets)
    tokenizer = Tokenizer.from_str(assets.tokenizer_json)
    added = [tokenizer.token_to_id(t) for t in ("<|im_end|>", "<|eot|>", "<|eom|>")]
    assert ending.eos_ids == (*assets.eos_ids, *added)
    assert f"'<|im_end|>' ({added[0]})" in remark
    assert with_turn_ends(ending) == (ending, ())


def test_a_qwen3_5_checkpoint_ends_a_turn_by_an_id_its_config_does_not_name() -> None:
    """config.json names <|endoftext|> alone, as is published."""
    ids = {"<|endoftext|>": 248044, "<|im_start|>": 248045, "<|im_end|>": 248046}
    tokenizer = Tokenizer(models.BPE({"a": 0, **ids}, []))
    tokenizer.add_special_tokens(list(ids))
    assets = TokenizerAssets(
        tokenizer.to_str(), TEMPLATES["qwen3_5"], None, (248044,), False,
        special_tokens={"eos_token": "<|im_end|>"},
    )  # fmt: skip
    ending, (remark,) = with_turn_ends(assets)
    assert ending.eos_ids == (248044, 248046)
    assert "'<|im_end|>' (248046)" in remark


def test_nothing_is_added_without_need() -> None:
    for template in (None, "", TEMPLATES["llama2"], TEMPLATES["nemotron"]):
        assets = assets_of(template)
        assert with_turn_ends(assets) == (assets, ())


def test_a_token_that_begins_every_turn_and_bos_are_no_ends() -> None:
    template = _each("<s>user {{ m.content }}", "<s>assistant {{ m.content }}", "<s>")
    assert turn_ends(assets_of(template)) == {}


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(["", "\n", " \n\n", "</answer>"]),
    st.sampled_from(["", "\n"]),
    st.sampled_from(["<|x|>", "User:", "<|im_start|>user<|sep|>"]),
    st.booleans(),
)
def test_whatever_surrounds_the_end_it_is_found(
    before: str, after: str, opener: str, system: bool
) -> None:
    user = opener + "{{ m.content }}<|im_end|>" + after
    answer = opener.replace("user", "assistant") + "{{ m.content }}" + before + "<|im_end|>" + after
    first = opener + "Be brief.<|im_end|>" + after if system else ""
    template = first + _each(user, answer, _SWITCH + opener + "{% endif %}")
    assert list(turn_ends(assets_of(template))) == ["<|im_end|>"]
