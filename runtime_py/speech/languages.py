"""Names of languages."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from runtime_py.errors import ArgumentError, shown

NAMES = {
    "af": "afrikaans", "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan",
    "cs": "czech", "cy": "welsh", "da": "danish", "de": "german", "el": "greek", "en": "english",
    "es": "spanish", "et": "estonian", "eu": "basque", "fa": "persian", "fi": "finnish",
    "fr": "french", "gl": "galician", "gu": "gujarati", "he": "hebrew", "hi": "hindi",
    "hr": "croatian", "hu": "hungarian", "hy": "armenian", "id": "indonesian", "is": "icelandic",
    "it": "italian", "ja": "japanese", "ka": "georgian", "kk": "kazakh", "km": "khmer",
    "kn": "kannada", "ko": "korean", "la": "latin", "lt": "lithuanian", "lv": "latvian",
    "mk": "macedonian", "ml": "malayalam", "mn": "mongolian", "mr": "marathi", "ms": "malay",
    "my": "burmese", "ne": "nepali", "nl": "dutch", "no": "norwegian", "pa": "punjabi",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "si": "sinhala",
    "sk": "slovak", "sl": "slovenian", "sq": "albanian", "sr": "serbian", "sv": "swedish",
    "sw": "swahili", "ta": "tamil", "te": "telugu", "th": "thai", "tr": "turkish",
    "uk": "ukrainian", "ur": "urdu", "vi": "vietnamese", "yi": "yiddish", "yue": "cantonese",
    "zh": "chinese",
}  # fmt: skip
"""Code (ISO 639) -> English name, of those that are asked for by name."""


def language_code(stated: str, known: Mapping[str, int]) -> str:
    """The code of a language that the model knows, by its code or English name.

    Raises:
        ArgumentError: it knows no such language.
    """
    if not isinstance(stated, str):
        raise ArgumentError(f"language must be a code such as en, not {shown(stated)}")
    wanted = stated.strip().lower()
    by_name = {name: code for code, name in NAMES.items()}
    code = by_name.get(wanted, wanted)
    if code in known:
        return code
    near = difflib.get_close_matches(wanted, [*known, *by_name], n=1, cutoff=0.7)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise ArgumentError(
        f"the model does not know the language {shown(stated)}",
        fix=f"{hint}it knows {', '.join(known)}",
    )
