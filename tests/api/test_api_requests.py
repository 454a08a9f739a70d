"""Requests of every kind as an agent sends them, and everything that is none."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.domain.addresses import solana_address
from waiaas.domain.assets import CHAIN_IDS, Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.programs import COVERED_PROGRAMS
from waiaas.domain.request import Request

if TYPE_CHECKING:
    from tests.api.conftest import Desk, Hired

SEND = "/v1/transactions/send"
RECIPIENT = "So11111111111111111111111111111111111111112"
MEMO = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
MINT, STATE = (solana_address(bytes([n]) * 32) for n in (1, 2))
ETHEREUM = "0x" + "ab" * 20
CHAIN, OTHER_CHAIN = (
    CHAIN_IDS[Network(ChainType.SOLANA, network)]
    for network in (NetworkType.LOCALNET, NetworkType.MAINNET)
)

TRANSFER: Mapping[str, Any] = {"type": "TRANSFER", "to": RECIPIENT, "amount": "5"}
TOKENS: Mapping[str, Any] = {
    "type": "TOKEN_TRANSFER",
    "to": RECIPIENT,
    "token": {"address": MINT},
    "amount": "5",
}
APPROVE: Mapping[str, Any] = {
    "type": "APPROVE",
    "spender": RECIPIENT,
    "token": {"address": MINT},
    "amount": "5",
}
ACCOUNT: Mapping[str, Any] = {"pubkey": STATE, "isSigner": False, "isWritable": True}
CALL: Mapping[str, Any] = {
    "type": "CONTRACT_CALL",
    "programId": MEMO,
    "instructionData": "aGk=",
    "accounts": [ACCOUNT],
    "value": "0",
}
BATCH: Mapping[str, Any] = {"type": "BATCH", "instructions": [TRANSFER, TOKENS, APPROVE, CALL]}
KINDS = [TRANSFER, TOKENS, APPROVE, CALL, BATCH]


class SixDecimals:
    """A network on which every token has six decimals, one address is none, and room is short."""

    def require_possible(self, request: Request, *, from_address: str) -> None:
        assert from_address
        if len(getattr(request, "data", b"")) > 1000:
            raise Refusal(ErrorCode.VALIDATION_FAILED, "there is no room")

    async def token_decimals(self, token_address: str) -> int:
        if token_address == STATE:
            raise Refusal(ErrorCode.INVALID_ADDRESS, "the chain has no such token")
        return 6


def ask(desk: "Desk", hired: "Hired", body: object, **how: Any) -> Any:
    network = next(iter(desk.services.chains))
    desk.rebuild(chains={network: SixDecimals()})
    return desk.ask("POST", SEND, body, token=hired.token, **how)


def stored(desk: "Desk", hired: "Hired") -> dict[str, Any]:
    """Return the newest request as the agent sees it."""
    tx_id = max(row.tx_id for row in desk.rows("requests"))
    request: dict[str, Any] = desk.ask("GET", f"/v1/transactions/{tx_id}", token=hired.token).json[
        "request"
    ]
    return request


@pytest.mark.parametrize("body", KINDS)
def test_every_kind_is_taken_and_shown_as_it_was_sent(
    desk: "Desk", hired: "Hired", body: Mapping[str, Any]
) -> None:
    answer = ask(desk, hired, body)
    assert (answer.status, answer.code) in {(201, ""), (403, "POLICY_DENIED")}
    assert stored(desk, hired) == body


@pytest.mark.parametrize("body", [TOKENS, APPROVE, BATCH])
def test_a_token_by_its_caip_19_id_is_the_same_request_as_by_its_address(
    desk: "Desk", hired: "Hired", body: Mapping[str, Any]
) -> None:
    by_address = json.dumps({"address": MINT})
    by_asset_id = json.dumps({"assetId": f"{CHAIN}/token:{MINT}"})
    renamed = json.loads(json.dumps(body).replace(by_address, by_asset_id))
    assert renamed != body
    key = [("idempotency-key", "one")]
    first, again = (ask(desk, hired, asked, headers=key) for asked in (renamed, body))
    assert (again.status, again.code) == (first.status, first.code)
    assert stored(desk, hired) == body
    assert len({row.tx_id for row in desk.rows("requests")}) == 1


@pytest.mark.parametrize(
    ("body", "amount"),
    [
        ({"to": RECIPIENT, "humanAmount": "0.0000005"}, "500"),
        ({"type": "TRANSFER", "to": RECIPIENT, "humanAmount": "1"}, "1000000000"),
        ({**TOKENS, "amount": None, "humanAmount": "1.5"}, "1500000"),
        ({**APPROVE, "amount": None, "humanAmount": "0.000001"}, "1"),
    ],
)
def test_a_human_amount_is_kept_in_base_units_with_decimals_that_are_not_the_callers(
    desk: "Desk", hired: "Hired", body: dict[str, Any], amount: str
) -> None:
    sent = {name: value for name, value in body.items() if value is not None}
    assert ask(desk, hired, sent).status in {201, 403}
    assert stored(desk, hired)["amount"] == amount


def without(body: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in names}


def batch(*parts: object) -> dict[str, Any]:
    return {"type": "BATCH", "instructions": list(parts)}


BAD: list[tuple[object, str]] = [
    # what is no message of any kind
    ({**TRANSFER, "type": "PAY"}, "VALIDATION_FAILED"),
    ({**TRANSFER, "memo": "x"}, "VALIDATION_FAILED"),
    ({**TRANSFER, "token": {"address": MINT}}, "VALIDATION_FAILED"),
    ({**TOKENS, "token": MINT}, "VALIDATION_FAILED"),
    ({**TOKENS, "token": {"address": MINT, "decimals": 6}}, "VALIDATION_FAILED"),
    (without(TOKENS, "token"), "VALIDATION_FAILED"),
    *(
        ({**TOKENS, "token": token}, "VALIDATION_FAILED")
        for token in (
            {},
            {"address": MINT, "assetId": f"{CHAIN}/token:{MINT}"},
            {"assetId": MINT},
            {"assetId": f"{CHAIN}/token:{ETHEREUM}"},
            {"assetId": f"{CHAIN}/slip44:501"},
            {"assetId": f"{OTHER_CHAIN}/token:{MINT}"},
            {"assetId": f"eip155:1/erc20:{ETHEREUM}"},
        )
    ),
    (without(APPROVE, "spender"), "VALIDATION_FAILED"),
    ({**APPROVE, "to": RECIPIENT}, "VALIDATION_FAILED"),
    # amounts
    ({**TOKENS, "amount": "-1"}, "INVALID_AMOUNT"),
    ({**TOKENS, "amount": "1.5"}, "INVALID_AMOUNT"),
    ({**TOKENS, "amount": "0"}, "INVALID_AMOUNT"),
    ({**TOKENS, "amount": "\u0661"}, "INVALID_AMOUNT"),
    ({**TOKENS, "amount": 5}, "VALIDATION_FAILED"),
    ({**TOKENS, "amount": None}, "VALIDATION_FAILED"),
    ({**TOKENS, "amount": "9" * 79}, "VALIDATION_FAILED"),
    ({**TOKENS, "amount": str(2**256)}, "INVALID_AMOUNT"),
    ({**TOKENS, "amount": str(2**64)}, "INVALID_AMOUNT"),
    ({**TRANSFER, "amount": str(2**64)}, "INVALID_AMOUNT"),
    ({**TRANSFER, "amount": str(2**256 - 1)}, "INVALID_AMOUNT"),
    ({**APPROVE, "amount": str(2**64)}, "INVALID_AMOUNT"),
    (batch(TRANSFER, {**TOKENS, "amount": str(2**64)}), "INVALID_AMOUNT"),
    ({**CALL, "value": "-1"}, "INVALID_AMOUNT"),
    ({**CALL, "value": str(2**256)}, "INVALID_AMOUNT"),
    ({**CALL, "amount": "1"}, "VALIDATION_FAILED"),
    # amounts as people write them
    (without(TRANSFER, "amount"), "VALIDATION_FAILED"),
    ({**TRANSFER, "humanAmount": "1"}, "VALIDATION_FAILED"),
    ({**without(TRANSFER, "amount"), "humanAmount": "0.0000000001"}, "INVALID_AMOUNT"),
    ({**without(TRANSFER, "amount"), "humanAmount": "1e3"}, "INVALID_AMOUNT"),
    ({**without(TRANSFER, "amount"), "humanAmount": "1.\uff15"}, "INVALID_AMOUNT"),
    ({**without(TRANSFER, "amount"), "humanAmount": "0"}, "INVALID_AMOUNT"),
    ({**without(TRANSFER, "amount"), "humanAmount": 1.5}, "VALIDATION_FAILED"),
    ({**without(TOKENS, "amount"), "humanAmount": "0.0000001"}, "INVALID_AMOUNT"),
    (
        {**without(TOKENS, "amount"), "humanAmount": "1", "token": {"address": STATE}},
        "INVALID_ADDRESS",
    ),
    # addresses, and those of another chain
    ({**TRANSFER, "to": ETHEREUM}, "INVALID_ADDRESS"),
    ({**TOKENS, "to": ETHEREUM}, "INVALID_ADDRESS"),
    ({**TOKENS, "token": {"address": ETHEREUM}}, "INVALID_ADDRESS"),
    ({**APPROVE, "spender": ETHEREUM}, "INVALID_ADDRESS"),
    ({**CALL, "programId": ETHEREUM}, "INVALID_ADDRESS"),
    ({**CALL, "accounts": [{**ACCOUNT, "pubkey": ETHEREUM}]}, "INVALID_ADDRESS"),
    (batch(TRANSFER, {**TRANSFER, "to": ETHEREUM, "amount": "x"}), "INVALID_ADDRESS"),
    # calls
    ({**CALL, "instructionData": "aGk"}, "VALIDATION_FAILED"),
    ({**CALL, "instructionData": "§"}, "VALIDATION_FAILED"),
    ({**CALL, "instructionData": "A" * 1648}, "VALIDATION_FAILED"),
    ({**CALL, "instructionData": "A" * 1640}, "VALIDATION_FAILED"),
    ({**CALL, "accounts": [ACCOUNT] * 65}, "VALIDATION_FAILED"),
    ({**CALL, "accounts": [without(ACCOUNT, "isSigner")]}, "VALIDATION_FAILED"),
    ({**CALL, "accounts": [{**ACCOUNT, "isSigner": 1}]}, "VALIDATION_FAILED"),
    *(({**CALL, "programId": program}, "VALIDATION_FAILED") for program in COVERED_PROGRAMS),
    # batches
    (batch(), "VALIDATION_FAILED"),
    (batch(TRANSFER), "VALIDATION_FAILED"),
    (batch(*[TRANSFER] * 21), "VALIDATION_FAILED"),
    (batch(TRANSFER, batch(TRANSFER, TRANSFER)), "VALIDATION_FAILED"),
    (batch(TRANSFER, without(TRANSFER, "type")), "VALIDATION_FAILED"),
    (batch(TRANSFER, {**TRANSFER, "memo": "x"}), "VALIDATION_FAILED"),
    ({**batch(TRANSFER, TRANSFER), "to": RECIPIENT}, "VALIDATION_FAILED"),
]


def test_what_is_no_request_is_refused_with_its_code_and_leaves_nothing_but_that(
    desk: "Desk", hired: "Hired"
) -> None:
    before = desk.content()
    for body, code in BAD:
        answer = ask(desk, hired, body)
        assert (answer.status, answer.code, body) == (400, code, body)
    assert desk.refusals_since(before) == [code for _, code in BAD]
    assert desk.woken == []


def test_what_was_sent_is_not_repeated_in_a_refusal(desk: "Desk", hired: "Hired") -> None:
    for body in ({**TRANSFER, "type": "canary"}, batch(TRANSFER, {"type": "canary"})):
        answer = ask(desk, hired, body)
        assert answer.code == "VALIDATION_FAILED"
        assert b"canary" not in answer.content


def test_without_a_node_a_tokens_decimals_are_unknown_but_base_units_are_taken(
    desk: "Desk", hired: "Hired"
) -> None:
    desk.rebuild(chains={})
    human = {**without(TOKENS, "amount"), "humanAmount": "1"}
    unknown = desk.ask("POST", SEND, human, token=hired.token)
    assert unknown.code == "NETWORK_NOT_CONFIGURED"
    assert desk.rows("transactions") == []
    assert desk.ask("POST", SEND, TOKENS, token=hired.token).code == "POLICY_DENIED"
