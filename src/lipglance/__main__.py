"""``python -m lipglance`` is ``lipglance``."""

import sys

from lipglance.cli import main

sys.exit(main())
