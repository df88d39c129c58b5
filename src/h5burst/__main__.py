"""`python -m h5burst`."""

import sys

from h5burst.cli import main

if __name__ == "__main__":
    sys.exit(main())
