"""Small chat templates that call tools and reason in the manner of published families."""

# ruff: noqa: E501 (a line break would be part of the prompt)

from __future__ import annotations


def _turns(
    user: str, assistant: str, prompt: str, calls: str = "", tools: str = "{{- tools | tojson -}}"
) -> str:
    """``calls`` is rendered with m.tool_calls, ``assistant`` with the text of the answer."""
    return (
        "{%- if tools -%}" + tools + "{%- endif -%}"
        "{%- for m in messages -%}{%- if m.role == 'assistant' -%}" + assistant.replace("CALLS", calls)
        + "{%- else -%}" + user + "{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}" + prompt + "{%- endif -%}"
    )  # fmt: skip


_IM = (
    "{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' -}}",
    "{{- '<|im_start|>assistant\n' + (m.content or '') -}}CALLS{{- '<|im_end|>\n' -}}",
    "{{- '<|im_start|>assistant\n' -}}",
)
_EACH = "{%- for c in m.tool_calls or [] -%}{%- set f = c.function -%}"
_LIST = "{%- if m.tool_calls -%}BEGIN{%- for c in m.tool_calls -%}{%- set f = c.function -%}EACH{{- ', ' if not loop.last else '' -}}{%- endfor -%}END{%- endif -%}"


def _list(begin: str, each: str, end: str) -> str:
    return _LIST.replace("BEGIN", begin).replace("EACH", each).replace("END", end)


_JSON = """{{- '{"name": "' + f.name + '", "arguments": ' + f.arguments | tojson + '}' -}}"""
_GEMMA = """\
{%- macro arg(v, q) -%}
    {%- if v is string -%}{{- q + v + q -}}
    {%- elif v is boolean -%}{{- 'true' if v else 'false' -}}
    {%- elif v is none -%}null
    {%- elif v is mapping -%}{{- '{' -}}{%- for k, x in v | dictsort -%}{{- k + ':' + arg(x, q) -}}{{- ',' if not loop.last else '' -}}{%- endfor -%}{{- '}' -}}
    {%- elif v is sequence -%}{{- '[' -}}{%- for x in v -%}{{- arg(x, q) -}}{{- ',' if not loop.last else '' -}}{%- endfor -%}{{- ']' -}}
    {%- else -%}{{- v -}}{%- endif -%}
{%- endmacro -%}
"""


def _gemma(quote: str, begin: str, end: str) -> str:
    return (
        _EACH + "{{- '" + begin + "call:' + f.name + arg(f.arguments, '" + quote + "') + '" + end
        + "' -}}{%- endfor -%}"
    )  # fmt: skip


