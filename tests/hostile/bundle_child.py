"""A process that loads bundles, one after another, and says how each ended. It may die of one.

Each line of input is the path of a bundle; each line of output is a JSON object:
    load: "held", "refused" or "raw"; said: the error's text; verify: what failed, empty if nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def outcome(folder: Path) -> dict[str, Any]:
    from llm_export.bundle.verify import check_bundle
    from llm_export.errors import LlmExportError
    from runtime_py import LLM, BundleRuntimeError
    from runtime_py.probe import attempted

    found: dict[str, Any] = {"load": "held", "said": ""}
    try:
        with LLM.load(folder) as llm:
            llm.generate("Hello", max_new_tokens=1)
            if llm.template is not None:
                llm.count_tokens([{"role": "user", "content": "Hello"}])
    except BundleRuntimeError as error:
        found = {"load": "refused", "said": str(error)}
    except BaseException as error:
        found = {"load": "raw", "said": repr(error)[:500]}
    try:
        checks = check_bundle(folder, attempted)
        found["verify"] = "; ".join(f"{c.what}: {c.found}" for c in checks if not c.good)
    except LlmExportError as error:
        found["verify"] = error.what
    except BaseException as error:
        found |= {"load": "raw", "said": f"verify: {error!r}"[:500], "verify": "raw"}
    return found


if __name__ == "__main__":
    out = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        print(json.dumps(outcome(Path(line.rstrip("\n")))), file=out, flush=True)
