"""``python -m pgolf`` is the command ``pgolf``."""

import sys

from pgolf.cli import main

sys.exit(main())
