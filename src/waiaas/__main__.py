"""`python -m waiaas` and the `waiaas` command."""

import sys
from typing import Final

INTERRUPTED: Final = 130
"""As in `waiaas.cli.context`, which may be what was still to be imported."""


def main() -> None:
    """Run the command line. Ctrl-C before it is there is no traceback: nothing was done yet."""
    try:
        from waiaas.cli import app  # noqa: PLC0415 -- most of a start, and all inside the block
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    app.main()


if __name__ == "__main__":
    main()
