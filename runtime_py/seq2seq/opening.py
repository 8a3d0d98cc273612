"""Open a bundle with the methods ``encoder`` and ``decoder``."""

from __future__ import annotations

from pathlib import Path

from runtime_py.bundle import Bundle
from runtime_py.errors import BundleRuntimeError
from runtime_py.method_program import MethodProgram
from runtime_py.packed import named
from runtime_py.seq2seq.program import EncoderDecoder
from runtime_py.task_bundle import open_task

_INT64 = 4
"""In ExecuTorch (runtime/core/portable_type/scalar_type.h)."""


def open_bundle(
    path: str | Path | Bundle, task: str, threads: int | None, verify_hashes: bool
) -> tuple[Bundle, MethodProgram]:
    """A bundle of a task and its program.

    Raises:
        BundleRuntimeError: it is damaged, of another task, or cannot run on this machine.
    """
    bundle, file, _ = open_task(path, task, threads, verify_hashes)
    with named(path, bundle.path):
        return bundle, MethodProgram(file, threads=threads)


def decoder_of(bundle: Bundle, program: MethodProgram, target_length: int) -> EncoderDecoder:
    """The program's encoder and decoder.

    Raises:
        BundleRuntimeError: it has other methods or shapes than the manifest says.
    """
    program.load("encoder")
    meta = program.load("decoder").metadata
    good = meta.num_inputs() == 2 and meta.num_outputs() == 1
    longest = tuple(meta.input_tensor_meta(0).sizes()) if good else ()
    vocabulary = bundle.manifest["program"]["vocab_size"]
    if (
        len(longest) != 2
        or longest[0] != 1
        or longest[1] > target_length
        or meta.input_tensor_meta(0).dtype() != _INT64
        or tuple(meta.output_tensor_meta(0).sizes()) != (1, vocabulary)
    ):
        raise BundleRuntimeError(
            "the program is not the one that the manifest describes: its method decoder does not "
            f"take up to {target_length} tokens and return {vocabulary} logits",
            where=str(program.path), fix="copy or export the bundle again",
        )  # fmt: skip
    step = longest[1] if bundle.manifest["program"]["dynamic_shapes"] else 1
    if step == 1 < longest[1]:
        raise BundleRuntimeError(
            f"the program's decoder takes steps of {longest[1]} tokens only, not of one",
            where=str(program.path), fix="export it again",
        )  # fmt: skip
    return EncoderDecoder(program.call, target_length, step)
