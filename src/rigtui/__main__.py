"""`python -m rigtui`."""

import sys

from rigtui.cli.main import main

sys.exit(main())
