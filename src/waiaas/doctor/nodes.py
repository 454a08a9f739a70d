"""The nodes: does each answer, and is it on the network it is said to be on?"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final

from waiaas.doctor.finding import Finding, Subject, fine, mend, note, unknown
from waiaas.domain.enums import NetworkType
from waiaas.ports import ChainUnavailable

ANSWER_S_MAX: Final = 5.0

_SET_ONE: Final = (
    "Set a node's URL in config.toml, e.g. rpc.solana_devnet; or to play:"
    " `waiaas start --localnet`."
)


def ask_nodes(urls: Mapping[NetworkType, str]) -> dict[NetworkType, str | None]:
    """Ask each node for its network's first block; return what is wrong with it, or None."""
    return asyncio.run(_ask_all(urls)) if urls else {}


async def _ask_all(urls: Mapping[NetworkType, str]) -> dict[NetworkType, str | None]:
    return dict(
        zip(urls, await asyncio.gather(*(_ask(*each) for each in urls.items())), strict=True)
    )


async def _ask(network: NetworkType, url: str) -> str | None:
    from waiaas.chains.solana.chain import SolanaChain  # noqa: PLC0415 -- not without a node
    from waiaas.system import SystemClock  # noqa: PLC0415 -- as above

    try:
        chain = SolanaChain(url, network=network, clock=SystemClock(), timeout_s=ANSWER_S_MAX)
    except ValueError as error:
        return str(error)
    try:
        await chain.check_network()
    except ChainUnavailable as error:
        return str(error)
    finally:
        await chain.aclose()
    return None


def check_nodes(
    asked: Mapping[NetworkType, str | None] | None, *, is_running: bool
) -> Iterator[Finding]:
    """Do the nodes answer for the right networks?"""
    if asked is None:
        yield unknown(Subject.NODES, "the settings could not be read")
        return
    if not asked and is_running:
        yield mend(Subject.NODES, "no network is known, so no agent can be made", _SET_ONE)
    elif not asked:
        yield note(Subject.NODES, f"no network is known yet. {_SET_ONE}")
    for network, problem in asked.items():
        if problem is None:
            yield fine(Subject.NODES, f"{network}: it answers, on the right network")
        else:
            yield mend(
                Subject.NODES,
                f"{network}: {problem}",
                f"See rpc.solana_{network} (`waiaas config explain`), and the way to that node.",
            )
