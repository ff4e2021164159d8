"""``python -m live_transports.cli``."""

import sys

from live_transports.cli import main

sys.exit(main())
