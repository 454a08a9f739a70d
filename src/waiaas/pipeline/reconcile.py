"""Comparing a restored ledger with the chain, which ends in taking its mark off.

What the lost ledger paid after the backup was made is on the chain, or will be within the life of
a blockhash. So each agent's finalized history is read back to what the ledger knows, from a block
behind which nothing that was signed before the restore can land. What left with a transaction that
the ledger does not know is recorded and counts against the limits from now on: later than it was
paid, so no window forgets it too early.

What waits in the restored ledger may be what was paid in the lost time, under other bytes or these:
it is called off. Sessions that the lost ledger had revoked are alive in this one: all are revoked.
An agent that was terminated since the restore is compared like any other: what it paid is found.
One on a chain for which there is no adapter has nothing to compare: nothing is signed there.
While the clock is in doubt nothing is recorded: what is dated too early is forgotten too early.
Which Idempotency-Keys were admitted in the lost time nobody can know, so a person looks at what was
found, says how many there are, and only then is the mark taken off, in one commit with all of this.
A comparison that was cut off is begun again: each movement is recorded once.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waiaas.domain.assets import CHAINS_WITH_ADAPTER, Network, why_unreachable
from waiaas.domain.audit import OPERATOR, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.records import AgentRecord, ForeignMovement
from waiaas.domain.transaction import AttemptState
from waiaas.pipeline.agent_life import begin_termination, found
from waiaas.pipeline.clock_guard import refusal_in_doubt
from waiaas.pipeline.end import live_transactions
from waiaas.pipeline.record import ledger_time, remember
from waiaas.pipeline.restored import (
    horizon_of,
    restored_at,
    set_horizon,
    take_mark_off,
    uncompared_since,
)
from waiaas.pipeline.stop import Stop, call_off, revoke_sessions
from waiaas.ports import (
    Chain,
    Chains,
    ChainUnavailable,
    GuardedClock,
    Ledger,
    LedgerTransaction,
    Movement,
)

PAGES_MAX: Final = 20
"""Of one agent's history in one comparison: strangers can make it long, by sending dust."""

_CALLED_OFF: Final = (
    f"{ErrorCode.LEDGER_RESTORED}: it may have been made between backup and restore; look at the"
    " movements that reconciliation found before you ask for it again"
)


class Known(StrEnum):
    """What the ledger knows of a transaction on the chain."""

    NOTHING = "NOTHING"
    SOMETHING = "SOMETHING"
    """It is recorded: as an attempt that landed or may land, or as a movement found before."""
    SETTLED = "SETTLED"
    """It had landed before the backup was made, and so had everything that is older."""


class Unreadable(Exception):  # noqa: N818 -- a state of the world, named as one
    """An agent's history could not be read to its end."""


