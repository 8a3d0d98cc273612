"""The program in processes of its own, without the seconds that each spends on imports.

One process imports what runs need and composes a recipe; each call is a fork of it, with its own
arguments, folder, environment and output, which ends as the program ends.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_READ_AT_IMPORT = ("HF_", "PYTHONHASHSEED", "OMP_", "TORCH")
"""Variables that a process which has imported everything no longer heeds."""
_TIMEOUT = 900

_SERVER = """
import atexit, gc, importlib, json, os, sys, traceback
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
from llm_export.config.compose import Composer
from llm_export.plugins import active, discover
if not list(discover.installed()):
    # A first composition takes seven times as long as a later one: it makes the schema's nodes and
    # reads the options. It finds no plugins, so that each call looks for those of its own.
    Composer().compose(["model=tiny"])
    active._STATE.installed = None
gc.freeze()  # so that no fork touches, and thereby copies, what all of them share
while True:
    line = sys.stdin.readline()
    if not line:
        os._exit(0)
    children, calls = [], json.loads(line)
    if not calls:
        exec(sys.argv[2])
        print("[]", flush=True)
        continue
    for call in calls:
        children.append(os.fork())
        if children[-1] == 0:
            break
    if children[-1] == 0:
        break
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(codes), flush=True)
for descriptor, name in enumerate(("in", "out", "err")):
    os.dup2(os.open(call[name], os.O_RDONLY if descriptor == 0 else os.O_WRONLY), descriptor)
os.environ.clear()
os.environ.update(call["env"])
os.chdir(call["cwd"])
sys.path[:0] = [call["cwd"], *filter(None, call["env"].get("PYTHONPATH", "").split(os.pathsep))]
importlib.invalidate_caches()
sys.argv = ["llm-export", *call["words"]]
from llm_export.cli.main import main
try:
    code = main()
except SystemExit as stopped:
    code = stopped.code
    if isinstance(code, str):
        print(code, file=sys.stderr)
        code = 1
except BaseException:
    traceback.print_exc()
    code = 1
atexit._run_exitfuncs()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code or 0)  # taking the imports apart would take longer than the call
"""
_LOWERING = """
import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
small = torch.export.export(torch.nn.Linear(2, 2).eval(), (torch.ones(1, 2),), strict=False)
to_edge_transform_and_lower(small, partitioner=[XnnpackPartitioner()]).to_executorch()
gc.collect()
gc.freeze()
"""
_MODULES = [
    "llm_export.api", "llm_export.cli.main", "llm_export.cli.run", "llm_export.runner.run",
    "llm_export.checks.rules", "llm_export.predict.cost", "llm_export.stages.lower",
    "llm_export.stages.export", "llm_export.stages.quantize", "llm_export.stages.verify",
    "torch.export", "executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "runtime_py",
]  # fmt: skip


class WarmProgram:
    """Calls of ``llm-export``, each in a fork; or in a new process where only that will do."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[str] | None = None
        self._lowers = False

    def __call__(
        self, words: tuple[str, ...], cwd: Path, env: Mapping[str, str]
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "llm_export", *words]
        changed = {k for k in env.keys() | os.environ.keys() if env.get(k) != os.environ.get(k)}
        if any(key.startswith(_READ_AT_IMPORT) for key in changed) or not hasattr(os, "fork"):
            return subprocess.run(
                command, cwd=cwd, env=dict(env), capture_output=True, text=True, timeout=_TIMEOUT
            )
        (done,) = self.at_once([words], cwd, env)
        return done

    def prepare_lowering(self) -> None:
        """Calls that lower find imported and built what else takes each of them seconds."""
        if not self._lowers:
            self._lowers = True
            self._call([])

    def at_once(
        self, calls: Sequence[tuple[str, ...]], cwd: Path, env: Mapping[str, str]
    ) -> list[subprocess.CompletedProcess[str]]:
        """Each call in a fork of its own, all begun before any has ended."""
        with tempfile.TemporaryDirectory() as folder:
            places = [(Path(folder, f"{i}.out"), Path(folder, f"{i}.err"))
                      for i in range(len(calls))]  # fmt: skip
            for place in itertools.chain(*places):
                place.touch()
            codes = self._call([
                {"words": words, "cwd": str(cwd), "env": dict(env), "in": os.devnull,
                 "out": str(out), "err": str(err)}
                for words, (out, err) in zip(calls, places, strict=True)
            ])  # fmt: skip
            said = [[p.read_text(encoding="utf-8") for p in pair] for pair in places]
        return [
            subprocess.CompletedProcess(["llm-export", *words], code, *texts)
            for words, code, texts in zip(calls, codes, said, strict=True)
        ]

    def _call(self, requests: Sequence[dict[str, object]]) -> list[int]:
        if self._server is None:
            self._server = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _SERVER, json.dumps(_MODULES), _LOWERING],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                env={**os.environ, "XDG_CONFIG_HOME": os.devnull,  # no folder of the user's
                     "PYTHONHASHSEED": "0"},
            )  # fmt: skip
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(requests) + "\n")
        self._server.stdin.flush()
        codes: list[int] = json.loads(self._server.stdout.readline())
        return codes

    def close(self) -> None:
        if self._server is not None:
            self._server.communicate()


program = WarmProgram()
"""Of this process; ``conftest`` closes it."""
