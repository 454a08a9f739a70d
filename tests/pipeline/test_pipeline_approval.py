"""An owner's approval ends with what it was given for: policies and owner, until the signature."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from waiaas.domain.enums import TransactionStatus
from waiaas.domain.owner import NO_OWNER, Challenge, Owner, OwnerAction
from waiaas.pipeline.approval import approval_lapsed
from waiaas.pipeline.decide import Decider, let_go
from waiaas.policy.version import policy_version

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.pipeline.conftest import Office, Site

NOW_S = 1_700_000_000
ADDRESS = "So11111111111111111111111111111111111111112"
LIMITS = {"instant_max": 0, "approval_timeout": 3600}
OTHER_RULES = '{"asset":"native","instant_max":"1"}'


def approved(office: "Office", caller: Any, *, by_owner: bool = True) -> Any:
    """Return a payment that was approved, as the owner's signature does it or the operator."""
    owner = Owner(ADDRESS, is_verified=True)
    transaction = office.ask_now(caller, to=office.new_address()).transaction

    def unit(tx: Any) -> None:
        assert tx.owners.compare_and_set(caller.agent_id, old=NO_OWNER, new=owner, now_s=NOW_S)
        by = Decider(None, None, None, owner_address=ADDRESS if by_owner else None)
        if by_owner:
            version = policy_version(tx.policies.applying_to(caller.agent_id))
            challenge = Challenge(
                nonce="0" * 32,
                action=OwnerAction.APPROVE,
                agent_id=caller.agent_id,
                tx_id=transaction.id,
                owner_address=ADDRESS,
                policy_version=version,
                audit_sequence=0,
                audit_hash="0" * 64,
                message="text",
                created_at=NOW_S,
                expires_at=NOW_S + 900,
                used_at=NOW_S,
                refusals="{}",
            )
            tx.challenges.insert(challenge)
        assert let_go(tx, transaction, by, now_s=NOW_S) is None

    office.ledger.write(unit)
    return transaction


def change_policies(office: "Office", caller: Any) -> None:
    office.set_policy(caller.agent_id, OTHER_RULES)


def remove_owner(office: "Office", caller: Any) -> None:
    owner = Owner(ADDRESS, is_verified=True)
    assert office.ledger.write(
        lambda tx: tx.owners.compare_and_set(caller.agent_id, old=owner, new=NO_OWNER, now_s=NOW_S)
    )


CHANGES = [change_policies, remove_owner]


def lapsed(office: "Office", transaction: Any) -> bool:
    current = office.transaction(transaction.id)
    return office.ledger.read(lambda tx: approval_lapsed(tx, current))


@pytest.mark.parametrize("change", CHANGES)
def test_an_approval_holds_until_policies_or_owner_change(
    change: "Callable[[Any, Any], None]", office: "Office"
) -> None:
    caller = office.hire(limits=LIMITS)
    transaction = approved(office, caller)
    assert not lapsed(office, transaction)
    change(office, caller)
    assert lapsed(office, transaction)


def test_the_operators_approval_is_bound_to_neither(office: "Office") -> None:
    caller = office.hire(limits=LIMITS)
    transaction = approved(office, caller, by_owner=False)
    change_policies(office, caller)
    remove_owner(office, caller)
    assert not lapsed(office, transaction)


def test_what_needed_no_approval_has_none_to_lapse(office: "Office") -> None:
    assert not lapsed(office, office.ask_now(office.hire()).transaction)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("steps", [0, 1])
def test_what_lapsed_before_the_signature_is_cancelled_and_never_signed(
    steps: int, change: "Callable[[Any, Any], None]", site: "Site"
) -> None:
    caller = site.hire(limits=LIMITS)
    transaction = approved(site.office, caller)

    async def scenario() -> list[str]:
        async with site.shift() as shift:
            for _ in range(steps):
                await shift.step(transaction.id)  # its payload is recorded
            change(site.office, caller)
            await shift.finish(transaction.id)
            return shift.tap.calls

    assert "sign" not in asyncio.run(scenario())
    ended = site.office.transaction(transaction.id)
    assert ended.status is TransactionStatus.CANCELLED
    assert str(ended.error).startswith("CHALLENGE_STALE: ")
    assert site.balance(transaction.to_address) == 0


def test_control_an_approval_that_nothing_touched_is_carried_out(site: "Site") -> None:
    transaction = approved(site.office, site.hire(limits=LIMITS))

    async def scenario() -> None:
        async with site.shift() as shift:
            await shift.finish(transaction.id)

    asyncio.run(scenario())
    ended = site.office.transaction(transaction.id)
    assert ended.status is TransactionStatus.CONFIRMED
    assert not lapsed(site.office, ended)
