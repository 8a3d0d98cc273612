"""Take what one KV cache remembers out of the program, and put it back."""

from __future__ import annotations

from runtime_py.answers import Answers
from runtime_py.errors import ArgumentError, BundleRuntimeError
from runtime_py.snapshots import Snapshot


class Resumable(Answers):
    """Answers that can go on from a snapshot."""

    _digests: tuple[str, str]
    """SHA-256 of program and adapter."""

    def snapshot(self) -> Snapshot:
        """A copy of what the program remembers now: after the last prompt and answer.

        Raises:
            BundleRuntimeError: the program does not give out its state (runtime.snapshots).
        """
        with self._lock:
            ids, furthest, copied = self._cache.taken()
            logits = self._cache.logits
        return Snapshot(tuple(ids), furthest, *self._digests, copied, logits=logits)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back to a snapshot, of this process or of another one. A prompt that begins with its
        tokens then goes on from there.

        Raises:
            BundleRuntimeError: it is of another program or adapter, or does not fit this one.
        """
        if not isinstance(snapshot, Snapshot):
            raise ArgumentError(f"snapshot must be a Snapshot, not {type(snapshot).__name__}")
        if (snapshot.program, snapshot.adapter) != self._digests:
            what = "adapter" if snapshot.program == self._digests[0] else "program"
            raise BundleRuntimeError(
                f"the snapshot is of another {what}", where=str(self._prompts.bundle.path),
                fix="load the bundle that it was taken of, or feed the text again",
            )  # fmt: skip
        with self._lock:
            self._cache.put(snapshot.tokens, snapshot.furthest, snapshot.tensors, snapshot.logits)

    def reset(self) -> None:
        """Empty the cache."""
        with self._lock:
            self._cache.reset()