@dataclass(frozen=True, slots=True)
class Unread:
    """An agent whose history is not known, and why; for a person."""

    agent_id: AgentId
    reason: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How it stands with a restored ledger."""

    is_reconciled: bool
    """Whether it may pay."""
    movements: tuple[ForeignMovement, ...] = ()
    """All that was found since the restore."""
    blocks_left: int = 0
    """How many have to become final before nothing old can land any more."""
    unread: tuple[Unread, ...] = ()
    transactions_cancelled: int = 0
    sessions_revoked: int = 0

    @property
    def transaction_count(self) -> int:
        """How many transactions the movements are of; one may move several assets."""
        return len({(each.agent_id, each.tx_hash) for each in self.movements})


def known(tx: LedgerTransaction, agent_id: AgentId, tx_hash: str, *, since_s: int) -> Known:
    """Say what the ledger knows of a transaction that did not fail."""
    attempt = tx.attempts.by_hash(tx_hash)
    if attempt is None or attempt.agent_id != agent_id:
        is_found = tx.movements.has(agent_id, tx_hash=tx_hash)
        return Known.SOMETHING if is_found else Known.NOTHING
    if attempt.state in {AttemptState.SIGNED, AttemptState.SENT}:
        return Known.SOMETHING
    if attempt.state is not AttemptState.LANDED:
        # The ledger was told that it never would, or had failed, and has freed its money.
        is_found = tx.movements.has(agent_id, tx_hash=tx_hash)
        return Known.SOMETHING if is_found else Known.NOTHING
    transaction = tx.transactions.get(attempt.tx_id)
    assert transaction is not None, "transactions are never deleted"
    at_s = transaction.executed_at
    return Known.SETTLED if at_s is not None and at_s < since_s else Known.SOMETHING


@dataclass(frozen=True, slots=True)
class Reconciler:
    """Compares, for an operator at one address."""

    ledger: Ledger
    chains: Chains
    clock: GuardedClock
    ip_address: str | None

    async def reconcile(
        self, *, accepted: int | None, without: Collection[AgentId]
    ) -> Reconciliation:
        """Compare, record what is found, and take the mark off if nothing stands against it.

        Args:
            accepted: how many transactions a person has seen among the movements; the mark comes
                off only if these are all.
            without: agents that are not compared; they are terminated with the mark.

        Raises:
            Refusal: AGENT_NOT_FOUND, AGENT_NOT_ACTIVE, CLOCK_IN_DOUBT.
        """
        restored_s, since_s, agents = self.ledger.read(lambda tx: _begin(tx, without))
        if restored_s is None:
            return Reconciliation(is_reconciled=True)
        assert since_s is not None, "it is the restore itself, or one before it"
        unread, blocks_left = list[Unread](), 0
        silent = (agent.id for agent in agents if agent.chain not in CHAINS_WITH_ADAPTER)
        compared = {*without, *silent}
        for agent in agents:
            if agent.id in compared:
                continue
            try:
                left = await self._compare(agent, since_s)
            except (ChainUnavailable, Unreadable) as error:
                unread.append(Unread(agent.id, str(error)))
            else:
                blocks_left = max(blocks_left, left)
                compared.add(agent.id)
        wall_s = self._believed_s()

        def unit(tx: LedgerTransaction) -> Reconciliation:
            if restored_at(tx) != restored_s:
                return Reconciliation(is_reconciled=restored_at(tx) is None)
            movements = tuple(tx.movements.counted_since(since_s))
            newcomers = [each.id for each in _agents(tx) if each.id not in compared]
            compared_so_far = Reconciliation(
                is_reconciled=False,
                movements=movements,
                blocks_left=blocks_left,
                unread=tuple(unread),
            )
            if newcomers or blocks_left or accepted != compared_so_far.transaction_count:
                return compared_so_far
            now_s = ledger_time(tx, wall_s=wall_s)
            return self._finish(tx, compared_so_far, without, now_s=now_s)

        return await self.ledger.write_async(unit)

    async def _compare(self, agent: AgentRecord, since_s: int) -> int:
        """Record what left one agent; return how many blocks are missing behind what was read.

        Raises:
            ChainUnavailable, Unreadable: it could not be read to its end.
        """
        chain = self.chains.get(agent.lives_on)
        if chain is None:
            raise Unreadable(
                f"{why_unreachable(agent.lives_on)}: configure one, or leave the agent out with"
                " --without-agent, which terminates it"
            )
        horizon = await self._horizon(agent.lives_on, chain)
        page = await chain.history(agent.public_key, before=None)
        height = page.height
        for _ in range(PAGES_MAX):
            for tx_hash in page.tx_hashes:
                state = self._known(agent.id, tx_hash, since_s)
                if state is Known.SETTLED:
                    return max(horizon - height, 0)
                if state is Known.NOTHING:
                    movement = await chain.movement(tx_hash, address=agent.public_key)
                    if movement is not None:
                        await self._record(agent.id, movement)
            if page.earlier is None:
                if height >= horizon:  # Before, what the ledger knows may not be final.
                    self._require_beginning(agent.id, since_s)
                return max(horizon - height, 0)
            page = await chain.history(agent.public_key, before=page.earlier)
        raise Unreadable(f"the agent's history since the backup has more than {PAGES_MAX} pages")

    def _believed_s(self) -> int:
        """Return the wall clock's time.

        Raises:
            Refusal: CLOCK_IN_DOUBT.
        """
        doubt = self.clock.doubt()
        if doubt is not None:
            raise refusal_in_doubt(doubt)
        return self.clock.now_s()

    def _known(self, agent_id: AgentId, tx_hash: str, since_s: int) -> Known:
        return self.ledger.read(lambda tx: known(tx, agent_id, tx_hash, since_s=since_s))

    def _require_beginning(self, agent_id: AgentId, since_s: int) -> None:
        """Return if the ledger knows of nothing that the history should have led back to."""
        if self.ledger.read(lambda tx: tx.transactions.has_confirmed(agent_id, before_s=since_s)):
            raise Unreadable(
                "the node's history does not reach back to what the ledger knows: ask one that"
                " keeps more, or leave the agent out with --without-agent, which terminates it"
            )

    async def _horizon(self, network: Network, chain: Chain) -> int:
        """Return the last block in which what was signed before the restore can land.

        The first answer counts. A lower one later counts, too: blocks only become more, so an
        honest later answer corrects a first one that was too high to ever be reached.
        """
        stored = self.ledger.read(lambda tx: horizon_of(tx, network))
        horizon = await chain.horizon()
        if stored is not None and stored <= horizon:
            return stored
        wall_s = self._believed_s()

        def unit(tx: LedgerTransaction) -> None:
            now_s = ledger_time(tx, wall_s=wall_s)
            set_horizon(tx, network, height=horizon, now_s=now_s)

        await self.ledger.write_async(unit)
        return horizon

    async def _record(self, agent_id: AgentId, movement: Movement) -> None:
        """Write down what left with one transaction, once, with an audit row for each asset."""
        wall_s = self._believed_s()

        def unit(tx: LedgerTransaction) -> None:
            if tx.movements.has(agent_id, tx_hash=movement.tx_hash):
                return
            now_s = ledger_time(tx, wall_s=wall_s)
            for asset, amount in movement.outflows.items():
                tx.movements.insert(
                    ForeignMovement(
                        *(agent_id, movement.tx_hash, asset, str(amount)),
                        landed_at=movement.landed_at,
                        counted_at=now_s,
                    )
                )
                details = {"txHash": movement.tx_hash, "asset": asset, "amount": str(amount)}
                event = AuditEvent(
                    AuditAction.FOREIGN_MOVEMENT_FOUND,
                    OPERATOR,
                    agent_id=agent_id,
                    details=details,
                    ip_address=self.ip_address,
                )
                remember(tx, event, now_s=now_s)

        await self.ledger.write_async(unit)

    def _finish(
        self,
        tx: LedgerTransaction,
        compared: Reconciliation,
        without: Collection[AgentId],
        *,
        now_s: int,
    ) -> Reconciliation:
        """Take the mark off, and call off and revoke whatever may not live on without it."""
        take_mark_off(tx, now_s=now_s)
        stop = Stop(now_s, _CALLED_OFF, self.ip_address)
        revoked = cancelled = terminated = 0
        for agent in _agents(tx):
            revoked += revoke_sessions(tx, agent.id, stop)
            cancelled += call_off(tx, live_transactions(tx, agent.id), stop)
            terminated += agent.id in without and begin_termination(tx, agent, stop)
        event = AuditEvent(
            AuditAction.LEDGER_RECONCILED,
            OPERATOR,
            details={
                "movements": compared.transaction_count,
                "transactionsCancelled": cancelled,
                "sessionsRevoked": revoked,
                "agentsTerminated": terminated,
            },
            ip_address=self.ip_address,
        )
        remember(tx, event, now_s=now_s)
        return Reconciliation(
            is_reconciled=True,
            movements=compared.movements,
            transactions_cancelled=cancelled,
            sessions_revoked=revoked,
        )


def _begin(
    tx: LedgerTransaction, without: Collection[AgentId]
) -> tuple[int | None, int | None, list[AgentRecord]]:
    """Return when the ledger was restored, since when, and whose history is to be compared."""
    for agent_id in without:
        if found(tx, agent_id).status is AgentStatus.CREATING:
            raise Refusal(ErrorCode.AGENT_NOT_ACTIVE, "an agent that is CREATING is not terminated")
    return restored_at(tx), uncompared_since(tx), _agents(tx)


def _agents(tx: LedgerTransaction) -> list[AgentRecord]:
    """Return all agents for whom anything can have been signed in the lost time."""
    alive = [
        agent
        for status in AgentStatus
        if status is not AgentStatus.TERMINATED
        for agent in tx.agents.with_status(status)
    ]
    since_s = uncompared_since(tx)
    return alive if since_s is None else [*alive, *tx.agents.terminated_since(since_s)]
