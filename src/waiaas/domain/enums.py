"""Every closed vocabulary, once.

The CHECK lists of the database, the messages of the API and the tables in the documentation are
derived from these thirteen enums; nothing repeats their values. Order matters where it is said.
Values are stored and sent as they stand here, so one is never renamed: append, or migrate.
"""

from enum import StrEnum
from typing import Final


class ChainType(StrEnum):
    """A family of chains that share keys, addresses and transaction format."""

    SOLANA = "solana"
    ETHEREUM = "ethereum"


class NetworkType(StrEnum):
    """One network of a chain family. Of Ethereum: mainnet, and Sepolia as testnet."""

    MAINNET = "mainnet"
    DEVNET = "devnet"
    TESTNET = "testnet"
    LOCALNET = "localnet"


class AgentStatus(StrEnum):
    """Life of an agent; only ACTIVE may spend."""

    CREATING = "CREATING"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    TERMINATING = "TERMINATING"
    TERMINATED = "TERMINATED"


class TransactionStatus(StrEnum):
    """Life of a transaction; `waiaas.domain.transaction.TRANSITIONS` says what may follow what."""

    PENDING = "PENDING"
    QUEUED = "QUEUED"
    EXECUTING = "EXECUTING"
    SUBMITTED = "SUBMITTED"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"
    PARTIAL_FAILURE = "PARTIAL_FAILURE"


class TransactionType(StrEnum):
    """What an agent may ask for."""

    TRANSFER = "TRANSFER"
    TOKEN_TRANSFER = "TOKEN_TRANSFER"  # noqa: S105 -- a kind of request, not a secret
    CONTRACT_CALL = "CONTRACT_CALL"
    APPROVE = "APPROVE"
    BATCH = "BATCH"


class PolicyType(StrEnum):
    """The kinds of rule an owner may set."""

    SPENDING_LIMIT = "SPENDING_LIMIT"
    WHITELIST = "WHITELIST"
    TIME_RESTRICTION = "TIME_RESTRICTION"
    RATE_LIMIT = "RATE_LIMIT"
    ALLOWED_TOKENS = "ALLOWED_TOKENS"
    CONTRACT_WHITELIST = "CONTRACT_WHITELIST"
    METHOD_WHITELIST = "METHOD_WHITELIST"
    APPROVED_SPENDERS = "APPROVED_SPENDERS"
    APPROVE_AMOUNT_LIMIT = "APPROVE_AMOUNT_LIMIT"
    APPROVE_TIER_OVERRIDE = "APPROVE_TIER_OVERRIDE"


class PolicyTier(StrEnum):
    """How much care a payment needs, least first: the highest tier any rule asks for wins."""

    INSTANT = "INSTANT"
    NOTIFY = "NOTIFY"
    DELAY = "DELAY"
    APPROVAL = "APPROVAL"


class SessionStatus(StrEnum):
    """State of a session; derived from its times, never stored."""

    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


class OwnerState(StrEnum):
    """How far an owner is known; derived from address and verification, never stored."""

    NONE = "NONE"
    GRACE = "GRACE"
    LOCKED = "LOCKED"


class KillSwitchState(StrEnum):
    """Whether the daemon may sign at all."""

    NORMAL = "NORMAL"
    ACTIVATED = "ACTIVATED"
    RECOVERING = "RECOVERING"


class AuditSeverity(StrEnum):
    """How much attention an audit row deserves."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class KeyFormat(StrEnum):
    """How a key is written down outside of this program."""

    SOLANA_KEYGEN = "solana-keygen"
    """A JSON array of 64 numbers: the ed25519 seed, then the public key."""
    MNEMONIC = "mnemonic"
    """12 to 24 English words (BIP-39)."""
    WEB3_SECRET_STORAGE = "web3-secret-storage"  # noqa: S105 -- a format, not a secret
    """A JSON object with a secp256k1 secret under a password, as Ethereum's wallets write it."""


class ImportProblem(StrEnum):
    """Why a key was not taken."""

    NOT_THE_FORMAT = "NOT_THE_FORMAT"
    """What was given is not written in that format, or not whole."""
    CHECKSUM = "CHECKSUM"
    """It is, and contradicts itself: a word or a number is another one than it was."""
    WRONG_PASSWORD = "WRONG_PASSWORD"  # noqa: S105 -- a finding, not a secret
    """The password of the file does not open it, or the file was changed."""
    GUESSABLE = "GUESSABLE"
    """Whoever tries finds it."""
    OTHER_ADDRESS = "OTHER_ADDRESS"
    """It is the key of another address than was said."""
    DUPLICATE = "DUPLICATE"
    """An agent has it, or had it."""
    NO_KEY = "NO_KEY"
    """The curve has no such key."""


class KeystoreProblem(StrEnum):
    """Why a keystore was not taken for the one that a ledger's agents have their keys in."""

    AGENTS_WITHOUT_KEYSTORE = "AGENTS_WITHOUT_KEYSTORE"
    """A new one was to be made where there are agents, whose keys it would not have."""
    OTHER_KEYSTORE = "OTHER_KEYSTORE"
    """It was opened, and its keystore key is another."""
    OTHER_FILE = "OTHER_FILE"
    """It was not opened, and its file is none that was."""
    NOTHING_KNOWN = "NOTHING_KNOWN"
    """It was not opened, and no keystore ever was beside this ledger."""


