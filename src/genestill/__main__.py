"""``python -m genestill`` is the same program as ``genestill``."""

import sys

from genestill.cli import main

sys.exit(main())
