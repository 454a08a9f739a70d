"""A process that opens a keystore, then starts a thread, and waits while somebody looks into it.

python opener.py KEYSTORE [naive]        the password on standard input
"""

import sys
import threading
from pathlib import Path

from waiaas.keystore import sealing
from waiaas.keystore.guarded import Guarded
from waiaas.keystore.signer import open_keystore


def main() -> None:
    """Open, as the daemon does; *naive*: what AES leaves in registers and on the stack stays."""
    if sys.argv[2:] == ["naive"]:
        sealing._overwrite_traces = lambda: None
    password = Guarded.copy_of(sys.stdin.readline().rstrip("\n").encode())
    keystore = open_keystore(Path(sys.argv[1]), password)
    waiting = threading.Thread(target=sys.stdin.readline)  # It begins with this one's registers.
    waiting.start()
    print("ready", flush=True)  # noqa: T201 -- to whoever looks into this process
    waiting.join()
    keystore.lock()


if __name__ == "__main__":
    main()
