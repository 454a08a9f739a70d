"""Assets and networks by their chain-agnostic names, read strictly.

A chain id is CAIP-2 (`namespace:reference`), an asset type CAIP-19 (`chain/namespace:reference`).
Only what this registry knows is accepted, and of that only what we have an adapter for: a rule
about a network on which nothing is paid would protect nobody.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.money import NATIVE, Unit


class Network(NamedTuple):
    """One network of one chain family; an agent lives on exactly one."""

    chain: ChainType
    network: NetworkType


CHAIN_IDS: Final[Mapping[Network, str]] = MappingProxyType(
    {
        # Solana's profile of CAIP-2 (formerly CAIP-30): the genesis hash, cut to 32 characters.
        Network(ChainType.SOLANA, NetworkType.MAINNET): "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp",
        Network(ChainType.SOLANA, NetworkType.DEVNET): "solana:EtWTRABZaYq6iMfeYKouRu166VU2xqa1",
        Network(ChainType.SOLANA, NetworkType.TESTNET): "solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3z",
        # Every local network has another genesis, so its name is ours and no hash.
        Network(ChainType.SOLANA, NetworkType.LOCALNET): "waiaas:solana-localnet",
        # The eip155 profile of CAIP-2: EIP-155's chain id. The test network is Sepolia.
        Network(ChainType.ETHEREUM, NetworkType.MAINNET): "eip155:1",
        Network(ChainType.ETHEREUM, NetworkType.TESTNET): "eip155:11155111",
    }
)
"""The CAIP-2 name of each network on which an agent may live."""

CHAINS_WITH_ADAPTER: Final = frozenset({ChainType.SOLANA})
"""On these an agent can be paid from. On another it has a key and an address, and nothing more."""

_NETWORKS: Final[Mapping[str, Network]] = {
    name: network for network, name in CHAIN_IDS.items() if network.chain in CHAINS_WITH_ADAPTER
}

_CHAIN_ID: Final = re.compile(r"[-a-z0-9]{3,8}:[-_a-zA-Z0-9]{1,32}")
_ASSET_TYPE: Final = re.compile(
    r"(?P<chain>[^/]+)/(?P<namespace>[-a-z0-9]{3,8}):(?P<reference>[-.%a-zA-Z0-9]{1,128})"
)

_NATIVE_REFERENCE: Final = ("slip44", "501")
"""SLIP-0044 registers SOL as coin type 501; the test networks' SOL goes by the same number."""

_TOKEN_NAMESPACE: Final = "token"  # noqa: S105 -- a word of CAIP-19, not a secret
"""Solana's profile of CAIP-19: the reference is the address of the token's mint."""


class Asset(NamedTuple):
    """One asset on one network."""

    network: Network
    name: str
    """`native`, or the token's address."""


TOKEN_UNITS: Final[Mapping[Asset, Unit]] = MappingProxyType(
    {
        Asset(Network(ChainType.SOLANA, network), address): unit
        for network, address, unit in (
            (
                NetworkType.MAINNET,
                "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
                Unit("USDC", 6),
            ),
            (
                NetworkType.MAINNET,
                "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB",
                Unit("USDT", 6),
            ),
            (
                NetworkType.DEVNET,
                "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU",
                Unit("USDC", 6),
            ),
        )
    }
)
"""How people write the few tokens we know by heart; of all others the chain is asked."""


def networks_of(chain: ChainType) -> list[NetworkType]:
    """Return the networks of *chain* on which an agent may live."""
    return [network.network for network in CHAIN_IDS if network.chain is chain]


def why_unreachable(network: Network) -> str:
    """Say why there is no client for *network*, where there is none."""
    if network.chain not in CHAINS_WITH_ADAPTER:
        return f"this daemon has no adapter for {network.chain} yet"
    return f"no node is configured for {network.network}"


def require_adapter(network: Network) -> None:
    """Return if something can be paid, or asked for, on the chain of *network*.

    Raises:
        Refusal: NOT_SUPPORTED_YET.
    """
    if network.chain not in CHAINS_WITH_ADAPTER:
        raise Refusal(
            ErrorCode.NOT_SUPPORTED_YET,
            why_unreachable(network),
            hint="Export the agent's key to use it elsewhere: `waiaas key export`.",
        )


def parse_chain_id(text: str) -> Network:
    """Return the network that the CAIP-2 chain id *text* names.

    Raises:
        ValueError: it does not follow the grammar, or names no network we know.
    """
    if not _CHAIN_ID.fullmatch(text):
        raise ValueError("a chain id is namespace:reference, as in CAIP-2")
    network = _NETWORKS.get(text)
    if network is None:
        raise ValueError(f"not a network we know (known: {', '.join(sorted(_NETWORKS))})")
    return network


def parse_asset_id(text: str) -> Asset:
    """Return the asset that the CAIP-19 asset type *text* names.

    Raises:
        ValueError: it does not follow the grammar, names a single item of a collection, or
            something we do not know.
    """
    matched = _ASSET_TYPE.fullmatch(text)
    if matched is None:
        raise ValueError("an asset is chain/namespace:reference, as in CAIP-19")
    network = parse_chain_id(matched["chain"])
    if (matched["namespace"], matched["reference"]) == _NATIVE_REFERENCE:
        return Asset(network, NATIVE)
    if matched["namespace"] != _TOKEN_NAMESPACE:
        native = ":".join(_NATIVE_REFERENCE)
        raise ValueError(f"an asset of Solana is {native} or {_TOKEN_NAMESPACE}:<address>")
    if not is_solana_address(matched["reference"]):
        raise ValueError("the token is not a Solana address: the base58 text of 32 bytes")
    return Asset(network, matched["reference"])


def asset_id(asset: Asset) -> str:
    """Return the CAIP-19 asset type of *asset*."""
    if asset.name == NATIVE:
        return f"{CHAIN_IDS[asset.network]}/{':'.join(_NATIVE_REFERENCE)}"
    return f"{CHAIN_IDS[asset.network]}/{_TOKEN_NAMESPACE}:{asset.name}"
