"""What was asked for is what is signed: recorded bytes are read again before a signature."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.message import MessageHeader, MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from spl.token import instructions as spl
from spl.token import models
from spl.token.constants import TOKEN_PROGRAM_ID as TOKENS

from waiaas.chains.solana.chain import SolanaChain
from waiaas.chains.solana.messages import RENT_LAMPORTS, compose
from waiaas.domain.addresses import solana_address
from waiaas.domain.enums import NetworkType
from waiaas.domain.rent import TokenAccount, paid_accounts
from waiaas.domain.request import (
    Approve,
    Batch,
    CallAccount,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
    parts_of,
)
from waiaas.system import SystemClock

AGENT, RECIPIENT, STRANGER, BLOCKHASH, MINT, OTHER_MINT, PROGRAM, STATE = (
    solana_address(bytes([n]) * 32) for n in range(1, 9)
)
DECIMALS = 6
UNIT_PRICE = 7


def key(address: str) -> Pubkey:
    return Pubkey.from_string(address)


def given_account(address: str, *, signs: bool = False, writes: bool = True) -> CallAccount:
    return CallAccount(address, is_signer=signs, is_writable=writes)


def meta(address: str, *, signs: bool = False, writes: bool = True) -> AccountMeta:
    return AccountMeta(key(address), is_signer=signs, is_writable=writes)


TRANSFER = Transfer(RECIPIENT, 5)
TOKENS_SENT = TokenTransfer(MINT, RECIPIENT, 5)
APPROVAL = Approve(MINT, RECIPIENT, 5)
AGENT_GIVEN = given_account(AGENT, signs=True)
CALL = ContractCall(PROGRAM, b"\1data", 0, (AGENT_GIVEN, given_account(STATE)))
BATCH = Batch((TRANSFER, TOKENS_SENT, APPROVAL, CALL, TRANSFER))
KINDS: list[Request] = [TRANSFER, TOKENS_SENT, APPROVAL, CALL, BATCH]


def composed(
    request: Request, *, from_address: str = AGENT, missing: Collection[TokenAccount] | None = None
) -> bytes:
    """Compose it; no recipient has an account for a token yet, unless told otherwise."""
    decimals = {MINT: DECIMALS, OTHER_MINT: DECIMALS}
    return compose(
        request,
        from_address=from_address,
        unit_price=UNIT_PRICE,
        blockhash=BLOCKHASH,
        decimals=decimals,
        missing=paid_accounts(parts_of(request)) if missing is None else missing,
    )


def check(
    message: bytes, request: Request, *, from_address: str = AGENT, rent: int = RENT_LAMPORTS
) -> None:
    chain = SolanaChain("http://127.0.0.1:1", network=NetworkType.LOCALNET, clock=SystemClock())
    chain.check(message, request, from_address=from_address, rent=rent)


def theirs(request: Request) -> list[Instruction]:
    """Return the instructions as other libraries write them."""
    agent, mint, to = key(AGENT), key(MINT), key(RECIPIENT)
    source = spl.get_associated_token_address(agent, mint)
    target = spl.get_associated_token_address(to, mint)
    match request:
        case Transfer():
            return [transfer(TransferParams(from_pubkey=agent, to_pubkey=to, lamports=5))]
        case TokenTransfer():
            sent = models.TransferCheckedParams(
                program_id=TOKENS,
                source=source,
                mint=mint,
                dest=target,
                owner=agent,
                amount=5,
                decimals=DECIMALS,
            )
            return [
                spl.create_idempotent_associated_token_account(agent, to, mint),
                spl.transfer_checked(sent),
            ]
        case Approve():
            params = models.ApproveCheckedParams(
                program_id=TOKENS,
                source=source,
                mint=mint,
                delegate=to,
                owner=agent,
                amount=5,
                decimals=DECIMALS,
            )
            return [spl.approve_checked(params)]
        case ContractCall():
            accounts = [meta(AGENT, signs=True), meta(STATE)]
            return [Instruction(key(PROGRAM), b"\1data", accounts)]
        case Batch(parts):
            return [instruction for part in parts for instruction in theirs(part)]


def compiled(
    instructions: list[Instruction], *, units: int, payer: str = AGENT, price: int = UNIT_PRICE
) -> bytes:
    budget = [set_compute_unit_limit(units), set_compute_unit_price(price)]
    message = MessageV0.try_compile(
        key(payer), [*budget, *instructions], [], Hash.from_string(BLOCKHASH)
    )
    return to_bytes_versioned(message)


UNITS = [600, 100_450, 20_450, 200_450, 320_750]


@pytest.mark.parametrize(("request_", "units"), list(zip(KINDS, UNITS, strict=True)))
def test_every_kind_is_composed_of_the_instructions_that_other_libraries_write(
    request_: Request, units: int
) -> None:
    assert composed(request_) == compiled(theirs(request_), units=units)


@pytest.mark.parametrize("request_", KINDS)
def test_what_was_asked_for_may_be_signed(request_: Request) -> None:
    check(composed(request_), request_)


@pytest.mark.parametrize("asked", KINDS)
@pytest.mark.parametrize(
    "said",
    [
        *KINDS,
        replace(TRANSFER, to_address=STRANGER),
        replace(TRANSFER, base_units=6),
        replace(TOKENS_SENT, to_address=STRANGER),
        replace(TOKENS_SENT, base_units=6),
        replace(TOKENS_SENT, token_address=OTHER_MINT),
        replace(APPROVAL, spender_address=STRANGER),
        replace(APPROVAL, base_units=2**64 - 1),
        replace(APPROVAL, token_address=OTHER_MINT),
        replace(CALL, contract_address=STRANGER),
        replace(CALL, data=b"\2data"),
        replace(CALL, accounts=CALL.accounts[:1]),
        replace(CALL, accounts=CALL.accounts[::-1]),
        replace(CALL, accounts=(AGENT_GIVEN, given_account(STATE, writes=False))),
        replace(CALL, accounts=(AGENT_GIVEN, given_account(STRANGER))),
        Batch((*BATCH.parts, TRANSFER)),
        Batch(BATCH.parts[:-1]),
        Batch(BATCH.parts[::-1]),
    ],
)
def test_a_message_that_says_anything_else_is_refused(said: Request, asked: Request) -> None:
    if said == asked:
        return
    with pytest.raises(ValueError, match="the message"):
        check(composed(said), asked)


EXTRA = transfer(TransferParams(from_pubkey=key(AGENT), to_pubkey=key(STRANGER), lamports=1))


@pytest.mark.parametrize(("request_", "units"), list(zip(KINDS, UNITS, strict=True)))
def test_a_message_with_one_thing_more_or_another_payer_or_signer_is_refused(
    request_: Request, units: int
) -> None:
    asked = theirs(request_)
    signed_by_two = [*asked[:-1], _also_signed_by(asked[-1], STRANGER)]
    tampered = [
        compiled([*asked, EXTRA], units=units),
        compiled([EXTRA, *asked], units=units),
        compiled(asked[:-1], units=units),
        compiled(asked, units=units + 1),
        compiled(asked, units=units, price=2**32),
        compiled(asked, units=units, payer=STRANGER),
        compiled(signed_by_two, units=units),
    ]
    for message in tampered:
        with pytest.raises(ValueError, match="message"):
            check(message, request_)
    check(compiled(asked, units=units), request_)  # the control: only the changes are refused


def _also_signed_by(instruction: Instruction, address: str) -> Instruction:
    accounts = [*instruction.accounts, meta(address, signs=True, writes=False)]
    return Instruction(instruction.program_id, instruction.data, accounts)


@given(st.data())
def test_a_batch_changed_in_any_byte_is_another_message_or_another_blockhash_or_price(
    data: st.DataObject,
) -> None:
    honest = composed(BATCH)
    message = bytearray(honest)
    where = data.draw(st.integers(0, len(message) - 1))
    message[where] ^= data.draw(st.integers(1, 255))
    try:
        check(bytes(message), BATCH)
    except ValueError:
        return
    harmless = honest.index(key(BLOCKHASH).__bytes__()), honest.index(b"\3" + _u64(UNIT_PRICE))
    # The chain itself holds decimals against the mint's.
    decimals = [at for at in range(len(honest)) if honest[: at + 1].endswith(_u64(5) + b"\6")]
    assert where in {
        *range(harmless[0], harmless[0] + 32),
        *range(harmless[1], harmless[1] + 9),
    } | {*decimals}


def _u64(number: int) -> bytes:
    return number.to_bytes(8, "little")


def rebuilt(
    *, extra: list[str] | None = None, instructions: slice = slice(None), readonly: int = 2
) -> bytes:
    """Return the message of a payment with other accounts or fewer instructions."""
    honest = MessageV0.from_bytes(composed(TRANSFER)[1:])
    keys = [*honest.account_keys, *map(key, extra or [])]
    kept = honest.instructions[instructions]
    used = {0, *(index for each in kept for index in (each.program_id_index, *each.accounts))}
    if not kept:
        keys = keys[: len(used)]
    header = MessageHeader(1, 0, readonly)
    return to_bytes_versioned(MessageV0(header, keys, honest.recent_blockhash, kept, []))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (bytes(1168), "at most 1167 bytes"),
        (rebuilt(extra=[STRANGER], readonly=3), "an account that nothing uses"),
        (rebuilt(instructions=slice(0, 0), readonly=0), "lacks its compute-unit limit"),
        (rebuilt(readonly=4), "contradicts itself"),
    ],
)
def test_what_this_program_never_composes_is_not_read(message: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check(message, TRANSFER)


def test_control_a_payment_that_was_only_taken_apart_is_read() -> None:
    check(rebuilt(), TRANSFER)


# ── recipients' accounts ───────────────────────────────────────────────────────────────────────

HIS, OTHER = TokenAccount(RECIPIENT, MINT), TokenAccount(STRANGER, MINT)
AGAIN = Batch(
    (TOKENS_SENT, replace(TOKENS_SENT, base_units=6), replace(TOKENS_SENT, to_address=STRANGER))
)
"""Three payments to two accounts."""


@pytest.mark.parametrize(
    ("request_", "missing"),
    [(TOKENS_SENT, [HIS]), (AGAIN, [HIS]), (AGAIN, [OTHER]), (AGAIN, [HIS, OTHER]), (AGAIN, [])],
)
def test_accounts_are_made_as_far_as_rent_is_set_aside_and_no_further(
    request_: Request, missing: list[TokenAccount]
) -> None:
    message = composed(request_, missing=missing)
    check(message, request_, rent=len(missing) * RENT_LAMPORTS)
    for rent in (len(missing) * RENT_LAMPORTS - 1, -1):
        with pytest.raises(ValueError, match="more accounts than rent"):
            check(message, request_, rent=rent)


def test_each_account_is_made_once_for_the_first_that_is_paid_to_it() -> None:
    first, *others = theirs(TOKENS_SENT)
    twice = Batch((TOKENS_SENT, TOKENS_SENT))
    units = 200_450
    assert composed(twice) == compiled([first, *others, *others], units=units)
    for wrong in (
        [first, *others, first, *others],
        [first, first, *others, *others],
        [*others, *others, first],
    ):
        with pytest.raises(ValueError, match="the message is not what was asked for"):
            check(compiled(wrong, units=units), twice, rent=9 * RENT_LAMPORTS)
    # Whichever of the two it precedes, it is paid for once.
    check(compiled([*others, first, *others], units=units), twice, rent=RENT_LAMPORTS)


@pytest.mark.parametrize("wallet", [STRANGER, AGENT])
def test_no_account_is_made_but_the_one_that_is_paid_to(wallet: str) -> None:
    _, *others = theirs(TOKENS_SENT)
    other = spl.create_idempotent_associated_token_account(key(AGENT), key(wallet), key(MINT))
    with pytest.raises(ValueError, match="the message is not what was asked for"):
        check(compiled([other, *others], units=100_450), TOKENS_SENT)
    with pytest.raises(ValueError, match="the message is not what was asked for"):
        check(compiled([other], units=600), TRANSFER)
