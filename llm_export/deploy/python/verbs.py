"""Verbs of the runtime's command line: the scripts of bundles that do not chat."""

from __future__ import annotations

from dataclasses import dataclass

from runtime_py.bundle_task import EMBED, TRANSCRIBE, TRANSLATE


@dataclass(frozen=True)
class Verb:
    """
    Attributes:
        loader: the class of ``runtime_py`` that loads the bundle.
        example: arguments of the script.
        code: what the bundle does from Python, after its class is imported.
        needs: packages beside those of the lock, and what for; empty: none.
    """

    loader: str
    example: str
    code: str
    needs: str = ""


VERBS = {
    EMBED: Verb("Embedder", '"A text" "Another one"', 'model.embed(["A text", "Another one"])'),
    TRANSCRIBE: Verb(
        "Transcriber", "speech.wav", 'model.transcribe("speech.wav").text',
        "WAV files at the model's sample rate are read as they are; `pip install scipy soundfile` "
        "for others.",
    ),
    TRANSLATE: Verb("Translator", '"A text"', 'model.translate("A text").text'),
}  # fmt: skip
"""Task -> its verb, which has the same name. The files of its folder: ``template_verb``."""
