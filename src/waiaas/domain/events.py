"""Every event there is: what it means, and exactly which details it has.

An event has one form or several; its details are those of one of them, to the field. They are
checked where the event is made, so a slip is found by the test that first makes it. What was
recorded before is read as it is: nobody checks the past, which cannot be changed.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from waiaas.domain.backup import BackupMode
from waiaas.domain.enums import (
    AuditAction,
    ChainType,
    ImportProblem,
    KeyFormat,
    KeystoreProblem,
    NetworkType,
    NotificationEventType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.event_values import (
    ADDRESS,
    AMOUNT,
    ASSET,
    CODE,
    COUNT,
    DOCUMENT,
    HASH,
    ID,
    NAME,
    NONCE,
    SELECTOR,
    SIGNATURE,
    SUM,
    TEXT,
    TIME,
    TX_HASH,
    Kind,
    Value,
    either,
    one_of,
    or_null,
)
from waiaas.domain.profile import ProfileName

Form = Mapping[str, Kind]
"""The details of an event by their names: all of them, and no others."""


class IllegalEvent(ValueError):  # noqa: N818 -- says what happened
    """An event was made with other details than it has. A fault of the program, never of a caller.

    The message names event and field, and never holds the value.
    """


class Event(NamedTuple):
    """What an event is."""

    meaning: str
    """What happened, in one sentence."""
    forms: tuple[Form, ...] = ({},)
    """Told apart by the names of their fields."""


_TIER: Final = or_null(one_of(PolicyTier))
"""Null: it is denied."""

_REQUESTS: Final[tuple[Form, ...]] = (
    {"type": either(TransactionType.TRANSFER), "tier": _TIER, "amount": AMOUNT, "to": ADDRESS},
    {
        "type": either(TransactionType.TOKEN_TRANSFER),
        "tier": _TIER,
        "amount": AMOUNT,
        "to": ADDRESS,
        "tokenMint": ADDRESS,
    },
    {
        "type": either(TransactionType.CONTRACT_CALL),
        "tier": _TIER,
        "amount": AMOUNT,
        "contractAddress": ADDRESS,
        "methodSignature": SELECTOR,
    },
    {
        "type": either(TransactionType.APPROVE),
        "tier": _TIER,
        "tokenMint": ADDRESS,
        "spenderAddress": ADDRESS,
        "approvedAmount": AMOUNT,
    },
    {"type": either(TransactionType.BATCH), "tier": _TIER},
)
"""What was asked for. The ledger's rows of the transaction say what the parts of a batch are."""

_DENIAL: Final[Form] = {
    "transactionId": ID,
    "rule": NAME,
    "asset": or_null(ASSET),
    "bound": or_null(NAME),
    "limit": or_null(SUM),
    "observed": or_null(SUM),
    "maxAllowed": or_null(SUM),
    "retryAt": or_null(TIME),
}

_TIGHTENED: Final[Form] = {
    "code": CODE,
    "reason": TEXT,
    "tier": one_of(PolicyTier),
    "decidedUnder": or_null(HASH),
    "judgedUnder": HASH,
}
"""Null: the policies it was decided under cannot be read."""

_CLOCK: Final[Form] = {"expected": TIME, "actual": TIME}

_MOVE: Final[Form] = {"from": one_of(TransactionStatus), "to": one_of(TransactionStatus)}

_EVIDENCE: Final[Form] = {
    "ownerAddress": ADDRESS,
    "message": DOCUMENT,
    "signature": SIGNATURE,
    "anchorSequence": COUNT,
    "anchorHash": HASH,
}
"""An owner's signature, over a message that names the audit log as it was."""

_OF_DECISION: Final[Form] = {"decision": either("cancel", "approve", "reject"), "code": CODE}
_LOGIN: Final[Form] = {"caller": either("ANYBODY", "LOCAL_USER")}
_BACKUP: Final[Form] = {"id": ID, "name": TEXT, "mode": one_of(BackupMode)}
_REFUSAL: Final[Form] = {"route": or_null(TEXT), "code": CODE}
_AGENT: Final[Form] = {
    "name": TEXT,
    "chain": one_of(ChainType),
    "network": one_of(NetworkType),
    "address": ADDRESS,
    "profile": or_null(one_of(ProfileName)),
}
_RECOVERY: Final[Form] = {"recoverableAt": or_null(TIME)}

