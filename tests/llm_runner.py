"""ExecuTorch's TextLLMRunner with the flags of ``llama_main``, which is built from C++ alone."""

import argparse

import executorch.extension.llm.custom_ops.custom_ops
import executorch.kernels.quantized  # noqa: F401
from executorch.extension.llm.runner import GenerationConfig, TextLLMRunner


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model_path", "tokenizer_path", "prompt", "data_path"):
        parser.add_argument(f"--{name}")
    for name in ("seq_len", "cpu_threads"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--warmup")
    given = parser.parse_args()
    runner = TextLLMRunner(given.model_path, given.tokenizer_path)
    config = GenerationConfig(
        seq_len=given.seq_len, temperature=given.temperature, echo=False, warming=False
    )
    if given.warmup == "true":
        runner.generate(given.prompt, config)
        runner.reset()
    # Prints the line that begins with PyTorchObserver.
    runner.generate(given.prompt, config)


main()
