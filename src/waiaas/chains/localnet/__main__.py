"""`python -m waiaas.chains.localnet`: a localnet of its own process.

It says on its first line of output where it is.
"""

import argparse
import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import msgspec

from waiaas.chains.localnet.server import HOST, main
from waiaas.chains.localnet.state import SLOT_MS, AlreadyAlive, Recorded


def _say(recorded: Recorded) -> None:
    with suppress(BrokenPipeError):  # Whoever wanted to know is gone; the localnet stays.
        # Past the buffer, which would be tried again at the end and spoil the exit status.
        os.write(sys.stdout.fileno(), msgspec.json.encode(recorded) + b"\n")


def _run() -> None:
    parser = argparse.ArgumentParser(prog="waiaas.chains.localnet", description=__doc__)
    parser.add_argument("--state", type=Path, help="file to be found by; none unless given")
    parser.add_argument("--host", default=HOST, help="a loopback address")
    parser.add_argument("--port", type=int, default=0, help="0: any")
    parser.add_argument("--slot-ms", type=int, default=SLOT_MS, help="0: only on demand")
    parser.add_argument("--faults", action="store_true", help="let callers install faults")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        main(
            state_file=options.state,
            host=options.host,
            port=options.port,
            slot_ms=options.slot_ms or None,
            faults_enabled=options.faults,
            announce=_say,
        )
    except (AlreadyAlive, OSError, ValueError) as error:
        sys.exit(f"waiaas.chains.localnet: {error}")


if __name__ == "__main__":
    _run()
