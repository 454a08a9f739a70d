"""The embedded Solana network as a program of its own, which no daemon has to load."""

from collections.abc import Callable
from pathlib import Path

from waiaas.chains.localnet import server as localnet_server
from waiaas.chains.localnet.state import AlreadyAlive
from waiaas.directory import DaemonError, sentence


def run_localnet(
    state_file: Path, *, port: int, slot_ms: int, announce: Callable[[str], None]
) -> None:
    """Be a local network until a signal says stop.

    Raises:
        DaemonError: another one lives under the same file, or the port is taken.
    """
    try:
        localnet_server.main(
            state_file=state_file,
            port=port,
            slot_ms=slot_ms,
            announce=lambda recorded: announce(f"local network at {recorded.url}"),
        )
    except (OSError, AlreadyAlive) as error:
        raise DaemonError(sentence(error)) from error
