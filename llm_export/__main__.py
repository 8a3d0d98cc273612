"""``python -m llm_export``: the command line, and the flags of the deployment RFC."""

import sys

from llm_export.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
