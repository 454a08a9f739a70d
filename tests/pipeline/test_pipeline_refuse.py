"""A refusal inside a transaction is written down, and then raised."""

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.pipeline.refuse import audit_refusal, unless_refused
from waiaas.ports import LedgerTransaction

if TYPE_CHECKING:
    from tests.pipeline.conftest import Office

NOW_S = 1_700_000_000
REFUSAL = Refusal(ErrorCode.AGENT_NOT_ACTIVE, "no")


def refuse(tx: LedgerTransaction) -> Refusal:
    return audit_refusal(tx, REFUSAL, operation="try", now_s=NOW_S, ip_address="127.0.0.1")


def test_a_refusal_is_raised_once_its_row_is_durable(office: "Office") -> None:
    with pytest.raises(Refusal) as refused:
        asyncio.run(unless_refused(office.ledger, refuse))
    assert refused.value is REFUSAL
    (row,) = office.rows("audit_log")
    assert (row.event_type, row.actor, row.ip_address) == (
        "OPERATION_REFUSED",
        "operator",
        "127.0.0.1",
    )
    assert json.loads(row.details) == {"operation": "try", "code": "AGENT_NOT_ACTIVE"}


def test_what_is_not_refused_is_returned(office: "Office") -> None:
    assert asyncio.run(unless_refused(office.ledger, lambda _: 7)) == 7


def test_control_a_refusal_that_is_raised_inside_undoes_its_own_row(office: "Office") -> None:
    def naive(tx: LedgerTransaction) -> None:
        raise refuse(tx)

    with pytest.raises(Refusal):
        asyncio.run(office.ledger.write_async(naive))
    assert office.rows("audit_log") == []
