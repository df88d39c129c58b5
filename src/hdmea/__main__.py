"""`python -m hdmea`."""

import sys

from hdmea.cli import main

if __name__ == "__main__":
    sys.exit(main())
