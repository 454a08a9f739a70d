"""Assets by their chain-agnostic names: one spelling, a known network, or a refusal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.addresses import is_solana_address
from waiaas.domain.assets import (
    CHAIN_IDS,
    CHAINS_WITH_ADAPTER,
    TOKEN_UNITS,
    Asset,
    Network,
    asset_id,
    networks_of,
    parse_asset_id,
    parse_chain_id,
    require_adapter,
    why_unreachable,
)
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal

MAINNET = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

GENESIS = {
    NetworkType.MAINNET: "5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d",
    NetworkType.DEVNET: "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG",
    NetworkType.TESTNET: "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY",
}
"""What the nodes of each network answer to `getGenesisHash`."""


@pytest.mark.parametrize(("network", "genesis"), GENESIS.items())
def test_a_network_of_solana_is_named_by_32_characters_of_its_genesis_hash(
    network: NetworkType, genesis: str
) -> None:
    assert CHAIN_IDS[Network(ChainType.SOLANA, network)] == f"solana:{genesis[:32]}"


def test_every_network_has_one_name_which_is_read_if_something_can_be_paid_there() -> None:
    assert networks_of(ChainType.SOLANA) == list(NetworkType)
    assert networks_of(ChainType.ETHEREUM) == [NetworkType.MAINNET, NetworkType.TESTNET]
    assert len(set(CHAIN_IDS.values())) == len(CHAIN_IDS)
    for network, name in CHAIN_IDS.items():
        if network.chain in CHAINS_WITH_ADAPTER:
            assert parse_chain_id(name) == network
            require_adapter(network)
            assert why_unreachable(network) == f"no node is configured for {network.network}"
        else:
            with pytest.raises(ValueError, match="not a network"):
                parse_chain_id(name)
            with pytest.raises(Refusal, match="no adapter for ethereum yet") as refused:
                require_adapter(network)
            assert refused.value.code is ErrorCode.NOT_SUPPORTED_YET
            assert why_unreachable(network) == refused.value.message


SOLANA = [network for network in CHAIN_IDS if network.chain is ChainType.SOLANA]
ASSETS = st.builds(Asset, st.sampled_from(SOLANA), st.sampled_from(["native", TOKEN]))


@given(ASSETS)
def test_an_asset_is_read_back_from_its_name(asset: Asset) -> None:
    assert parse_asset_id(asset_id(asset)) == asset


def test_the_names_are_the_standards() -> None:
    mainnet = Network(ChainType.SOLANA, NetworkType.MAINNET)
    assert asset_id(Asset(mainnet, "native")) == f"{MAINNET}/slip44:501"
    assert asset_id(Asset(mainnet, TOKEN)) == f"{MAINNET}/token:{TOKEN}"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "CAIP-19"),
        ("native", "CAIP-19"),
        (TOKEN, "CAIP-19"),
        (MAINNET, "CAIP-19"),
        (f"{MAINNET}/", "CAIP-19"),
        (f"{MAINNET}/slip44", "CAIP-19"),
        (f"{MAINNET}/slip44:", "CAIP-19"),
        (f"{MAINNET}/:501", "CAIP-19"),
        (f"{MAINNET}/SLIP44:501", "CAIP-19"),
        (f"{MAINNET}/slip44:501/1", "CAIP-19"),  # one item of a collection, not a type of asset
        (f"{MAINNET}/slip44:501\n", "CAIP-19"),
        (f" {MAINNET}/slip44:501", "CAIP-2"),
        (f"{MAINNET}/slip44:50\uff11", "CAIP-19"),
        (f"{MAINNET}/token:{'1' * 129}", "CAIP-19"),
        (f"{MAINNET}/nft:{TOKEN}", "slip44:501 or token"),
        (f"{MAINNET}/slip44:60", "slip44:501 or token"),
        (f"{MAINNET}/slip44:0501", "slip44:501 or token"),
        (f"{MAINNET}/token:alice", "Solana address"),
        (f"{MAINNET}/token:{TOKEN}%20", "Solana address"),
        ("solana/slip44:501", "CAIP-2"),
        ("so:x/slip44:501", "CAIP-2"),
        ("solana:/slip44:501", "CAIP-2"),
        (f"solana:{'x' * 33}/slip44:501", "CAIP-2"),
        ("SOLANA:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501", "CAIP-2"),
        # The namespace page's own example for testnet has 35 characters, which CAIP-2 forbids.
        ("solana:4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQaw/slip44:501", "CAIP-2"),
        # What an old draft took for mainnet's genesis hash.
        ("solana:4sGjMW1sUnHzSxGspuhpqLDx6wiyjNtZ/slip44:501", "not a network"),
        ("solana:5EYKT4UsFv8P8NJdTREpY1vzqKqZKvdp/slip44:501", "not a network"),
        ("solana:mainnet/slip44:501", "not a network"),
        ("waiaas:localnet/slip44:501", "not a network"),
        ("eip155:1/slip44:60", "not a network"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_asset_id(text)


@given(st.text() | st.text(alphabet=f"{MAINNET}/slip44:501token").map(lambda text: MAINNET + text))
def test_any_text_is_an_asset_in_its_one_spelling_or_refused(text: str) -> None:
    try:
        asset = parse_asset_id(text)
    except ValueError:
        return
    assert asset_id(asset) == text


def test_the_tokens_known_by_heart_are_addresses_with_sane_decimals() -> None:
    for asset, unit in TOKEN_UNITS.items():
        assert is_solana_address(asset.name)
        assert 0 <= unit.decimals <= 18