TOOL_TEMPLATES: dict[str, str] = {
    "hermes": _turns(
        *_IM, _EACH + "{{- '\n<tool_call>\n' -}}" + _JSON + "{{- '\n</tool_call>' -}}{%- endfor -%}"
    ),
    "glm": _turns(
        "{{- '<|' + m.role + '|>\n' + m.content -}}",
        "{{- '<|assistant|>\n' + (m.content or '') -}}CALLS",
        "{{- '<|assistant|>' -}}",
        _EACH
        + "{{- '\n<tool_call>' + f.name + '\n' -}}{%- for k, v in f.arguments.items() -%}{{- '<arg_key>' + k + '</arg_key>\n<arg_value>' + (v if v is string else v | tojson) + '</arg_value>\n' -}}{%- endfor -%}{{- '</tool_call>' -}}{%- endfor -%}",
    ),
    "hunyuan": _turns(*_IM, _list("{{- '<tool_calls>[' -}}", _JSON, "{{- ']</tool_calls>' -}}")),
    "mistral_args": _turns(
        "{{- '[INST]' + m.content + '[/INST]' -}}",
        "{{- m.content or '' -}}CALLS{{- '</s>' -}}",
        "",
        _EACH + "{{- '[TOOL_CALLS]' + f.name + '[ARGS]' + (f.arguments | tojson) -}}{%- endfor -%}",
    ),
    "lfm2": '{%- macro value(v) -%}{%- if v is string -%}{{- "\'" + v + "\'" -}}{%- elif v is mapping -%}{{- v | tojson -}}{%- else -%}{{- v | string -}}{%- endif -%}{%- endmacro -%}'
    + _turns(
        *_IM,
        _list(
            "{{- '<|tool_call_start|>[' -}}",
            "{{- f.name + '(' -}}{%- for k, v in f.arguments.items() -%}{{- k + '=' + value(v) -}}{{- ', ' if not loop.last else '' -}}{%- endfor -%}{{- ')' -}}",
            "{{- ']<|tool_call_end|>' -}}",
        ),
    ),
    "olmo3": _turns(
        *_IM,
        "{%- if m.tool_calls -%}{{- '<function_calls>' -}}{%- for c in m.tool_calls -%}{{- c.function.name + '(' -}}{%- for k, v in c.function.arguments.items() -%}{{- k + '=' + (v | tojson) -}}{{- ', ' if not loop.last else '' -}}{%- endfor -%}{{- ')' -}}{{- '\n' if not loop.last else '' -}}{%- endfor -%}{{- '</function_calls>' -}}{%- endif -%}",
    ),
    "gemma4": _GEMMA
    + _turns(
        "{{- '<|turn>' + m.role + '\n' + m.content + '<turn|>\n' -}}",
        "{{- '<|turn>model\n' -}}CALLS{{- (m.content or '') + '<turn|>\n' -}}",
        "{{- '<|turn>model\n' -}}{%- if not enable_thinking | default(false) -%}{{- '<|channel>thought\n<channel|>' -}}{%- endif -%}",
        _gemma('<|"|>', "<|tool_call>", "<tool_call|>"),
    ),
    "function_gemma": _GEMMA
    + _turns(
        "{{- '<start_of_turn>' + m.role + '\n' + m.content + '<end_of_turn>\n' -}}",
        "{{- '<start_of_turn>model\n' -}}CALLS{{- (m.content or '') + '<end_of_turn>\n' -}}",
        "{{- '<start_of_turn>model\n' -}}",
        _gemma("<escape>", "<start_function_call>", "<end_function_call>"),
    ),
    "phi4_mini": _turns(
        "{{- '<|' + m.role + '|>' + m.content + '<|end|>' -}}",
        "{{- '<|assistant|>' + (m.content or '') -}}CALLS{{- '<|end|>' -}}",
        "{{- '<|assistant|>' -}}",
        _list("{{- '<|tool_call|>[' -}}", _JSON, "{{- ']<|/tool_call|>' -}}"),
    ),
    "granite": _turns(
        "{{- '<|start_of_role|>' + m.role + '<|end_of_role|>' + m.content + '<|end_of_text|>\n' -}}",
        "{{- '<|start_of_role|>assistant<|end_of_role|>' + (m.content or '') -}}CALLS{{- '<|end_of_text|>\n' -}}",
        "{{- '<|start_of_role|>assistant<|end_of_role|>' -}}",
        "{%- if m.tool_calls -%}{{- '<|tool_call|>' + (m.tool_calls | map(attribute='function') | list | tojson) -}}{%- endif -%}",
    ),
    "nemotron": _turns(*_IM, _list("{{- '<TOOLCALL>[' -}}", _JSON, "{{- ']</TOOLCALL>' -}}")),
    "command": _turns(
        "{{- '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + m.content + '<|END_OF_TURN_TOKEN|>' -}}",
        "{{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' -}}{%- if m.tool_calls -%}{{- '<|START_THINKING|>' + (m.reasoning_content or '') + '<|END_THINKING|>' -}}CALLS{%- else -%}{{- '<|START_RESPONSE|>' + m.content + '<|END_RESPONSE|>' -}}{%- endif -%}{{- '<|END_OF_TURN_TOKEN|>' -}}",
        "{{- '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' -}}",
        _list(
            "{{- '<|START_ACTION|>[\n' -}}",
            """{{- '    {"tool_call_id": "' ~ loop.index0 ~ '", "tool_name": "' + f.name + '", "parameters": ' + (f.arguments | tojson) + '}' -}}""",
            "{{- '\n]<|END_ACTION|>' -}}",
        ),
    ),
    "deepseek": _turns(
        "{{- '<｜User｜>' + m.content -}}",
        "{{- '<｜Assistant｜></think>' + (m.content or '') -}}CALLS{{- '<｜end▁of▁sentence｜>' -}}",
        "{{- '<｜Assistant｜><think>' -}}",
        "{%- if m.tool_calls -%}{{- '<｜tool▁calls▁begin｜>' -}}"
        + _EACH
        + "{{- '<｜tool▁call▁begin｜>' + f.name + '<｜tool▁sep｜>' + (f.arguments if f.arguments is string else (f.arguments | tojson)) + '<｜tool▁call▁end｜>' -}}{%- endfor -%}{{- '<｜tool▁calls▁end｜>' -}}{%- endif -%}",
    ),
    "deepseek_r1": _turns(
        "{{- '<｜User｜>' + m.content -}}",
        "{{- '<｜Assistant｜></think>' + (m.content or '') -}}CALLS{{- '<｜end▁of▁sentence｜>' -}}",
        "{{- '<｜Assistant｜><think>\n' -}}",
        "{%- if m.tool_calls -%}{{- '<｜tool▁calls▁begin｜>' -}}"
        + _EACH
        + "{{- ('' if loop.first else '\n') + '<｜tool▁call▁begin｜>' + c.type + '<｜tool▁sep｜>' + f.name + '\n```json\n' + (f.arguments | tojson) + '\n```<｜tool▁call▁end｜>' -}}{%- endfor -%}{{- '<｜tool▁calls▁end｜>' -}}{%- endif -%}",
    ),
    "pythonic": _turns(
        "{{- '<|header_start|>' + m.role + '<|header_end|>\n\n' + m.content + '<|eot|>' -}}",
        "{{- '<|header_start|>assistant<|header_end|>\n\n' + (m.content or '') -}}CALLS{{- '<|eot|>' -}}",
        "{{- '<|header_start|>assistant<|header_end|>\n\n' -}}",
        _list(
            "{{- '[' -}}",
            "{{- f.name + '(' -}}{%- for k, v in f.arguments.items() -%}{{- k + '=' + (v | tojson) -}}{{- ', ' if not loop.last else '' -}}{%- endfor -%}{{- ')' -}}",
            "{{- ']' -}}",
        ),
    ),
    "llama_json": _turns(
        "{{- '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content + '<|eot_id|>' -}}",
        "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' + (m.content or '') -}}CALLS{{- '<|eot_id|>' -}}",
        "{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' -}}",
        """{%- for c in m.tool_calls or [] -%}{%- set f = c.function -%}{{- '{"name": "' + f.name + '", "parameters": ' + (f.arguments | tojson) + '}' -}}{{- '; ' if not loop.last else '' -}}{%- endfor -%}""",
    ),
    "magistral": _turns(
        "{{- '[INST]' + m.content + '[/INST]' -}}",
        "{%- if m.thinking -%}{{- '[THINK]' + m.thinking + '[/THINK]' -}}{%- endif -%}{{- m.content or '' -}}CALLS{{- '</s>' -}}",
        "",
        _EACH + "{{- '[TOOL_CALLS]' + f.name + '[ARGS]' + (f.arguments | tojson) -}}{%- endfor -%}",
    ),
    "hunyuan_think": _turns(
        _IM[0],
        "{{- '<|im_start|>assistant\n<think>\n' + (m.reasoning_content or '') + '\n</think>\n<answer>\n' + (m.content or '') + '\n</answer>' -}}CALLS{{- '<|im_end|>\n' -}}",
        _IM[2],
        _list("{{- '<tool_calls>[' -}}", _JSON, "{{- ']</tool_calls>' -}}"),
    ),
}
"""Name of the format of calls, and what distinguishes the template -> its source."""

FORMAT_OF = {
    **{name: name for name in TOOL_TEMPLATES},
    "deepseek_r1": "deepseek", "magistral": "mistral_args", "hunyuan_think": "hunyuan",
}  # fmt: skip
"""Name of a template -> that of its format."""
