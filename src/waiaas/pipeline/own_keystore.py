"""The keystore that holds the keys of a ledger's agents: no other one takes its place unnoticed.

The ledger knows it by two things. Its *identity* is made of the keystore key, so it is the same
under every password and cost, and only whoever opened the keystore knows it. The hashes of the
*files* are what can be compared without a password: that of the keystore.json which was opened
last, and while it is being replaced that of the new one, too.
"""

import json
from typing import Final, NamedTuple, Self

from waiaas.domain.audit import OPERATOR, SYSTEM, AuditEvent
from waiaas.domain.enums import AuditAction, KeystoreProblem
from waiaas.pipeline.record import ledger_time, remember
from waiaas.ports import Clock, KeystoreFacts, Ledger, LedgerTransaction

_KEY: Final = "keystore.own"
_NOTHING: Final = ""
"""What stands in the place of a fact that is one no more."""


class _Told(NamedTuple):
    problem: str
    remedy: str


_TOLD: Final = {
    KeystoreProblem.OTHER_KEYSTORE: _Told(
        "The password opens this keystore, but it is not the one with the keys of the ledger's"
        " agents.",
        remedy="Find out who put it there. Put the old folder `keystore` back, or restore the"
        " newest backup.",
    ),
    KeystoreProblem.OTHER_FILE: _Told(
        "keystore.json is not the file that was opened last.",
        remedy="If you put an older one back, start once with its password, which tells whether it"
        " is the same keystore. If you did not, find out who did, and restore the newest backup.",
    ),
    KeystoreProblem.NOTHING_KNOWN: _Told(
        "The ledger does not know its keystore yet.",
        remedy="Start once with the password, which tells it.",
    ),
}


class OwnKeystoreLost(Exception):  # noqa: N818 -- says what is the case
    """There are agents and no keystore: a new one would only hide that their keys are gone."""

    def __init__(self, agent_count: int) -> None:
        counted = "1 agent" if agent_count == 1 else f"{agent_count} agents"
        super().__init__(
            f"the ledger here has {counted}, and their keystore is gone: a new one would"
            " not have their keys. Restore the newest backup (`waiaas backup restore`), which"
            " brings both back; or give another directory"
        )


class OtherKeystore(Exception):  # noqa: N818 -- says what is the case
    """This is not the ledger's own keystore, or nothing shows that it is.

    Attributes:
        why: what was found.
        problem: one sentence for a person.
        remedy: what that person can do about it.
    """

    def __init__(self, why: KeystoreProblem) -> None:
        self.why = why
        self.problem, self.remedy = _TOLD[why]
        super().__init__(f"{self.problem} {self.remedy}")


class KnownKeystore(NamedTuple):
    """What a ledger knows of its keystore."""

    identity: str
    files: tuple[str, ...]
    """SHA-256 of each keystore.json that may lie there."""

    @classmethod
    def of(cls, facts: KeystoreFacts) -> Self:
        """Return what is to be known of a keystore that was opened."""
        assert facts.identity is not None, "it was opened"
        return cls(facts.identity, (facts.file_sha256,))


def known_keystore(tx: LedgerTransaction) -> KnownKeystore | None:
    """Return what the ledger knows; None before a keystore was made, or opened, beside it."""
    stored = tx.key_values.get(_KEY)
    if not stored:
        return None
    try:
        identity, files = json.loads(stored)
        return KnownKeystore(str(identity), tuple(map(str, files)))
    except (ValueError, TypeError):  # Not written by us: no keystore is its own.
        return KnownKeystore(_NOTHING, ())


def know_keystore(tx: LedgerTransaction, known: KnownKeystore, *, now_s: int) -> None:
    """Write down which keystore is the ledger's own."""
    tx.key_values.put(_KEY, json.dumps(known), now_s=now_s)


def forget_keystore(tx: LedgerTransaction, *, now_s: int) -> None:
    """Have no keystore, until one is made or opened."""
    tx.key_values.put(_KEY, _NOTHING, now_s=now_s)


def judge(known: KnownKeystore | None, facts: KeystoreFacts) -> KeystoreProblem | None:
    """Return what shows that a keystore is not the ledger's own, or that nothing shows it is.

    Whoever opened it with its password is believed where nothing is known yet.
    """
    if facts.identity is None:
        if known is None:
            return KeystoreProblem.NOTHING_KNOWN
        return None if facts.file_sha256 in known.files else KeystoreProblem.OTHER_FILE
    is_own = known is None or known.identity == facts.identity
    return None if is_own else KeystoreProblem.OTHER_KEYSTORE


def require_own(facts: KeystoreFacts, *, operation: str, ledger: Ledger, clock: Clock) -> None:
    """Return if *facts* are of the ledger's own keystore.

    Raises:
        OtherKeystore: they are not; the refusal of *operation* is in the audit log.
    """
    why = judge(ledger.read(known_keystore), facts)
    if why is not None:
        _remember_refusal(operation, why, ledger, clock)
        raise OtherKeystore(why)


def keep_facts(facts: KeystoreFacts, *, ledger: Ledger, clock: Clock) -> None:
    """Write down what an opened keystore showed that is new: `require_own` has returned.

    A file that was not known leaves a row: a password that was changed may be good again.
    """
    news = KnownKeystore.of(facts)
    if ledger.read(known_keystore) == news:
        return
    wall_s = clock.now_s()
    details = {"reason": "found", "stage": "done", "keystoreSha256": facts.file_sha256}
    found = AuditEvent(AuditAction.KEY_ROTATED, SYSTEM, details=details)

    def unit(tx: LedgerTransaction) -> None:
        now_s = ledger_time(tx, wall_s=wall_s)
        known = known_keystore(tx)
        know_keystore(tx, news, now_s=now_s)
        if known is None or facts.file_sha256 not in known.files:
            remember(tx, found, now_s=now_s)

    ledger.write(unit)


def require_no_agents(ledger: Ledger, clock: Clock) -> None:
    """Return if a new keystore may be made beside *ledger*.

    Raises:
        OwnKeystoreLost: it has agents, of whatever status; the refusal is in the audit log.
    """
    agent_count = ledger.read(lambda tx: tx.agents.count())
    if agent_count:
        _remember_refusal("init", KeystoreProblem.AGENTS_WITHOUT_KEYSTORE, ledger, clock)
        raise OwnKeystoreLost(agent_count)


def _remember_refusal(
    operation: str, problem: KeystoreProblem, ledger: Ledger, clock: Clock
) -> None:
    wall_s = clock.now_s()
    details = {"operation": operation, "problem": problem}
    event = AuditEvent(AuditAction.OPERATION_REFUSED, OPERATOR, details=details)
    ledger.write(lambda tx: remember(tx, event, now_s=ledger_time(tx, wall_s=wall_s)))
