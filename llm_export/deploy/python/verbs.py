"""The script of a bundle that does not chat: a verb of the runtime's command line."""

from __future__ import annotations

from dataclasses import dataclass

from runtime_py.bundle_task import EMBED, TRANSCRIBE, TRANSLATE


@dataclass(frozen=True)
class Verb:
    """
    Attributes:
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
"""Task -> its verb, which has the same name."""

_SCRIPT = '''#!/usr/bin/env python3
"""{task}.py: see README.md, or {task}.py --help."""

import sys
from pathlib import Path

from runtime_py.__main__ import main

if __name__ == "__main__":
    bundle = str(Path(__file__).resolve().parent / "bundle")
    # What stands before a verb's arguments is the bundle, which this folder has.
    words = [] if set(sys.argv) & {{"-h", "--help"}} else [bundle]
    raise SystemExit(main(["{task}", *words, *sys.argv[1:]]))
'''
_README = """# {name}

{model} with its runtime. Nothing else is needed but the packages of `requirements.txt`
(Python 3.10 or later; tested with {python}):

```bash
python3 -m venv .venv
.venv/bin/pip install --no-deps -r requirements.txt
.venv/bin/python {task}.py {example}
```

{task}.py takes the options of `python -m runtime_py {task}`; `--help` lists them.{needs}
The lock is complete, and `--no-deps` keeps out what ExecuTorch declares for export alone.
From Python:

```python
from runtime_py import {loader}

with {loader}.load("bundle") as model:
    print({code})
```

| path | content |
|---|---|
| `bundle/` | program, tokenizer and `manifest.json`, made with ExecuTorch {executorch} |
| `runtime_py/` | loads and runs a bundle |
| `requirements.txt` | exact versions, with PyTorch's CPU builds |
| `{task}.py` | the command line |
"""


def verb_files(task: str, variables: dict[str, str]) -> dict[str, str | bytes]:
    """README.md and the script of a task.

    Args:
        variables: name, model, executorch and python, as Markdown takes them.
    """
    verb = VERBS[task]
    words = {**variables, "task": task, "loader": verb.loader, "example": verb.example,
             "code": verb.code, "needs": f" {verb.needs}".rstrip()}  # fmt: skip
    return {"README.md": _README.format(**words), f"{task}.py": _SCRIPT.format(task=task)}