class AuditAction(StrEnum):
    """What is worth remembering. Grows when a feature emits a new one; names never change."""

    AGENT_CREATED = "AGENT_CREATED"
    AGENT_ACTIVATED = "AGENT_ACTIVATED"
    AGENT_SUSPENDED = "AGENT_SUSPENDED"
    AGENT_TERMINATED = "AGENT_TERMINATED"
    SESSION_ISSUED = "SESSION_ISSUED"
    SESSION_REVOKED = "SESSION_REVOKED"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    TX_REQUESTED = "TX_REQUESTED"
    TX_QUEUED = "TX_QUEUED"
    TX_SUBMITTED = "TX_SUBMITTED"
    TX_CONFIRMED = "TX_CONFIRMED"
    TX_FAILED = "TX_FAILED"
    TX_CANCELLED = "TX_CANCELLED"
    POLICY_VIOLATION = "POLICY_VIOLATION"
    POLICY_UPDATED = "POLICY_UPDATED"
    KEYSTORE_UNLOCKED = "KEYSTORE_UNLOCKED"
    KEYSTORE_LOCKED = "KEYSTORE_LOCKED"
    KEY_ROTATED = "KEY_ROTATED"
    KILL_SWITCH_ACTIVATED = "KILL_SWITCH_ACTIVATED"
    DAEMON_STARTED = "DAEMON_STARTED"
    DAEMON_STOPPED = "DAEMON_STOPPED"
    AUTH_FAILED = "AUTH_FAILED"
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    TX_PAYLOAD_RECORDED = "TX_PAYLOAD_RECORDED"
    TX_SIGNED = "TX_SIGNED"
    TX_EXPIRED = "TX_EXPIRED"
    OPERATOR_LOGGED_IN = "OPERATOR_LOGGED_IN"
    BACKUP_CREATED = "BACKUP_CREATED"
    BACKUP_RESTORED = "BACKUP_RESTORED"
    LEDGER_FULL = "LEDGER_FULL"
    LEDGER_RESUMED = "LEDGER_RESUMED"
    TX_DECISION_REFUSED = "TX_DECISION_REFUSED"
    TX_APPROVED = "TX_APPROVED"
    TX_REJECTED = "TX_REJECTED"
    OPERATOR_CONFIRMED = "OPERATOR_CONFIRMED"
    AGENT_RESUMED = "AGENT_RESUMED"
    AGENT_TERMINATING = "AGENT_TERMINATING"
    KILL_SWITCH_RECOVERING = "KILL_SWITCH_RECOVERING"
    KILL_SWITCH_RECOVERED = "KILL_SWITCH_RECOVERED"
    OPERATION_REFUSED = "OPERATION_REFUSED"
    REQUEST_REFUSED = "REQUEST_REFUSED"
    OWNER_SET = "OWNER_SET"
    OWNER_VERIFIED = "OWNER_VERIFIED"
    OWNER_REMOVED = "OWNER_REMOVED"
    OWNER_CHANGE_REFUSED = "OWNER_CHANGE_REFUSED"
    FOREIGN_MOVEMENT_FOUND = "FOREIGN_MOVEMENT_FOUND"
    LEDGER_RECONCILED = "LEDGER_RECONCILED"
    CLOCK_JUMPED = "CLOCK_JUMPED"
    CLOCK_RETURNED = "CLOCK_RETURNED"
    CLOCK_ACCEPTED = "CLOCK_ACCEPTED"
    KEY_EXPORTED = "KEY_EXPORTED"


class NotificationEventType(StrEnum):
    """What an owner may be told about."""

    TX_REQUESTED = "TX_REQUESTED"
    TX_QUEUED = "TX_QUEUED"
    TX_SUBMITTED = "TX_SUBMITTED"
    TX_CONFIRMED = "TX_CONFIRMED"
    TX_FAILED = "TX_FAILED"
    TX_CANCELLED = "TX_CANCELLED"
    TX_DOWNGRADED_DELAY = "TX_DOWNGRADED_DELAY"
    POLICY_VIOLATION = "POLICY_VIOLATION"
    AGENT_SUSPENDED = "AGENT_SUSPENDED"
    KILL_SWITCH_ACTIVATED = "KILL_SWITCH_ACTIVATED"
    KILL_SWITCH_RECOVERED = "KILL_SWITCH_RECOVERED"
    SESSION_EXPIRING_SOON = "SESSION_EXPIRING_SOON"
    SESSION_EXPIRED = "SESSION_EXPIRED"
    OWNER_SET = "OWNER_SET"
    OWNER_REMOVED = "OWNER_REMOVED"
    OWNER_VERIFIED = "OWNER_VERIFIED"
    TX_EXPIRED = "TX_EXPIRED"
    CLOCK_JUMPED = "CLOCK_JUMPED"


ENUMS: Final[tuple[type[StrEnum], ...]] = (
    ChainType,
    NetworkType,
    AgentStatus,
    TransactionStatus,
    TransactionType,
    PolicyType,
    PolicyTier,
    SessionStatus,
    OwnerState,
    KillSwitchState,
    AuditSeverity,
    AuditAction,
    NotificationEventType,
)
"""All of them, for tests and documentation."""
