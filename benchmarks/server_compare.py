"""This server beside llama.cpp's: time to first token, tokens a second, memory.

python benchmarks/server_compare.py BUNDLE MODEL.gguf@ENVIRONMENT/bin/python
    llama.cpp's server as llama-cpp-python[server] has it, in the environment of an interpreter
python benchmarks/server_compare.py BUNDLE MODEL.gguf@FOLDER/llama-server
    that of llama.cpp itself

The servers are measured one after another, in rounds, on this machine alone, with as many threads
as there are processors. ONNX Runtime GenAI has no server: `llm-export bench BUNDLE FOLDER` compares
its speed. A server that is not installed is left out, with a message on stderr. Prints Markdown.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from server_clients import Answer, Question, free_port, median, memory, started, together

CONTEXT, CLIENTS = 2048, 4
TEXT = "The harbour keeps a list of ships, their loads and the hour at which each one leaves. "


@dataclass(frozen=True)
class Server:
    """
    Attributes:
        ready: a route that answers 200 when the model is loaded.
    """

    name: str
    command: tuple[str, ...]
    ready: str


@dataclass
class Found:
    first: list[float] = field(default_factory=list)
    second: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    several: list[float] = field(default_factory=list)
    loaded: list[float] = field(default_factory=list)
    used: list[float] = field(default_factory=list)


def server_of(artifact: str, port: int, threads: int) -> Server | str:
    """How the server of an artifact is started, or why it cannot be."""
    path, _, program = artifact.partition("@")
    if not path.endswith(".gguf"):
        words = ("--port", str(port), "--threads", str(threads))
        command = (sys.executable, "-m", "runtime_py.server", path, *words)
        return Server("llm_export", command, "/health")
    if Path(program).name.startswith("llama-server"):
        return Server("llama.cpp (llama-server)", (
            program, "-m", path, "--port", str(port), "-c", str(CONTEXT * CLIENTS), "-np",
            str(CLIENTS), "-t", str(threads),
        ), "/health")  # fmt: skip
    python = program or sys.executable
    probe = subprocess.run([python, "-c", "import llama_cpp.server"], capture_output=True)
    if probe.returncode:
        return "llama.cpp is not installed: pip install 'llama-cpp-python[server]'"
    return Server("llama.cpp (llama-cpp-python)", (
        python, "-m", "llama_cpp.server", "--model", path, "--port", str(port), "--n_ctx",
        str(CONTEXT), "--n_threads", str(threads), "--n_threads_batch", str(threads),
        "--interrupt_requests", "false",
    ), "/v1/models")  # fmt: skip


def measure(server: Server, port: int, found: Found, tokens: int) -> None:
    """One round of a server."""
    address = f"http://127.0.0.1:{port}"

    def asked(questions: Sequence[Question], clients: int = 1) -> list[Answer]:
        return asyncio.run(together(address, None, questions, clients))

    with started(server.command, port, server.ready) as pid:
        asked([Question([{"role": "user", "content": "Hello"}], 4)])
        found.loaded.append(memory(pid))
        history = [{"role": "user", "content": "1. " + TEXT * 25 + "How many ships are there?"}]
        (first,) = asked([Question(history, tokens)])
        found.first.append(first.first)
        found.speed.append(first.speed)
        history += [{"role": "assistant", "content": first.text},
                    {"role": "user", "content": "And when do they leave?"}]  # fmt: skip
        (second,) = asked([Question(history, 8)])
        found.second.append(second.first)
        some = [
            Question([{"role": "user", "content": f"{n}. {TEXT * 3} What is it?"}], tokens)
            for n in range(CLIENTS)
        ]
        answers = asked(some, CLIENTS)
        took = max(answer.last for answer in answers)
        found.several.append(sum(answer.tokens for answer in answers) / took)
        found.used.append(memory(pid))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("artifacts", nargs="+", metavar="ARTIFACT[@PROGRAM]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=64, help="of an answer")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    found: dict[str, tuple[str, Found]] = {}
    missing: dict[str, str] = {}
    for _ in range(options.rounds):
        for artifact in options.artifacts:
            port = free_port()
            server = server_of(artifact, port, options.threads)
            if isinstance(server, str):
                missing.setdefault(artifact, server)
                continue
            _, figures = found.setdefault(artifact, (server.name, Found()))
            measure(server, port, figures, options.tokens)
    for why in missing.values():
        print(why, file=sys.stderr)
    print("| server | first token of a long prompt, s | of the second turn, s | tokens a second | "
          f"of {CLIENTS} clients | memory, MiB: loaded | used |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for name, each in found.values():
        figures = (
            f"{median(each.first):.2f}", f"{median(each.second):.2f}", f"{median(each.speed):.1f}",
            f"{median(each.several):.1f}", f"{median(each.loaded):.0f}", f"{median(each.used):.0f}",
        )  # fmt: skip
        print(f"| {name} | {' | '.join(figures)} |")


if __name__ == "__main__":
    main()
