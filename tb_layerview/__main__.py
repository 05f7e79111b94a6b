"""`python -m tb_layerview SCRIPT.py [ARGS]`: runs a training script as it is, and logs the layers of what it trains."""

from __future__ import annotations

import sys

from tb_layerview.commands.script import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
