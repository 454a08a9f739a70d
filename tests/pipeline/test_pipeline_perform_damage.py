"""On a ledger that takes no writes nothing is admitted, signed or sent."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from waiaas.database.errors import LedgerDamaged
from waiaas.domain.enums import TransactionStatus
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.advance import Step

if TYPE_CHECKING:
    from tests.pipeline.conftest import Site


def damage(site: "Site") -> None:
    site.office.ledger.stop_writing(["page 3 is torn"])


@pytest.mark.parametrize("steps", [[], [Step.PREPARE]], ids=["admitted", "recorded"])
def test_on_a_damaged_ledger_nothing_is_signed_or_sent_and_nothing_moves(
    site: "Site", steps: list[Step]
) -> None:
    caller = site.hire()
    transaction = site.office.ask_now(caller).transaction

    async def main() -> list[str]:
        async with site.shift() as shift:
            for step in steps:
                assert await shift.step(transaction.id) is step
            before = site.office.counts()
            damage(site)
            shift.tap.calls.clear()
            await shift.work(lambda: len(shift.troubles) >= 3)
            assert site.office.counts() == before
            assert {type(trouble.error) for trouble in shift.troubles} == {LedgerDamaged}
            return shift.tap.calls

    calls = asyncio.run(main())
    assert "sign" not in calls
    assert "send" not in calls
    attempt = site.office.attempt(transaction.id)
    assert (attempt and attempt.state) == (AttemptState.RECORDED if steps else None)
    wanted = TransactionStatus.EXECUTING if steps else TransactionStatus.PENDING
    assert site.office.transaction(transaction.id).status is wanted


def test_on_a_damaged_ledger_nothing_is_admitted(site: "Site") -> None:
    caller = site.hire()
    damage(site)
    with pytest.raises(LedgerDamaged):
        site.office.ask_now(caller)
    assert site.office.rows("transactions") == []
