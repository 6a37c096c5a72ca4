"""`python -m nbllm`, which is `nbllm`."""

import sys

from .entrypoints.cli import main

if __name__ == "__main__":
    sys.exit(main())
