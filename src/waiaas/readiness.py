"""Tells systemd, or what speaks its protocol, that the daemon is ready (sd_notify(3)).

So a unit of `Type=notify` counts as started when payments are made, and what is ordered after it
begins then.
"""

import os
import socket
from typing import Final

import structlog

_VARIABLE: Final = "NOTIFY_SOCKET"

log = structlog.get_logger()


def tell_ready() -> None:
    """Send READY=1 to whoever asked for it in the environment, if somebody did.

    One who cannot be told is logged, and keeps nobody from paying: he ends the daemon, should he
    wait in vain.
    """
    address = os.environ.get(_VARIABLE, "")  # noqa: TID251 -- no setting of ours
    if not address:
        return
    if address.startswith("@"):  # The abstract name space of unix(7).
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.settimeout(0)
            manager.sendto(b"READY=1", address)
    except OSError as error:
        log.warning("the service manager was not told", reason=str(error))
