"""``python -m pgolf`` is the command ``pgolf``."""

import sys

from pgolf.cli.main import main

sys.exit(main())
