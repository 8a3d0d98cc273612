"""Options of the task ``transcribe``: ``model.task_options`` of a recipe."""

from __future__ import annotations

from dataclasses import dataclass, field

_LONGEST = 3600


@dataclass(frozen=True)
class TranscribeOptions:
    """What a checkpoint's generation_config.json says, unless a recipe says otherwise; where
    neither does, what follows from the vocabulary of the published models. An id is None, and a
    list or mapping empty, where the model has nothing of the kind.

    Attributes:
        max_seconds: longest audio of one call, for families that take any length. Longer audio is
            transcribed in windows of this length.
        start_ids: the decoder's first tokens.
        eos_ids: tokens that end an answer.
        languages: code -> id.
        tasks: transcribe, translate -> id.
        no_timestamps_id: asks for text without timestamps.
        timestamp_begin: id of the timestamp 0.00 s.
        no_speech_id: its probability says that nobody speaks.
        previous_id: begins the text before the audio.
        suppress_ids: never generated.
        begin_suppress_ids: not generated first.
        max_initial_timestamp: the first timestamp may be this many steps after 0.00 s.
        alignment_heads: [layer, head] of the decoder whose cross-attention follows the audio.
        tokens_per_second: most tokens for a second of audio, for families without timestamps.
        all_logits: whether ``decoder`` returns the logits of all its tokens, or of the last.
    """

    max_seconds: float = 30.0
    start_ids: tuple[int, ...] = ()
    eos_ids: tuple[int, ...] = ()
    languages: dict[str, int] = field(default_factory=dict)
    tasks: dict[str, int] = field(default_factory=dict)
    no_timestamps_id: int | None = None
    timestamp_begin: int | None = None
    no_speech_id: int | None = None
    previous_id: int | None = None
    suppress_ids: tuple[int, ...] = ()
    begin_suppress_ids: tuple[int, ...] = ()
    max_initial_timestamp: int = 50
    alignment_heads: tuple[tuple[int, ...], ...] = ()
    tokens_per_second: float | None = None
    all_logits: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.max_seconds <= _LONGEST:
            raise ValueError(f"max_seconds={self.max_seconds:g} is not from 0 to {_LONGEST}")