EVENTS: Final[Mapping[AuditAction | NotificationEventType, Event]] = MappingProxyType(
    {
        # Agents.
        AuditAction.AGENT_CREATED: Event(
            "The operator made an agent, which has a key and no key file yet; the key is a new one,"
            " or was imported.",
            (_AGENT, {**_AGENT, "importedFrom": one_of(KeyFormat)}),
        ),
        AuditAction.AGENT_ACTIVATED: Event("The agent's key is stored; it may spend."),
        AuditAction.AGENT_SUSPENDED: Event(
            "The agent may not spend until it is resumed; what was not signed is called off.",
            ({"reason": TEXT},),
        ),
        AuditAction.AGENT_RESUMED: Event("The operator let a suspended agent spend again."),
        AuditAction.AGENT_TERMINATING: Event(
            "The operator ended the agent for good; what it has signed is still watched."
        ),
        AuditAction.AGENT_TERMINATED: Event(
            "The agent has nothing under way any more, or never had a key that was stored."
        ),
        # Sessions.
        AuditAction.SESSION_ISSUED: Event(
            "The operator let an agent ask until a second, within constraints or without any.",
            ({"expiresAt": TIME, "constraints": or_null(DOCUMENT)},),
        ),
        AuditAction.SESSION_REVOKED: Event(
            "The session ended for good, and what of it was not signed is called off."
        ),
        AuditAction.SESSION_EXPIRED: Event("The session's time was over."),
        NotificationEventType.SESSION_EXPIRING_SOON: Event("The session's time is almost over."),
        # Transactions.
        AuditAction.TX_REQUESTED: Event(
            "An agent asked for a payment, and the ledger has it.", _REQUESTS
        ),
        AuditAction.REQUEST_REFUSED: Event(
            "An agent asked for what a guard keeps it from, whatever policies say; or on a route"
            " (null: on none) for what nobody answers it.",
            ({"code": CODE}, _REFUSAL),
        ),
        AuditAction.POLICY_VIOLATION: Event(
            "A payment was denied: by which rule, and what would have passed; or ended by policies"
            " that changed before it was signed.",
            (*({**request, **_DENIAL} for request in _REQUESTS), _TIGHTENED),
        ),
        AuditAction.TX_QUEUED: Event(
            "The payment waits, for a second (DELAY) or until then for a person (APPROVAL).",
            ({**_MOVE, "tier": one_of(PolicyTier), "until": TIME},),
        ),
        AuditAction.TX_APPROVED: Event(
            "A person let a waiting payment go: the operator, or the owner by a signature.",
            ({}, _EVIDENCE),
        ),
        AuditAction.TX_REJECTED: Event(
            "A person let a waiting payment never go: the operator, or the owner by a signature.",
            ({}, _EVIDENCE),
        ),
        AuditAction.TX_DECISION_REFUSED: Event(
            "Somebody tried to decide on a payment in vain: too late, or by a bad signature.",
            (
                {**_OF_DECISION, "status": one_of(TransactionStatus)},
                {**_OF_DECISION, "nonce": NONCE},
            ),
        ),
        NotificationEventType.TX_DOWNGRADED_DELAY: Event(
            "A payment waits for its time instead of a person, because there is none."
        ),
        AuditAction.TX_PAYLOAD_RECORDED: Event(
            "The exact payload is written down and will be signed, with the rent that it pays.",
            ({**_MOVE, "payloadSha256": HASH, "rent": AMOUNT},),
        ),
        AuditAction.TX_SIGNED: Event(
            "The payload was signed, and the signed bytes are written down.",
            ({"txHash": TX_HASH},),
        ),
        AuditAction.TX_SUBMITTED: Event(
            "A node has been given the signed bytes, as far as its answer tells.",
            ({**_MOVE, "txHash": TX_HASH, "answer": either("taken", "unknown", "seen")},),
        ),
        AuditAction.TX_CONFIRMED: Event("The chain has proved that the money moved.", (_MOVE,)),
        AuditAction.TX_FAILED: Event(
            "It is proved that the money did not move, and never will.",
            ({**_MOVE, "error": TEXT},),
        ),
        AuditAction.TX_CANCELLED: Event(
            "The payment ended before anything was signed: denied, or called off.",
            ({**_MOVE, "code": CODE}, {**_MOVE, "error": TEXT}),
        ),
        AuditAction.TX_EXPIRED: Event(
            "Nobody decided in time, or the signed bytes provably can land no more.",
            ({**_MOVE, "error": TEXT},),
        ),
        # Policies.
        AuditAction.POLICY_UPDATED: Event(
            "The operator set, changed or removed a rule; null: it said nothing.",
            (
                {
                    "policyId": ID,
                    "type": one_of(PolicyType),
                    "before": or_null(DOCUMENT),
                    "after": or_null(DOCUMENT),
                },
            ),
        ),
        # Owners.
        AuditAction.OWNER_SET: Event(
            "The operator registered an owner's address, which proves nothing yet.",
            ({"before": or_null(ADDRESS), "after": ADDRESS},),
        ),
        AuditAction.OWNER_VERIFIED: Event(
            "The owner proved the key; from now on only it approves.", (_EVIDENCE,)
        ),
        AuditAction.OWNER_REMOVED: Event(
            "The agent has no owner any more: an unproved one was taken back, or he signed for it.",
            ({"before": ADDRESS}, _EVIDENCE),
        ),
        AuditAction.OWNER_CHANGE_REFUSED: Event(
            "The operator, or a bad signature, tried to change the owner in vain.",
            (
                {"code": CODE},
                {"decision": either("verify", "remove"), "code": CODE, "nonce": NONCE},
            ),
        ),
        # The operator.
        AuditAction.OPERATOR_LOGGED_IN: Event(
            "Somebody entered the right master password, and has a token.", (_LOGIN,)
        ),
        AuditAction.OPERATOR_CONFIRMED: Event(
            "The operator entered the master password once more.", (_LOGIN,)
        ),
        AuditAction.AUTH_FAILED: Event("Somebody entered a wrong master password.", (_LOGIN,)),
        AuditAction.OPERATION_REFUSED: Event(
            "The operator tried what cannot be done now; nothing was changed.",
            (
                {"operation": TEXT, "code": CODE},
                _REFUSAL,
                {
                    "operation": either("import key"),
                    "format": one_of(KeyFormat),
                    "problem": one_of(ImportProblem),
                },
                {
                    "operation": either(
                        *("start", "init", "change password"),
                        *("import key", "export key", "create backup"),
                    ),
                    "problem": one_of(KeystoreProblem),
                },
            ),
        ),
        AuditAction.RATE_LIMIT_EXCEEDED: Event(
            "A credential was refused so often that its refusals leave no rows for a while.",
            (_REFUSAL,),
        ),
        # The kill switch.
        AuditAction.KILL_SWITCH_ACTIVATED: Event(
            "The operator stopped everything; what was signed before is still watched.",
            (
                {
                    "reason": or_null(TEXT),
                    "agentsSuspended": COUNT,
                    "sessionsRevoked": COUNT,
                    "transactionsCancelled": COUNT,
                    "transactionsUnderWay": COUNT,
                },
            ),
        ),
        AuditAction.KILL_SWITCH_RECOVERING: Event(
            "The operator began the way back; nothing is signed until it is over.", (_RECOVERY,)
        ),
        AuditAction.KILL_SWITCH_RECOVERED: Event(
            "The operator turned the kill switch off; agents stay suspended.", (_RECOVERY,)
        ),
        # The daemon, its keys and its ledger.
        AuditAction.DAEMON_STARTED: Event("The daemon started.", ({"version": TEXT},)),
        AuditAction.DAEMON_STOPPED: Event("The daemon stopped; a crash writes nothing."),
        AuditAction.KEYSTORE_UNLOCKED: Event("The keystore can sign."),
        AuditAction.KEYSTORE_LOCKED: Event("The keystore can sign no more."),
        AuditAction.KEY_ROTATED: Event(
            "The file keystore.json is about to be replaced, or was: its key is under a new"
            " password, or at a higher cost for each guess at it; or a file of the same key was"
            " found that nobody had put there by this program. The hash is the new file's.",
            (
                {
                    "reason": either("password", "cost", "found"),
                    "stage": either("begun", "done"),
                    "keystoreSha256": HASH,
                },
            ),
        ),
        AuditAction.KEY_EXPORTED: Event(
            "The operator had an agent's key written to a new file after this row: who has it"
            " spends past every limit.",
            ({"format": either(KeyFormat.SOLANA_KEYGEN, KeyFormat.WEB3_SECRET_STORAGE)},),
        ),
        AuditAction.LEDGER_FULL: Event(
            "The disk is full: nothing is admitted until there is room."
        ),
        AuditAction.LEDGER_RESUMED: Event("There is room again, and the ledger takes writes."),
        AuditAction.BACKUP_CREATED: Event(
            "A backup was made, and instead of which older ones, if any.",
            (_BACKUP, {**_BACKUP, "replaces": DOCUMENT}),
        ),
        AuditAction.BACKUP_RESTORED: Event(
            "This ledger came out of a backup, and pays nothing until it is reconciled.",
            ({"id": ID, "createdAt": TIME},),
        ),
        AuditAction.FOREIGN_MOVEMENT_FOUND: Event(
            "The chain shows a payment of the agent's that the restored ledger does not know.",
            ({"txHash": TX_HASH, "asset": ASSET, "amount": AMOUNT},),
        ),
        AuditAction.LEDGER_RECONCILED: Event(
            "The restored ledger was compared with the chain, and pays again.",
            (
                {
                    "movements": COUNT,
                    "transactionsCancelled": COUNT,
                    "sessionsRevoked": COUNT,
                    "agentsTerminated": COUNT,
                },
            ),
        ),
        AuditAction.CLOCK_JUMPED: Event(
            "The wall clock is not where it should be: nothing is admitted or signed by it.",
            (_CLOCK,),
        ),
        AuditAction.CLOCK_RETURNED: Event("The wall clock is where it should be, by itself."),
        AuditAction.CLOCK_ACCEPTED: Event(
            "The operator accepted the wall clock as it is; payments go on.", (_CLOCK,)
        ),
    }
)
"""By event. An owner is told an act under its own name, so of each name there is one."""


def check_details(event: AuditAction | NotificationEventType, details: Mapping[str, Value]) -> None:
    """Return if these are the details of *event*.

    Raises:
        IllegalEvent: a field too many or too few, or a value of another kind.
    """
    for form in EVENTS[event].forms:
        if form.keys() == details.keys():
            _check_values(event, form, details)
            return
    raise IllegalEvent(f"no form of {event} has exactly the fields {sorted(details)}")


def _check_values(event: str, form: Form, details: Mapping[str, Value]) -> None:
    for name, kind in form.items():
        if not kind.admits(details[name]):
            raise IllegalEvent(f"{event}: `{name}` is not of the kind: {kind.name}")
