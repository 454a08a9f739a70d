"""The owner's message: of the standards' grammar, saying everything, and closed to everything else.

The grammar is written down here a second time, from the standards (EIP-4361's ABNF; the Wallet
Standard's for Sign-In With Solana), and must take the example that the first one prints.
"""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waiaas.domain.assets import Network
from waiaas.domain.enums import ChainType, NetworkType
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.owner import OwnerAction
from waiaas.domain.owner_message import Facts, Letterhead, Payment, in_words, owner_message
from waiaas.domain.request import Approve, Batch, ContractCall, Request, TokenTransfer, Transfer

SOLANA = "FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z"
ETHEREUM = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2"
TO = "So11111111111111111111111111111111111111112"
TOKEN = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"

STATEMENT = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;= ]+"
URI = r"[a-z][a-z0-9+.\-]*:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
REST = (
    rf"\n\n(?P<statement>{STATEMENT})\n\nURI: {URI}\nVersion: 1\nChain ID: (?P<chain>[a-z0-9]+)"
    rf"\nNonce: [A-Za-z0-9]{{8,}}\nIssued At: {TIME}(\nExpiration Time: {TIME})?"
    rf"\nResources:(?P<resources>(\n- {URI})*)"
)
DOMAIN = r"[A-Za-z0-9.\-]+(:\d+)? wants you to sign in with your"
EIP_4361 = re.compile(rf"{DOMAIN} Ethereum account:\n0x[0-9a-fA-F]{{40}}{REST}")
SIWS = re.compile(rf"{DOMAIN} Solana account:\n[1-9A-HJ-NP-Za-km-z]{{32,44}}{REST}")

EXAMPLE_OF_EIP_4361 = """\
example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""

PAYMENT = Payment(
    TransactionId("01a20bbd-c049-75b6-9ff3-bbf9a1b56a4d"), Transfer(TO, 1_500_000_000), "a" * 64
)
FACTS = Facts(
    letterhead=Letterhead("127.0.0.1:3100", "0192d3c4-0000-7000-8000-00000000dae0"),
    action=OwnerAction.APPROVE,
    owner_address=SOLANA,
    agent_id=AgentId("01a20bbd-0000-75b6-9ff3-bbf9a1b56a4d"),
    network=Network(ChainType.SOLANA, NetworkType.MAINNET),
    payment=PAYMENT,
    policy_version="b" * 64,
    audit_sequence=7,
    audit_hash="c" * 64,
    nonce="0123456789abcdef0123456789abcdef",
    issued_at=1_700_000_000,
    expires_at=1_700_000_900,
)

WHOLE = """\
127.0.0.1:3100 wants you to sign in with your Solana account:
FVen3X669xLzsi6N2V91DoiyzHzg1uAgqiT8jZ9nS96Z

Approve a payment of agent 01a20bbd-0000-75b6-9ff3-bbf9a1b56a4d on solana mainnet:\
 send 1.5 SOL (1500000000 lamports) to So11111111111111111111111111111111111111112.

