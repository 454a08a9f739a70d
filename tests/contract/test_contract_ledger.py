"""What the pipeline relies on of a ledger, asked of the one in memory and of the real one alike.

The tables are the same code on both; `tests/ledger` asks more, of the real one.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.ledger import MemoryLedger

from waiaas.database import open_ledger
from waiaas.database.errors import ConstraintViolated, DatabaseError, ValueRefused
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AuditAction
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.ports import LedgerTransaction


@pytest.fixture(params=["memory", "file"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with MemoryLedger() if request.param == "memory" else open_ledger(tmp_path / "data") as opened:
        yield opened


def put(tx: LedgerTransaction, value: str = "value") -> str:
    tx.key_values.put("key", value, now_s=1)
    return value


def read(ledger: Any) -> str | None:
    found: str | None = ledger.read(lambda tx: tx.key_values.get("key"))
    return found


def test_what_a_unit_returns_comes_back_and_what_it_wrote_is_read(ledger: Any) -> None:
    assert ledger.write(put) == "value"
    assert read(ledger) == "value"
    assert asyncio.run(ledger.write_async(lambda tx: put(tx, "later"))) == "later"
    assert read(ledger) == "later"


def test_a_unit_that_raises_leaves_nothing_and_the_next_one_works(ledger: Any) -> None:
    def unit(tx: LedgerTransaction) -> None:
        put(tx)
        raise LookupError

    with pytest.raises(LookupError):
        ledger.write(unit)
    assert read(ledger) is None
    assert ledger.write(put) == "value"


def test_a_refused_row_undoes_its_whole_unit(ledger: Any) -> None:
    def hold(tx: LedgerTransaction, amount: str) -> None:
        put(tx)
        tx.reservations.hold(
            TransactionId("no-such"), agent_id=AgentId("no-such"), asset="a", amount=amount, now_s=1
        )

    with pytest.raises(ValueRefused):
        ledger.write(lambda tx: hold(tx, "01"))
    with pytest.raises(ConstraintViolated):
        ledger.write(lambda tx: hold(tx, "1"))
    assert read(ledger) is None


def test_a_query_cannot_write(ledger: Any) -> None:
    with pytest.raises(DatabaseError):
        ledger.read(put)
    assert read(ledger) is None


def test_a_transaction_that_was_kept_is_of_no_use(ledger: Any) -> None:
    kept: list[LedgerTransaction] = []
    ledger.read(kept.append)
    ledger.write(kept.append)
    for tx in kept:
        with pytest.raises(DatabaseError):
            tx.key_values.get("key")
        with pytest.raises(DatabaseError):
            put(tx)
    assert read(ledger) is None


def test_a_unit_uses_its_transaction_and_not_the_ledger(ledger: Any) -> None:
    with pytest.raises(DatabaseError):
        ledger.write(lambda _tx: ledger.write(put))
    with pytest.raises(DatabaseError):
        ledger.read(lambda _tx: read(ledger))
    assert read(ledger) is None


def test_what_cannot_run_in_a_transaction_is_refused(ledger: Any) -> None:
    async def unit(tx: LedgerTransaction) -> None:
        put(tx)

    with pytest.raises(DatabaseError, match="plain function"):
        ledger.write(unit)
    assert read(ledger) is None


def test_the_audit_log_only_grows(ledger: Any) -> None:
    for second in (5, 7):
        event = AuditEvent(AuditAction.LEDGER_FULL, OPERATOR)
        ledger.write(lambda tx, event=event, second=second: tx.audit.append(event, now_s=second))
    assert ledger.read(lambda tx: tx.audit.latest_timestamp()) == 7
