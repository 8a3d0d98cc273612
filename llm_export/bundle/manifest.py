"""manifest.json: metadata of a bundle and its files.

The JSON schema, with a description of each key, is ``runtime_py/manifest.schema.json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from llm_export.bundle.chat_format import ChatEntry
from llm_export.bundle.program_state import ProgramState
from llm_export.bundle.proof import Proof
from llm_export.errors import BundleError
from llm_export.json_data import OPTIONAL, from_json, to_json
from llm_export.models.cache_metadata import CacheInputs, Rewind
from runtime_py.bundle import MANIFEST


@dataclass(frozen=True)
class ModelEntry:
    name: str
    family: str
    checkpoint: str
    parameters: int


@dataclass(frozen=True)
class CacheEntry:
    """Memory for the keys and values of a whole context. ``measured``: dtype -> milliseconds of
    attention a layer and token, where it was chosen by them."""

    dtype: str
    bytes: int
    measured: Mapping[str, float] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True, kw_only=True)
class ProgramEntry:
    """Lengths are in tokens. ``steps``: method -> tokens of a step."""

    methods: tuple[str, ...]
    context_length: int
    prefill_length: int
    dynamic_shapes: bool
    steps: Mapping[str, int] | None = field(default=None, metadata=OPTIONAL)
    token_dtype: str | None = field(default=None, metadata=OPTIONAL)
    kv_cache: bool
    vocab_size: int
    logits: str
    verify_length: int | None = field(default=None, metadata=OPTIONAL)
    """Tokens of a step of the method ``verify``, which returns the logits of all of them."""
    cache: CacheEntry | None = field(default=None, metadata=OPTIONAL)
    rewind: Rewind | None = field(default=None, metadata=OPTIONAL)
    attention_sink: bool | None = field(default=None, metadata=OPTIONAL)
    endless: bool | None = field(default=None, metadata=OPTIONAL)
    """The same, as version 0.1 wrote it."""
    recurrent: bool | None = field(default=None, metadata=OPTIONAL)
    """Whether the program keeps a state that every token changes: a step cannot be padded."""
    cache_io: CacheInputs | None = field(default=None, metadata=OPTIONAL)
    state: ProgramState | None = field(default=None, metadata=OPTIONAL)
    rope_factors: str | None = field(default=None, metadata=OPTIONAL)
    """Which of LongRoPE's sets of factors the program has: short_factor or long_factor."""


@dataclass(frozen=True)
class TaskEntry:
    """What the program is for. ``settings``: what a runtime must know of it, by task."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenizerEntry:
    """``stop_strings``: the texts of ``eos_ids``."""

    bos_id: int | None
    eos_ids: tuple[int, ...]
    add_bos: bool
    special_tokens: Mapping[str, str]
    normalization: str | None = None
    stop_strings: tuple[str, ...] | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class AdapterTokenizer:
    """What takes the place of the bundle's own with an adapter.

    Attributes:
        roles: of ``TOKENIZER_ROLES``, those that it has -> file; the bundle's own where it is the
            same.
    """

    tokenizer: TokenizerEntry
    roles: Mapping[str, str]
    chat: ChatEntry | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class SamplingEntry:
    """What a runtime samples with, unless its caller says otherwise."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 256
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    typical_p: float | None = field(default=None, metadata=OPTIONAL)
    presence_penalty: float | None = field(default=None, metadata=OPTIONAL)
    frequency_penalty: float | None = field(default=None, metadata=OPTIONAL)


@dataclass(frozen=True)
class Requirements:
    """The ExecuTorch version, and what an app must link."""

    executorch: str
    backends: tuple[str, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True)
class ConsumerEntry:
    """Whether a consumer can load the bundle, and which of its requirements are not met."""

    good: bool
    failed: tuple[str, ...]


@dataclass(frozen=True)
class FileEntry:
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """
    Attributes:
        producer: package -> version.
        roles: role -> file; see ``roles.ROLES``.
        task: None: it generates text.
        chat: None: the model has no chat template, or it renders no plain conversation.
        files: path relative to the bundle -> its size and digest.
        adapters: name -> file of the LoRA weights that the program takes; None: it takes none.
        evaluation: task -> value of the program; evaluation.json has all of it.
        consumers: NAME@VERSION -> whether its contract is met; see ``llm_export.consumers``.
        adapter_tokenizers: of adapters with another tokenizer, template or end than the bundle.
    """

    format: int
    name: str
    proof: Proof
    created: str
    producer: Mapping[str, str]
    model: ModelEntry
    program: ProgramEntry
    tokenizer: TokenizerEntry
    sampling: SamplingEntry
    requires: Requirements
    roles: Mapping[str, str]
    files: Mapping[str, FileEntry]
    task: TaskEntry | None = field(default=None, metadata=OPTIONAL)
    chat: ChatEntry | None = field(default=None, metadata=OPTIONAL)
    adapters: Mapping[str, str] | None = field(default=None, metadata=OPTIONAL)
    default_adapter: str | None = field(default=None, metadata=OPTIONAL)
    adapter_tokenizers: Mapping[str, AdapterTokenizer] | None = field(
        default=None, metadata=OPTIONAL
    )
    evaluation: Mapping[str, Mapping[str, float]] | None = field(default=None, metadata=OPTIONAL)
    consumers: Mapping[str, ConsumerEntry] | None = field(default=None, metadata=OPTIONAL)

    def as_dict(self) -> dict[str, object]:
        """The JSON object of manifest.json."""
        return to_json(self)

    @classmethod
    def from_dict(cls, body: object, where: str = MANIFEST) -> Manifest:
        """Raises BundleError, naming the key, if ``body`` is no manifest of this format."""
        try:
            return from_json(cls, body)
        except ValueError as error:
            raise BundleError(f"the manifest is not valid: {error}", where=where) from None
