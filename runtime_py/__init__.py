"""Load a bundle and generate. Needs executorch, tokenizers and jinja2; nothing of llm_export.

from runtime_py import LLM
llm = LLM.load("outputs/smollm2_135m_xnnpack_8da8w")
print(llm.chat([{"role": "user", "content": "What does a compiler do?"}]).text)
"""

import os
import sys
from typing import TYPE_CHECKING, Any

from runtime_py.installed import conflict

if "torch" not in sys.modules:
    # The fused attention calls torch's BLAS for small products from each thread of ExecuTorch's
    # pool. Additional BLAS threads would only wait for one another and make prompts a tenth to a
    # third slower. BLAS reads this variable once, when torch is imported.
    os.environ.setdefault("MKL_NUM_THREADS", "1")

if (_two := conflict(os.path.dirname(os.path.dirname(__file__)))) is not None:
    import warnings

    warnings.warn(_two, stacklevel=2)

if TYPE_CHECKING:
    from runtime_py.answer_format import AnswerFormat
    from runtime_py.asynchronous import AsyncStream
    from runtime_py.chat_template import ChatTemplate
    from runtime_py.delta import Delta
    from runtime_py.embedding import Embedder, Embeddings
    from runtime_py.errors import ArgumentError, BundleRuntimeError
    from runtime_py.llm import LLM
    from runtime_py.sampling import Sampling
    from runtime_py.sampling.logprobs import TokenLogprob
    from runtime_py.seq2seq.translator import Translator
    from runtime_py.sessions import Session
    from runtime_py.snapshots import Snapshot
    from runtime_py.speech.transcriber import Transcriber
    from runtime_py.speech.transcript import Segment, Transcript
    from runtime_py.stats import Generation, Stats
    from runtime_py.store import Store
    from runtime_py.stream import Stream
    from runtime_py.tool_calls import ToolCall

__all__ = [
    "LLM", "AnswerFormat", "ArgumentError", "AsyncStream", "BundleRuntimeError", "ChatTemplate",
    "Delta", "Embedder", "Embeddings", "Generation", "Sampling", "Segment", "Session", "Snapshot",
    "Stats", "Store", "Stream", "TokenLogprob", "ToolCall", "Transcriber", "Transcript",
    "Translator",
]  # fmt: skip

_PLACES = {
    "LLM": "runtime_py.llm",
    "AnswerFormat": "runtime_py.answer_format",
    "ArgumentError": "runtime_py.errors",
    "AsyncStream": "runtime_py.asynchronous",
    "BundleRuntimeError": "runtime_py.errors",
    "ChatTemplate": "runtime_py.chat_template",
    "Delta": "runtime_py.delta",
    "Embedder": "runtime_py.embedding.embedder",
    "Embeddings": "runtime_py.embedding.result",
    "Generation": "runtime_py.stats",
    "Sampling": "runtime_py.sampling",
    "Segment": "runtime_py.speech.transcript",
    "Session": "runtime_py.sessions",
    "Snapshot": "runtime_py.snapshots",
    "Stats": "runtime_py.stats",
    "Store": "runtime_py.store",
    "Stream": "runtime_py.stream",
    "TokenLogprob": "runtime_py.sampling.logprobs",
    "ToolCall": "runtime_py.tool_calls",
    "Transcriber": "runtime_py.speech.transcriber",
    "Transcript": "runtime_py.speech.transcript",
    "Translator": "runtime_py.seq2seq.translator",
}


def __getattr__(name: str) -> Any:
    """Import attributes lazily: importing torch takes seconds, and reading a manifest does not
    need it.
    """
    from importlib import import_module

    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
