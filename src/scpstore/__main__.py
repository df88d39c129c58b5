"""`python -m scpstore`."""

import sys

from scpstore.cli import main

if __name__ == "__main__":
    sys.exit(main())
