"""What was asked for: the text counts, and the columns have to agree with it."""

from typing import Any

import pytest
from tests.fakes.payments import payment_row

from waiaas.domain.addresses import solana_address
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import AcceptedRequest, TransactionRecord
from waiaas.domain.request import (
    Approve,
    Batch,
    ContractCall,
    Request,
    TokenTransfer,
    Transfer,
)
from waiaas.pipeline.asked import Columns, Tampered, asked, columns_of, digest, write

A, B, C = (solana_address(bytes([n]) * 32) for n in (1, 2, 3))
TRANSFER, SENT = Transfer(A, 5), TokenTransfer(C, A, 6)
APPROVAL, CALL = Approve(C, B, 7), ContractCall(B, b"0123456789", 8)
BATCH = Batch((TRANSFER, SENT, APPROVAL, CALL))

COLUMNS: dict[Request, dict[str, str]] = {
    TRANSFER: {"amount": "5", "to_address": A},
    SENT: {"amount": "6", "to_address": A, "token_mint": C},
    APPROVAL: {"token_mint": C, "spender_address": B, "approved_amount": "7"},
    CALL: {"amount": "8", "contract_address": B, "method_signature": "0x3031323334353637"},
    BATCH: {},
}


def stored(request: Request) -> tuple[TransactionRecord, AcceptedRequest]:
    text, sha256 = write(request)
    agent_id, tx_id = AgentId("agent"), TransactionId("tx")
    transaction = payment_row(tx_id, agent_id, type=request.type, **columns_of(request)._asdict())
    return transaction, AcceptedRequest(tx_id, agent_id, None, text, sha256, None, None, 1)


@pytest.mark.parametrize("request_", COLUMNS)
def test_the_columns_of_every_kind_say_what_it_is_about(request_: Request) -> None:
    assert columns_of(request_) == Columns(**COLUMNS[request_])


@pytest.mark.parametrize("request_", COLUMNS)
def test_a_request_comes_back_from_the_ledger_as_it_was_accepted(request_: Request) -> None:
    assert asked(*stored(request_)) == request_


@pytest.mark.parametrize("request_", COLUMNS)
def test_a_text_that_was_changed_is_noticed_even_with_its_hash(request_: Request) -> None:
    transaction, accepted = stored(request_)
    for text in (accepted.request + " ", accepted.request.replace(A, C), "{}"):
        if text == accepted.request:
            continue
        changed = accepted._replace(request=text, request_sha256=digest(text))
        if request_ == BATCH and text != "{}" and not text.endswith(" "):
            assert asked(transaction, changed) != request_  # a batch's columns say nothing
            changed = accepted._replace(request=text)  # but its hash does
        with pytest.raises(Tampered):
            asked(transaction, changed)


@pytest.mark.parametrize(
    "changes", [{name: "1"} for name in Columns._fields] + [{"type": BATCH.type}]
)
def test_a_row_that_was_changed_is_noticed(changes: dict[str, Any]) -> None:
    transaction, accepted = stored(TRANSFER)
    with pytest.raises(Tampered, match="contradicts itself"):
        asked(transaction._replace(**changes), accepted)
