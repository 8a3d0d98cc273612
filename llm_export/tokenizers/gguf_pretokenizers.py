"""Pre-tokenizers of byte-level BPE, by their names in GGUF files.

``tokenizer.ggml.pre`` contains a name and no pattern. The patterns are those of the original
tokenizer.json files; the names are llama.cpp's (``src/llama-vocab.cpp``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import Regex, pre_tokenizers

from llm_export.tokenizers import pretokenizer_regexes as splits

Split = Callable[[], Any]

_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_ENDS = r"\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(digits: str, letter: str = r"\p{L}") -> str:
    """The pattern of cl100k; Llama 3, Qwen and others differ from it in how they split digits."""
    mark = r"\p{L}\p{M}" if "M" in letter else r"\p{L}"
    return (
        rf"{_CONTRACTION}|[^\r\n\p{{L}}\p{{N}}]?{letter}+|{digits}"
        rf"| ?[^\s{mark}\p{{N}}]+[\r\n]*|{_ENDS}"
    )


def _cased_words(digits: str, contraction: str) -> str:
    """The pattern of o200k: a word ends where lower case changes to upper."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{before}{upper}*{lower}+{contraction}|{before}{upper}+{lower}*{contraction}"
        rf"|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_ENDS}"
    )


_QWEN35 = _words(r"\p{N}", r"[\p{L}\p{M}]")
_TEKKEN = _cased_words(r"\p{N}", "")
# Letters that have case, as in DeepSeek's tokenizer.json: code points, in hex.
_CASED = """
    41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376-377 37B-37D 37F 386
    388-38A 38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA
    1CBD-1CBF 1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57
    1F59 1F5B 1F5D 1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB
    1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D
    212F-2134 2139 213C-213F 2145-2149 214E 2183-2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2-2CF3
    A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A
    FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF
    1E900-1E943
"""


def _letters(ranges: str) -> str:
    """Ranges of code points -> the inside of a character class."""
    ends = [[chr(int(end, 16)) for end in part.split("-")] for part in ranges.split()]
    return "".join("-".join(end) for end in ends)


_HAN = r"[一-龥ࠀ-一가-퟿]+"
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _HAN, r"\p{N}")
_DEEPSEEK_LLM = (
    r"[\r\n]", rf"\s?[{_letters(_CASED)}]+", r"\s?[!-/:-~！-／：-～‘-‟　-。]+", r"\s+$", _HAN,
    r"\p{N}+",
)  # fmt: skip
_DEEPSEEK_V3 = (
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_ENDS}",
)


def _bytes(use_regex: bool = True) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def _digits() -> Any:
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _bytes()])


def _by(*patterns: str) -> Split:
    cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in patterns]
    return lambda: pre_tokenizers.Sequence([*cuts, _bytes(use_regex=False)])


_LLAMA3_LIKE = (
    "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
)  # fmt: skip
_NAMES: dict[Split, tuple[str, ...]] = {
    _bytes: ("gpt-2", "mpt", "olmo", "phi-2", "gigachat", "a.x-4.0", "mellum", "exaone4", "jais",
             "trillion", "granite-docling"),
    _digits: ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b",
              "mellum2"),
    _by(splits.LLAMA3): (*_LLAMA3_LIKE, "dbrx", "smaug-bpe", "chatglm-bpe", "glm4"),
    _by(splits.QWEN2): ("qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan",
                        "solar-open", "kormo", "f2llmv2"),
    _by(_QWEN35): ("qwen35",),
    _by(splits.LLAMA4): ("gpt-4o", "llama4", "kanana2"),
    _by(_TEKKEN): ("tekken",),
    _by(*_DEEPSEEK_LLM): ("deepseek-llm",),
    _by(*_DEEPSEEK_CODER): ("deepseek-coder",),
    _by(*_DEEPSEEK_V3): ("deepseek-v3", "hunyuan-dense", "joyai-llm"),
}  # fmt: skip

PRE_TOKENIZERS = {name: split for split, names in _NAMES.items() for name in names}
"""``tokenizer.ggml.pre`` -> factory of the pre-tokenizer."""

WHOLE_WORDS = frozenset({*_LLAMA3_LIKE, "tekken"})
"""Vocabularies with words that no merge produces: whole words are looked up first."""

ADD_BOS = WHOLE_WORDS
"""Those whose models use BOS if the file does not say."""
