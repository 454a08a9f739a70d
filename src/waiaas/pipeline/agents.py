"""Making an agent: a row and a key that can never exist without each other being known.

The row is committed as CREATING with its address before the key file is written, and becomes
ACTIVE after the file was read back. Whatever a crash leaves half made, the next start ends.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from waiaas.domain.audit import OPERATOR, SYSTEM, AuditEvent
from waiaas.domain.enums import AgentStatus, AuditAction, ChainType, KeyFormat, NetworkType
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import AgentId
from waiaas.domain.profile import Profile
from waiaas.domain.records import AgentRecord
from waiaas.pipeline.agent_life import found
from waiaas.pipeline.kill_switch import suspend_newcomer, write_while_off
from waiaas.pipeline.policies import insert_profile
from waiaas.pipeline.record import LostRace, ledger_time, remember
from waiaas.ports import Clock, GenerateId, KeyMaker, Keystore, Ledger, LedgerTransaction, Value

_OPERATION: Final = "create agent"


async def create_agent(
    name: str,
    *,
    chain: ChainType,
    network: NetworkType,
    profile: Profile | None,
    ip_address: str | None,
    ledger: Ledger,
    keystore: KeyMaker,
    clock: Clock,
    generate_id: GenerateId,
    imported_from: KeyFormat | None = None,
) -> AgentRecord:
    """Make an agent with a new key and the rules of a profile, if one is given; return it ACTIVE.

    Without rules it may spend nothing. *imported_from* tells how the key was written down, if it
    is not new.

    Raises:
        Refusal: VALIDATION_FAILED for the name, KILL_SWITCH_ACTIVE.
    """
    if not name.strip():
        raise Refusal(
            ErrorCode.VALIDATION_FAILED, "`name` is only spaces", details={"field": "name"}
        )
    wall_s = clock.now_s()

    async def write(unit: Callable[[LedgerTransaction], Value]) -> Value:
        return await write_while_off(
            unit,
            operation=_OPERATION,
            agent_id=None,
            ip_address=ip_address,
            ledger=ledger,
            wall_s=wall_s,
        )

    await write(lambda _: None)  # Before there is a key that nobody would clear away.
    agent_id = AgentId(generate_id())
    address = keystore.generate(agent_id, chain=chain, network=network)

    def insert(tx: LedgerTransaction) -> AgentRecord:
        now_s = ledger_time(tx, wall_s=wall_s)
        agent = AgentRecord(
            agent_id,
            name,
            chain,
            network,
            address,
            AgentStatus.CREATING,
            created_at=now_s,
            suspended_at=None,
            suspension_reason=None,
        )
        _record_creation(
            tx,
            agent,
            profile,
            imported_from=imported_from,
            ip_address=ip_address,
            generate_id=generate_id,
        )
        return agent

    agent = await write(insert)
    await asyncio.to_thread(keystore.store, agent_id)
    return await ledger.write_async(
        lambda tx: _leave_creating(tx, agent, AgentStatus.ACTIVE, wall_s=wall_s)
    )


def _record_creation(
    tx: LedgerTransaction,
    agent: AgentRecord,
    profile: Profile | None,
    *,
    imported_from: KeyFormat | None,
    ip_address: str | None,
    generate_id: GenerateId,
) -> None:
    tx.agents.insert(agent)
    details = {
        "name": agent.name,
        "chain": agent.chain,
        "network": agent.network,
        "address": agent.public_key,
        "profile": None if profile is None else profile.name,
    } | ({} if imported_from is None else {"importedFrom": imported_from})
    event = AuditEvent(
        AuditAction.AGENT_CREATED,
        OPERATOR,
        agent_id=agent.id,
        details=details,
        ip_address=ip_address,
    )
    remember(tx, event, now_s=agent.created_at)
    if profile is not None:
        insert_profile(
            tx,
            profile,
            agent.id,
            ip_address=ip_address,
            generate_id=generate_id,
            now_s=agent.created_at,
        )


def finish_creations(*, ledger: Ledger, keystore: Keystore, clock: Clock) -> list[AgentRecord]:
    """End every creation that a crash cut off; return those agents as they are now.

    One whose key file is there becomes ACTIVE; one whose key was lost with the process can never
    sign and becomes TERMINATED.
    """
    ended = []
    for agent in ledger.read(lambda tx: tx.agents.with_status(AgentStatus.CREATING)):
        has_key = keystore.holds(agent.id, public_key=agent.public_key)
        status = AgentStatus.ACTIVE if has_key else AgentStatus.TERMINATED
        ended.append(_end_creation(agent, status, ledger=ledger, wall_s=clock.now_s()))
    return ended


def _end_creation(
    agent: AgentRecord, status: AgentStatus, *, ledger: Ledger, wall_s: int
) -> AgentRecord:
    return ledger.write(lambda tx: _leave_creating(tx, agent, status, wall_s=wall_s))


def _leave_creating(
    tx: LedgerTransaction, agent: AgentRecord, status: AgentStatus, *, wall_s: int
) -> AgentRecord:
    now_s = ledger_time(tx, wall_s=wall_s)
    if not tx.agents.compare_and_set_status(
        agent.id, old=AgentStatus.CREATING, new=status, now_s=now_s
    ):
        raise LostRace(f"agent {agent.id} is not CREATING any more")
    active = status is AgentStatus.ACTIVE
    action = AuditAction.AGENT_ACTIVATED if active else AuditAction.AGENT_TERMINATED
    remember(tx, AuditEvent(action, SYSTEM, agent_id=agent.id), now_s=now_s)
    suspend_newcomer(tx, agent.id, now_s=now_s)
    return found(tx, agent.id)
