"""The one definition of every message: strings and numbers with limits, no behaviour."""
