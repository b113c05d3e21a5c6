"""An agent that dies at once, before it takes anything."""

import sys

sys.exit("dies: the model key is not set")
