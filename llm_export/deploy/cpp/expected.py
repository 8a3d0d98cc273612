"""What the project's tests expect, found in Python: ids of texts, and greedy answers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources

from llm_export.deploy.cpp.tokenizer_steps import hexed
from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError
from runtime_py.llm import LLM, tokenizer_of
from runtime_py.sampling import Sampling

QUESTION = "Why is the sky blue?"
TOKENS = 64
_TEXTS = (
    QUESTION,
    " ",
    "\n\n",
    "  two  spaces and a\ttab\r\n",
    "I'll, WE'VE, don't: 3.14 or 1,234,567?",
    "naïve café, Straße, Ωμέγα, язык",
    "日本語のテキスト。한국어 문장",
    "देवनागरी नमस्ते शब्द",
    "👩‍👩‍👧 🎉!! (︶︹︺)",
    "def f(x):\n    return x**2  # ok\n",
    "<not> a <|token|>",
    "\u00a0\u3000\u200b end ",
    "e\u0301 and \u1112\u1161\u11ab, not in NFC",
    "a" * 200,
)


def text_lines(bundle: Bundle) -> str:
    """Lines of ``tests/texts.txt``."""
    tokenizer = tokenizer_of(bundle)
    chat = bundle.manifest.get("chat", {}).get("example", {}).get("text", "")
    english = resources.files("llm_export.data").joinpath("english.txt").read_text("utf-8")[:2000]
    special = "".join(f"x {text} y" for text in _specials(bundle))
    lines = []
    for text in (*_TEXTS, english, chat, special):
        ids = tokenizer.encode(text, raw=False)
        lines.append(" ".join(["text", hexed(text), *map(str, ids)]))
    return "\n".join(lines) + "\n"


def _specials(bundle: Bundle) -> Sequence[str]:
    return sorted(set(bundle.manifest["tokenizer"]["special_tokens"].values()))


def answer_lines(bundle: Bundle, adapter: str | None) -> str:
    """A line of ``tests/answers.txt``: the program runs here.

    Raises:
        BundleRuntimeError: it cannot run here.
    """
    with LLM.load(bundle.path, adapter=adapter) as model:
        prompt = _prompt(bundle, model)
        most = bundle.manifest["program"]["context_length"] - len(prompt)
        if most < 1:
            raise BundleRuntimeError(f"the context has no room for an answer to '{QUESTION}'")
        answer = model.generate(prompt, sampling=Sampling(max_new_tokens=min(TOKENS, most)))
        return " ".join(["answer", str(len(prompt)), *map(str, [*prompt, *answer.tokens])]) + "\n"


def _prompt(bundle: Bundle, model: LLM) -> list[int]:
    if "turns" in bundle.manifest.get("chat", {}) and model.template is not None:
        text = model.template.render([{"role": "user", "content": QUESTION}])
        return model.tokenizer.encode(text, raw=False)
    return model.tokenizer.encode(QUESTION)