URI: http://127.0.0.1:3100/v1/transactions/01a20bbd-c049-75b6-9ff3-bbf9a1b56a4d/approve
Version: 1
Chain ID: mainnet
Nonce: 0123456789abcdef0123456789abcdef
Issued At: 2023-11-14T22:13:20Z
Expiration Time: 2023-11-14T22:28:20Z
Resources:
- urn:waiaas:daemon:0192d3c4-0000-7000-8000-00000000dae0
- urn:waiaas:action:approve
- urn:waiaas:agent:01a20bbd-0000-75b6-9ff3-bbf9a1b56a4d
- urn:waiaas:chain:solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp
- urn:waiaas:transaction:01a20bbd-c049-75b6-9ff3-bbf9a1b56a4d
- urn:waiaas:request:sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
- urn:waiaas:policies:sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
- urn:waiaas:audit:7:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"""


def test_the_grammar_takes_the_standards_own_example() -> None:
    assert EIP_4361.fullmatch(EXAMPLE_OF_EIP_4361)
    assert not SIWS.fullmatch(EXAMPLE_OF_EIP_4361)


def test_a_message_says_everything_that_it_binds() -> None:
    assert owner_message(FACTS) == WHOLE


@pytest.mark.parametrize("action", OwnerAction)
@pytest.mark.parametrize(("address", "grammar"), [(SOLANA, SIWS), (ETHEREUM, EIP_4361)])
def test_every_message_is_of_its_wallets_grammar(
    address: str, grammar: "re.Pattern[str]", action: OwnerAction
) -> None:
    payment = PAYMENT if action in ("APPROVE", "REJECT") else None
    message = owner_message(FACTS._replace(action=action, owner_address=address, payment=payment))
    matched = grammar.fullmatch(message)
    assert matched is not None
    assert matched["chain"] == ("1" if address == ETHEREUM else "mainnet")
    assert f"- urn:waiaas:action:{action.lower()}" in matched["resources"].splitlines()
    assert ("transaction:" in matched["resources"]) is (payment is not None)


@pytest.mark.parametrize("field", [name for name in Facts._fields if name != "payment"])
def test_another_fact_is_another_message(field: str) -> None:
    """So a signature is for one daemon, action, owner, agent, chain, and one state of the rules."""
    others: dict[str, Any] = {
        "letterhead": Letterhead("127.0.0.1:3101", FACTS.letterhead.daemon_id),
        "action": OwnerAction.REJECT,
        "owner_address": ETHEREUM,
        "agent_id": "another",
        "network": Network(ChainType.SOLANA, NetworkType.DEVNET),
        "policy_version": "d" * 64,
        "audit_sequence": 8,
        "audit_hash": "d" * 64,
        "nonce": "another1",
        "issued_at": FACTS.issued_at + 1,
        "expires_at": FACTS.expires_at + 1,
    }
    assert owner_message(FACTS._replace(**{field: others[field]})) != WHOLE


@pytest.mark.parametrize(
    "payment",
    [
        PAYMENT._replace(request=Transfer(TO, 1_500_000_001)),
        PAYMENT._replace(request=Transfer(TOKEN, 1_500_000_000)),
        PAYMENT._replace(request_sha256="d" * 64),
        PAYMENT._replace(tx_id=TransactionId("another")),
    ],
)
def test_another_payment_is_another_message(payment: Payment) -> None:
    assert owner_message(FACTS._replace(payment=payment)) != WHOLE


SENDS = (
    "(1) send 0.000000001 SOL (1 lamports) to So11111111111111111111111111111111111111112;"
    " (2) send 2 base units of token EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
    " to So11111111111111111111111111111111111111112"
)


@pytest.mark.parametrize(
    ("request_", "chain", "words"),
    [
        (Transfer(TO, 2 * 10**9), "solana", f"send 2 SOL (2000000000 lamports) to {TO}"),
        (Transfer(TO, 10), "ethereum", f"send 0.00000000000000001 ETH (10 wei) to {TO}"),
        (
            Transfer(TO, 10**77 + 1),
            "solana",
            f"send 1{'0' * 68}.000000001 SOL (1{'0' * 76}1 lamports) to {TO}",
        ),
        (TokenTransfer(TOKEN, TO, 5), "solana", f"send 5 base units of token {TOKEN} to {TO}"),
        (
            ContractCall(TOKEN, b"abc", 0),
            "solana",
            (
                f"call contract {TOKEN} with 3 bytes of data of SHA-256"
                " ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
                " and 0 SOL (0 lamports)"
            ),
        ),
        (
            Approve(TOKEN, TO, 0),
            "solana",
            f"let {TO} take up to 0 base units of token {TOKEN}",
        ),
        (
            Batch((Transfer(TO, 1), TokenTransfer(TOKEN, TO, 2))),
            "solana",
            f"do 2 things together: {SENDS}",
        ),
    ],
)  # fmt: skip
def test_recipient_and_amount_stand_in_words_and_in_base_units(
    request_: Request, chain: str, words: str
) -> None:
    assert in_words(request_, chain=ChainType(chain)) == words
    payment = PAYMENT._replace(request=request_)
    message = owner_message(FACTS._replace(payment=payment))
    assert SIWS.fullmatch(message)
    costly = owner_message(FACTS._replace(payment=payment._replace(rent=2_039_280)))
    assert SIWS.fullmatch(costly)
    rent = ", and pay up to 0.00203928 SOL (2039280 lamports) for new token accounts"
    if chain == ChainType.SOLANA:
        assert costly == message.replace(f"{words}.", f"{words}{rent}.")


@given(st.integers(1, 2**256 - 1))
def test_the_amount_in_coins_is_exact(base_units: int) -> None:
    words = in_words(Transfer(TO, base_units), chain=ChainType.SOLANA)
    coins, units = re.findall(r"[\d.]+", words)[:2]
    whole, _, fraction = coins.partition(".")
    assert int(whole + fraction.ljust(9, "0")) == base_units == int(units)


# ── nothing else gets in ───────────────────────────────────────────────────────────────────────

TEXTS = ("policy_version", "audit_hash", "nonce", "agent_id", "owner_address")
INJECTIONS = ["\nURI: http://evil", "\r", "\0", "\u2028", "%0a", '"', "é", "\u202e", "", " \n"]


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("injected", [bad for bad in INJECTIONS if bad], ids=ascii)
def test_no_value_begins_a_line_of_its_own(field: str, injected: str) -> None:
    value = getattr(FACTS, field) + injected
    with pytest.raises(ValueError, match=r"message|chain"):
        owner_message(FACTS._replace(**{field: value}))


@pytest.mark.parametrize("injected", ["\n", "a b", "/", "user@host", "é", ":"], ids=ascii)
def test_nor_does_who_writes(injected: str) -> None:
    for letterhead in (
        Letterhead(FACTS.letterhead.authority + injected, FACTS.letterhead.daemon_id),
        Letterhead(injected, FACTS.letterhead.daemon_id),
    ):
        with pytest.raises(ValueError, match="message"):
            owner_message(FACTS._replace(letterhead=letterhead))


@pytest.mark.parametrize("nonce", ["", "1234567", "1234-5678", "12345678\n"])
def test_a_nonce_is_of_letters_and_digits_and_not_short(nonce: str) -> None:
    with pytest.raises(ValueError, match="message"):
        owner_message(FACTS._replace(nonce=nonce))


def test_control_a_text_put_together_without_the_check_can_be_made_to_say_anything() -> None:
    forged = WHOLE.replace(TO, f"{TO}.\n\nURI: http://evil\nVersion: 1\nChain ID: 1")
    assert not SIWS.fullmatch(forged)


def test_what_is_about_a_payment_needs_one_and_what_is_not_has_none() -> None:
    for action in (OwnerAction.APPROVE, OwnerAction.REJECT):
        with pytest.raises(ValueError, match="about a payment"):
            owner_message(FACTS._replace(action=action, payment=None))
    for action in (OwnerAction.VERIFY, OwnerAction.REMOVE):
        with pytest.raises(ValueError, match="not about a payment"):
            owner_message(FACTS._replace(action=action))
