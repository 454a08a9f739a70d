"""The ledger: can it be read, is it whole, and what does it say that keeps payments from going out?

It is read once, in one snapshot (`read_ledger`); the checks are functions of what was read.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waiaas.backups.create import list_backups
from waiaas.backups.errors import BackupError
from waiaas.database.errors import DatabaseError
from waiaas.database.examination import Examined, describe_sqlite, examine
from waiaas.database.key_value import DAEMON_ID
from waiaas.database.ledger import LEDGER_NAME
from waiaas.database.writer import WAL_PAGES_ALARM
from waiaas.directory import BACKUPS_NAME, sentence
from waiaas.doctor.finding import SEE_FILES, Finding, Subject, fine, mend, note, unknown
from waiaas.domain.assets import CHAINS_WITH_ADAPTER
from waiaas.domain.clock import TOLERANCE_S
from waiaas.domain.enums import AgentStatus, ChainType, KillSwitchState
from waiaas.pipeline.own_keystore import KnownKeystore, known_keystore
from waiaas.pipeline.restored import restored_at
from waiaas.ports import LedgerTransaction
from waiaas.upkeep import CHECKED_AT

BACKUP_AGE_S_MAX: Final = 7 * 24 * 3600
"""Whoever keeps no newer one loses what an agent was given in a week."""

_PAGE_BYTES: Final = 4096
_HOUR_S: Final = 3600
_TOLD_MAX: Final = 10
_NOT_READ: Final = "the ledger could not be read"


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """One agent, as far as it is judged."""

    id: str
    name: str
    chain: ChainType
    public_key: str
    status: AgentStatus
    has_policy: bool

    @property
    def may_pay(self) -> bool:
        """Whether it may spend, as far as its state and its chain are concerned."""
        return self.status is AgentStatus.ACTIVE and self.chain in CHAINS_WITH_ADAPTER


@dataclass(frozen=True, slots=True)
class LedgerFacts:
    """What a ledger says of itself."""

    daemon_id: str | None
    last_s: int
    """The newest second that was recorded; 0: none was."""
    checked_s: int
    """When it was last checked fully, and nothing was found; 0: never."""
    restored_s: int | None
    keystore: KnownKeystore | None
    switch: KillSwitchState
    agents: tuple[AgentFacts, ...]


@dataclass(frozen=True, slots=True)
class LedgerRead:
    """What reading it came to: one of the two; or neither, where it is not to be opened."""

    examined: Examined[LedgerFacts] | None
    problem: str | None

    @property
    def facts(self) -> LedgerFacts | None:
        """Return what it says, if it can be believed."""
        return None if self.examined is None else self.examined.value


UNREAD: Final = LedgerRead(None, None)
"""Something else is in its place, or beside it."""


def read_ledger(directory: Path, *, is_in_use: bool) -> LedgerRead:
    """Read the ledger of a data directory."""
    try:
        return LedgerRead(examine(directory / LEDGER_NAME, _facts, is_in_use=is_in_use), None)
    except (DatabaseError, OSError) as error:
        return LedgerRead(None, sentence(error))


def _facts(tx: LedgerTransaction) -> LedgerFacts:
    agents = sorted(
        (each for status in AgentStatus for each in tx.agents.with_status(status)),
        key=lambda agent: agent.id,
    )
    return LedgerFacts(
        daemon_id=tx.key_values.get(DAEMON_ID),
        last_s=tx.audit.latest_timestamp(),
        checked_s=int(tx.key_values.get(CHECKED_AT) or 0),
        restored_s=restored_at(tx),
        keystore=known_keystore(tx),
        switch=tx.kill_switch.current().state,
        agents=tuple(
            AgentFacts(
                *(each.id, each.name, each.chain, each.public_key, each.status),
                has_policy=bool(tx.policies.applying_to(each.id)),
            )
            for each in agents
        ),
    )


# ── judged ─────────────────────────────────────────────────────────────────────────────────────


def check_sqlite() -> Finding:
    """Is the SQLite in use one that keeps what it is given?"""
    try:
        return fine(Subject.SQLITE, describe_sqlite())
    except DatabaseError as error:
        return mend(Subject.SQLITE, str(error), "Install the locked requirements: `make setup`.")


def check_ledger(read: LedgerRead) -> Finding:
    """Is it a ledger for this program?"""
    if read == UNREAD:
        return unknown(Subject.LEDGER, SEE_FILES)
    if read.examined is None:
        return mend(
            Subject.LEDGER,
            read.problem or _NOT_READ,
            "If it says nothing better: restore the newest backup, and keep these files.",
        )
    size, version = read.examined.size_bytes, read.examined.schema_version
    return fine(Subject.LEDGER, f"{size // 1024} KiB, schema {version}")


def check_content(read: LedgerRead, *, now_s: int) -> Iterator[Finding]:
    """Is it whole? Every page is read."""
    if read.examined is None:
        yield unknown(Subject.CONTENT, _NOT_READ)
        return
    damage, facts = read.examined.damage, read.facts
    checked_s = 0 if facts is None else facts.checked_s
    last = f"last checked fully {_ago(now_s - checked_s)}" if checked_s else "never checked fully"
    if damage is None:
        yield note(Subject.CONTENT, f"too large to be read while you wait; {last} by the daemon")
    elif not damage:
        yield fine(Subject.CONTENT, f"every page is in order; {last} by the daemon")
    for each in damage or ():
        yield mend(
            Subject.CONTENT, each, "Stop the daemon, keep these files, restore the newest backup."
        )


def check_chain(read: LedgerRead) -> Finding:
    """Is the audit log as it was written?"""
    chain = None if read.examined is None else read.examined.chain
    if chain is None:
        return unknown(Subject.CHAIN, "it was not read: see `waiaas audit verify`")
    if chain.fault is not None:
        return mend(
            Subject.CHAIN,
            f"it was tampered with: {chain.fault.explanation}",
            "Keep the directory as it is, and compare it with a backup: docs/audit-chain.md.",
        )
    return fine(Subject.CHAIN, f"{chain.rows} rows, head {chain.hash[:16]}…")


def check_wal(read: LedgerRead) -> Finding:
    """Does the log of what is not in the file yet stay short?"""
    if read.examined is None:
        return unknown(Subject.WAL, _NOT_READ)
    pages = read.examined.wal_bytes // _PAGE_BYTES
    if pages >= WAL_PAGES_ALARM:
        return mend(
            Subject.WAL,
            f"{pages} pages",
            "Something reads the ledger without an end: find it and stop it, or restart.",
        )
    return fine(Subject.WAL, f"{pages} pages")


def check_clock(read: LedgerRead, *, now_s: int, difference_s: int | None) -> Finding:
    """Does the clock show what it should?

    Args:
        read: the ledger; the clock cannot be behind what it has recorded.
        now_s: what the clock shows.
        difference_s: by how much it is ahead, by what the running daemon says.
    """
    if difference_s is not None:
        return mend(
            Subject.CLOCK,
            f"the daemon believes that the clock is {difference_s} s ahead: nothing is paid",
            "Set it right; or if it is right, the operator says so: `waiaas clock accept`.",
        )
    last_s = 0 if read.facts is None else read.facts.last_s
    if now_s < last_s - TOLERANCE_S:
        return mend(
            Subject.CLOCK,
            f"it is {last_s - now_s} s behind the newest row of the ledger",
            "Set the machine's clock right, best by a time server.",
        )
    return fine(Subject.CLOCK, "not behind the ledger")


def check_restored(read: LedgerRead) -> Finding:
    """Was the ledger restored, and not compared with the chain since?"""
    facts = read.facts
    if facts is None:
        return unknown(Subject.RESTORE, _NOT_READ)
    if facts.restored_s is not None:
        return mend(
            Subject.RESTORE,
            "the ledger was restored from a backup and pays nothing",
            "With a daemon at work, the operator compares it with the chain:"
            " `waiaas backup reconcile`.",
        )
    return fine(Subject.RESTORE, "nothing waits to be reconciled")


def check_kill_switch(read: LedgerRead) -> Finding:
    """Is the kill switch on?"""
    facts = read.facts
    if facts is None:
        return unknown(Subject.KILL_SWITCH, _NOT_READ)
    if facts.switch is not KillSwitchState.NORMAL:
        return mend(
            Subject.KILL_SWITCH,
            f"it is {facts.switch}: nothing is signed",
            "Once it is safe, the operator turns it off: `waiaas kill-switch off`.",
        )
    return fine(Subject.KILL_SWITCH, "off")


def check_agents(read: LedgerRead) -> Iterator[Finding]:
    """Is an agent in a state in which it cannot pay?"""
    if read.facts is None:
        yield unknown(Subject.AGENTS, _NOT_READ)
        return
    agents = read.facts.agents
    for each in _first(agents, AgentStatus.CREATING):
        yield mend(
            Subject.AGENTS,
            f"{_who(each)} is half made",
            "Restart the daemon: it ends what was begun.",
        )
    for each in _first(agents, AgentStatus.TERMINATING):
        yield note(Subject.AGENTS, f"{_who(each)} is ending: what it has signed is still watched")
    for each in _first(agents, AgentStatus.SUSPENDED):
        yield note(
            Subject.AGENTS,
            f"{_who(each)} is suspended; the operator lets it pay: `waiaas agent resume {each.id}`",
        )
    for each in _first(agents, AgentStatus.ACTIVE):
        if not each.may_pay:
            yield note(
                Subject.AGENTS,
                f"{_who(each)} has a key of {each.chain}, for which there is no adapter yet:"
                " it pays nothing",
            )
    can_pay = sum(each.may_pay for each in agents)
    yield fine(Subject.AGENTS, f"{can_pay} may pay, of {len(agents)} there ever were")


def check_policies(read: LedgerRead) -> Iterator[Finding]:
    """Is there an agent that may ask, and is allowed nothing?"""
    if read.facts is None:
        yield unknown(Subject.POLICIES, _NOT_READ)
        return
    without = [each for each in read.facts.agents if each.may_pay and not each.has_policy]
    for each in without[:_TOLD_MAX]:
        yield mend(
            Subject.POLICIES,
            f"{_who(each)} has no policy, so it may spend nothing",
            "The operator gives it one, as in the examples of docs/policies.md:"
            f" waiaas policy set --agent {each.id} --rules …",
        )
    if not without:
        yield fine(Subject.POLICIES, "every agent that may pay has one")


def check_backups(directory: Path, read: LedgerRead, *, now_s: int) -> Iterator[Finding]:
    """Is there a backup that is new enough to be of use?"""
    if os.path.lexists(directory / BACKUPS_NAME) and not (directory / BACKUPS_NAME).is_dir():
        yield unknown(Subject.BACKUPS, SEE_FILES)
        return
    try:
        backups, problems = list_backups(directory)
    except BackupError as error:
        yield mend(Subject.BACKUPS, str(error), "Look at the folder `backups`.")
        return
    for problem in problems[:_TOLD_MAX]:
        yield note(Subject.BACKUPS, problem)
    if not backups:
        if read.facts is None:
            yield note(Subject.BACKUPS, "there is none")
        elif not read.facts.agents:
            yield note(Subject.BACKUPS, "there is none, and no agent whose key could be lost")
        else:
            yield mend(Subject.BACKUPS, "there is none", _MAKE_ONE)
        return
    age_s = now_s - backups[0].created_at
    told = f"the newest is from {_ago(age_s)}: {backups[0].name}"
    if age_s > BACKUP_AGE_S_MAX:
        yield mend(Subject.BACKUPS, told, _MAKE_ONE)
    else:
        yield fine(Subject.BACKUPS, told)


_MAKE_ONE: Final = "The operator makes one, and keeps it elsewhere: `waiaas backup create`."


def _first(agents: tuple[AgentFacts, ...], status: AgentStatus) -> list[AgentFacts]:
    return [each for each in agents if each.status is status][:_TOLD_MAX]


def _who(agent: AgentFacts) -> str:
    return f"agent {agent.name} ({agent.id})"


def _ago(seconds: int) -> str:
    hours = max(seconds, 0) // _HOUR_S
    return "less than an hour ago" if hours < 1 else f"{hours} h ago"
