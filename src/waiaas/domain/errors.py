"""The expected failures: one public, append-only list of codes, in order of precedence.

When several things are wrong with one request, the code that stands first here is the answer, so
two wrongs always report the same one. HTTP status and exit code are chosen at the edge (`api`,
`cli`); a code says only what happened and whether asking again, unchanged, may help.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class ErrorCode(StrEnum):
    """What went wrong, most fundamental first. Public: append, never rename or reuse."""

    # The message itself.
    HOST_REFUSED = "HOST_REFUSED"
    """The request names another host than the daemon's own address and port."""
    ORIGIN_REFUSED = "ORIGIN_REFUSED"
    """It comes from a page in a browser."""
    ROUTE_NOT_FOUND = "ROUTE_NOT_FOUND"
    """There is nothing at this path."""
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    """The path takes other methods."""
    # Who asks.
    INVALID_TOKEN = "INVALID_TOKEN"  # noqa: S105 -- a code, not a secret
    """There is no token, several, an unknown one, or one that is not good for this route."""
    SESSION_REVOKED = "SESSION_REVOKED"
    """The session was ended, or never existed."""
    SESSION_EXPIRED = "SESSION_EXPIRED"
    """The session's time is over."""
    INVALID_MASTER_PASSWORD = "INVALID_MASTER_PASSWORD"  # noqa: S105 -- a code, not a secret
    """It is not the master password."""
    MASTER_PASSWORD_LOCKED = "MASTER_PASSWORD_LOCKED"  # noqa: S105 -- a code, not a secret
    """Wrong passwords came before, or too many logins come at once."""
    INVALID_NONCE = "INVALID_NONCE"
    """The daemon has no message with this nonce to be signed, or it was used."""
    INVALID_SIGNATURE = "INVALID_SIGNATURE"
    """It is not the owner's signature over the message."""
    TOO_MANY_REFUSALS = "TOO_MANY_REFUSALS"
    """It would be refused, and so were too many before it."""
    # What is asked.
    BODY_TOO_LARGE = "BODY_TOO_LARGE"
    """The body has more than 64 KiB."""
    CONTENT_TYPE_REFUSED = "CONTENT_TYPE_REFUSED"
    """The body is not `application/json`, or compressed."""
    VALIDATION_FAILED = "VALIDATION_FAILED"
    """The message is not as it has to be; `field` says where."""
    INVALID_ADDRESS = "INVALID_ADDRESS"
    """It is no address on the agent's chain."""
    INVALID_AMOUNT = "INVALID_AMOUNT"
    """It is no amount, or one that cannot be."""
    NOT_SUPPORTED_YET = "NOT_SUPPORTED_YET"
    """It is known what is meant, and not built yet."""
    NETWORK_NOT_CONFIGURED = "NETWORK_NOT_CONFIGURED"
    """The daemon knows no node of this network."""
    FAUCET_UNAVAILABLE = "FAUCET_UNAVAILABLE"
    """There is play money on the local network only."""
    # What it is about.
    AGENT_NOT_FOUND = "AGENT_NOT_FOUND"
    """There is no agent with this id."""
    AGENT_NOT_ACTIVE = "AGENT_NOT_ACTIVE"
    """The agent is suspended, ended, or not yet begun."""
    AGENT_HAS_MONEY = "AGENT_HAS_MONEY"
    """The agent would be ended, and has money left, or nobody can say whether."""
    POLICY_NOT_FOUND = "POLICY_NOT_FOUND"
    """There is no policy with this id."""
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    """There is no session with this id."""
    TX_NOT_FOUND = "TX_NOT_FOUND"
    """There is no such transaction, or it is another agent's."""
    TX_ALREADY_PROCESSED = "TX_ALREADY_PROCESSED"
    """It is decided already, or too far to be called off."""
    TX_CANCELLED = "TX_CANCELLED"
    """The payment was called off or rejected before it was signed."""
    APPROVAL_NOT_FOUND = "APPROVAL_NOT_FOUND"
    """It does not wait for a person."""
    APPROVAL_TIMEOUT = "APPROVAL_TIMEOUT"
    """Nobody decided in time."""
    OWNER_NOT_CONNECTED = "OWNER_NOT_CONNECTED"
    """The agent has no owner."""
    OWNER_ALREADY_CONNECTED = "OWNER_ALREADY_CONNECTED"
    """The agent has an owner who has proved his key."""
    OWNER_REQUIRED = "OWNER_REQUIRED"
    """Only the owner may do this."""
    CHALLENGE_EXPIRED = "CHALLENGE_EXPIRED"
    """The message to be signed is too old."""
    CHALLENGE_STALE = "CHALLENGE_STALE"
    """What the message says is no longer so: policies, owner or daemon changed."""
    SESSION_LIMIT_EXCEEDED = "SESSION_LIMIT_EXCEEDED"
    """The agent has as many live sessions as it may have."""
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    """The key was used for another request."""
    REFERENCE_REUSED = "REFERENCE_REUSED"
    """The reference is another payment's, which moved money or still may."""
    DUPLICATE_REQUEST = "DUPLICATE_REQUEST"
    """An equal request, without a key, came less than a minute ago."""
    TOO_MANY_PENDING = "TOO_MANY_PENDING"
    """The agent has as much under way or waiting as it may have."""
    # What the owner allows.
    CONSTRAINT_VIOLATED = "CONSTRAINT_VIOLATED"
    """The session is not for this."""
    POLICY_DENIED = "POLICY_DENIED"
    """No rule allows this, or one forbids it."""
    SPENDING_LIMIT_EXCEEDED = "SPENDING_LIMIT_EXCEEDED"
    """It is more than a bound leaves."""
    RATE_LIMIT_EXCEEDED = "RATE_LIMIT_EXCEEDED"
    """There were as many requests in a while as there may be."""
    POLICY_TIGHTENED = "POLICY_TIGHTENED"
    """Policies were changed before it was signed, and do not let it through any more."""
    RENT_NOT_GRANTED = "RENT_NOT_GRANTED"
    """A recipient has no account for the token, and no limit grants the SOL that one costs."""
    KILL_SWITCH_ACTIVE = "KILL_SWITCH_ACTIVE"
    """The kill switch is on, or not quite off."""
    KILL_SWITCH_NOT_ACTIVE = "KILL_SWITCH_NOT_ACTIVE"
    """The kill switch is not on."""
    RECOVERY_WAIT_REQUIRED = "RECOVERY_WAIT_REQUIRED"
    """The time between the two steps of turning the kill switch off is not over."""
    # The world.
    LEDGER_RESTORED = "LEDGER_RESTORED"
    """The ledger came out of a backup and is not yet compared with the chain."""
    CLOCK_IN_DOUBT = "CLOCK_IN_DOUBT"
    """The machine's clock was set, and nobody has accepted it."""
    KEYSTORE_LOCKED = "KEYSTORE_LOCKED"
    """The keystore is locked: nothing is signed until the operator unlocks it."""
    BACKUP_UNDER_WAY = "BACKUP_UNDER_WAY"
    """Another backup is being made."""
    BACKUP_FAILED = "BACKUP_FAILED"
    """No backup was made."""
    SIMULATION_FAILED = "SIMULATION_FAILED"
    """The chain would not carry it out, or not as it was asked for."""
    TRANSACTION_FAILED_ON_CHAIN = "TRANSACTION_FAILED_ON_CHAIN"
    """It landed, and the chain did not carry it out."""
    TRANSACTION_EXPIRED = "TRANSACTION_EXPIRED"
    """It did not land, and provably never will."""
    CHAIN_UNAVAILABLE = "CHAIN_UNAVAILABLE"
    """The chain's node gave no usable answer."""
    NOT_READY = "NOT_READY"
    """The daemon answers, and pays nobody; the message lists why."""
    LEDGER_FULL = "LEDGER_FULL"
    """The disk is full: nothing was written."""
    LEDGER_DAMAGED = "LEDGER_DAMAGED"
    """The ledger is damaged: nothing is written any more."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The daemon is stopping."""
    INTERNAL_ERROR = "INTERNAL_ERROR"
    """The daemon failed; nobody expected it."""

    @property
    def is_transient(self) -> bool:
        """Whether the same may succeed when it is asked for again later.

        A denial was recorded under its Idempotency-Key, and is repeated under it for ever: what
        was denied is asked for again under a new one.
        """
        return self in _TRANSIENT


_TRANSIENT: Final = frozenset(
    {
        ErrorCode.MASTER_PASSWORD_LOCKED,
        ErrorCode.TOO_MANY_REFUSALS,
        ErrorCode.TOO_MANY_PENDING,
        ErrorCode.SPENDING_LIMIT_EXCEEDED,
        ErrorCode.RATE_LIMIT_EXCEEDED,
        ErrorCode.RECOVERY_WAIT_REQUIRED,
        ErrorCode.CLOCK_IN_DOUBT,
        ErrorCode.KEYSTORE_LOCKED,
        ErrorCode.BACKUP_UNDER_WAY,
        ErrorCode.CHAIN_UNAVAILABLE,
        ErrorCode.NOT_READY,
        ErrorCode.LEDGER_FULL,
        ErrorCode.SHUTTING_DOWN,
        ErrorCode.INTERNAL_ERROR,
    }
)
"""All others stay as they are, however long one waits."""

REMEDIES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.CLOCK_IN_DOUBT: (
        "The operator sets the clock right, or accepts it: `waiaas clock accept`."
    ),
    ErrorCode.HOST_REFUSED: "Call the daemon by the address that `waiaas status` shows.",
    ErrorCode.ORIGIN_REFUSED: "Call from a program, without a browser's Origin header.",
    ErrorCode.ROUTE_NOT_FOUND: "Check the path; an id in it is one segment.",
    ErrorCode.METHOD_NOT_ALLOWED: "Use one of the methods that the Allow header names.",
    ErrorCode.INVALID_TOKEN: (
        "An agent asks the operator for a session token; the operator logs in."
    ),
    ErrorCode.SESSION_REVOKED: "Ask the operator for a new session.",
    ErrorCode.SESSION_EXPIRED: "Ask the operator for a new session.",
    ErrorCode.INVALID_MASTER_PASSWORD: (
        "Enter the master password that was set last; wrong ones slow down the next."
    ),
    ErrorCode.MASTER_PASSWORD_LOCKED: "Wait until retryAt, and enter the master password again.",
    ErrorCode.INVALID_NONCE: "The operator asks for the message again; the owner signs that one.",
    ErrorCode.INVALID_SIGNATURE: (
        "Sign the whole message, to the byte, with the wallet of the address that it names."
    ),
    ErrorCode.TOO_MANY_REFUSALS: (
        "Wait until retryAt, and ask for what is allowed; that is never held back."
    ),
    ErrorCode.BODY_TOO_LARGE: "Send less at a time: a batch has 20 parts at most.",
    ErrorCode.CONTENT_TYPE_REFUSED: (
        "Send JSON as it is, with the header `Content-Type: application/json`."
    ),
    ErrorCode.VALIDATION_FAILED: "Correct what the message names, and send it again.",
    ErrorCode.INVALID_ADDRESS: "Check the address and its chain.",
    ErrorCode.INVALID_AMOUNT: "Give the amount in the smallest unit, as digits in a string.",
    ErrorCode.NOT_SUPPORTED_YET: "Ask for an agent on solana.",
    ErrorCode.NETWORK_NOT_CONFIGURED: "The operator sets the node's URL in config.toml.",
    ErrorCode.FAUCET_UNAVAILABLE: (
        "Send money to the agent's address, or use an agent on localnet."
    ),
    ErrorCode.AGENT_NOT_FOUND: "`waiaas agent list` shows the ids of all agents.",
    ErrorCode.AGENT_NOT_ACTIVE: "`waiaas agent list` shows its state, which the operator changes.",
    ErrorCode.AGENT_HAS_MONEY: (
        "Let the agent pay it out first; or leave it there for ever: `force` in the body, `--yes`."
    ),
    ErrorCode.POLICY_NOT_FOUND: "`waiaas policy list` shows the ids of all policies.",
    ErrorCode.SESSION_NOT_FOUND: "`waiaas session list` shows the ids of all live sessions.",
    ErrorCode.TX_NOT_FOUND: "Use the id that sending it gave; an agent sees only its own.",
    ErrorCode.TX_ALREADY_PROCESSED: (
        "Nothing is left to decide. Look at the transaction: it says how it ended, or is watched."
    ),
    ErrorCode.TX_CANCELLED: "Ask again with a new Idempotency-Key if it is still wanted.",
    ErrorCode.APPROVAL_NOT_FOUND: "`waiaas approval list` shows what waits for a decision.",
    ErrorCode.APPROVAL_TIMEOUT: "The agent has to ask again.",
    ErrorCode.OWNER_NOT_CONNECTED: "The operator registers one with `waiaas owner set`.",
    ErrorCode.OWNER_ALREADY_CONNECTED: (
        "The owner has to give it up first: `waiaas owner message --action remove`."
    ),
    ErrorCode.OWNER_REQUIRED: "The owner has to sign what the daemon prints for him.",
    ErrorCode.CHALLENGE_EXPIRED: "Ask for the message again, and sign that one.",
    ErrorCode.CHALLENGE_STALE: "Ask for the message again, and sign that one.",
    ErrorCode.SESSION_LIMIT_EXCEEDED: "Revoke a session first: `waiaas session list` shows them.",
    ErrorCode.IDEMPOTENCY_KEY_REUSED: (
        "Give each new payment a key of its own; repeat a key only with the same body."
    ),
    ErrorCode.REFERENCE_REUSED: "Look at the earlier transaction; another needs another reference.",
    ErrorCode.DUPLICATE_REQUEST: (
        "Look at the earlier transaction; for a second payment send an Idempotency-Key of its own."
    ),
    ErrorCode.TOO_MANY_PENDING: "Ask again when some have ended.",
    ErrorCode.CONSTRAINT_VIOLATED: "Ask the operator for a session with other constraints.",
    ErrorCode.POLICY_DENIED: "Ask the operator to set a policy that allows this.",
    ErrorCode.POLICY_TIGHTENED: (
        "Nothing was sent. Ask again with a new Idempotency-Key, for what policies allow now."
    ),
    ErrorCode.RENT_NOT_GRANTED: (
        "Nothing was sent. Let the recipient make his account for the token, or ask the operator."
    ),
    ErrorCode.SPENDING_LIMIT_EXCEEDED: "Ask for less, or the operator for a higher limit.",
    ErrorCode.RATE_LIMIT_EXCEEDED: "Ask again after retryAt, or the operator for a higher limit.",
    ErrorCode.KILL_SWITCH_ACTIVE: "Only the operator can turn it off: `waiaas kill-switch off`.",
    ErrorCode.KILL_SWITCH_NOT_ACTIVE: (
        "There is nothing to turn off; `waiaas kill-switch status` shows where it stands."
    ),
    ErrorCode.RECOVERY_WAIT_REQUIRED: "Do it again after retryAt.",
    ErrorCode.LEDGER_RESTORED: "The operator has to run `waiaas backup reconcile` first.",
    ErrorCode.KEYSTORE_LOCKED: "The operator unlocks it: `waiaas unlock`.",
    ErrorCode.BACKUP_UNDER_WAY: "Wait for the one that is being made.",
    ErrorCode.BACKUP_FAILED: "Mend what the message names, and make the backup again.",
    ErrorCode.SIMULATION_FAILED: "Nothing was sent. Check balance and recipient.",
    ErrorCode.TRANSACTION_FAILED_ON_CHAIN: "The money did not move. Ask again with a new key.",
    ErrorCode.TRANSACTION_EXPIRED: "The money did not move. Ask again with a new key.",
    ErrorCode.CHAIN_UNAVAILABLE: (
        "Try again; if it lasts, the operator looks after the node."
        " A local network comes with `waiaas start --localnet`."
    ),
    ErrorCode.NOT_READY: "`waiaas status` tells the operator more.",
    ErrorCode.LEDGER_FULL: "The operator has to free space on the disk of the daemon.",
    ErrorCode.LEDGER_DAMAGED: ("The operator has to restore a backup; `waiaas status` says more."),
    ErrorCode.SHUTTING_DOWN: "Try again when the daemon is up again.",
    ErrorCode.INTERNAL_ERROR: "Tell the operator the requestId; the daemon's log has the reason.",
}
"""What to do next, and who must do it, where whoever refuses knows nothing better to say."""


class Refusal(Exception):  # noqa: N818 -- a refusal is an answer, not a malfunction
    """A request was understood and not done; nothing was changed.

    Attributes:
        code: what happened.
        message: one sentence for a person. Never holds a secret.
        hint: what to do next, and who must do it.
        details: named facts beside the message, e.g. `{"maxAllowed": "100"}`.
        is_recorded: whether the ledger has it, in an audit row of its own.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        hint: str | None = None,
        details: Mapping[str, str | int | None] | None = None,
    ) -> None:
        self.code = code
        self.message = message
        self.hint = hint or REMEDIES[code]
        self.details: Mapping[str, str | int | None] = details or {}
        self.is_recorded = False
        super().__init__(f"{code}: {message}")

    @property
    def is_transient(self) -> bool:
        """Whether asking again later may help.

        A denial says so itself: from when on it would pass, or that it never does.
        """
        if "retryAt" in self.details:
            return self.details["retryAt"] is not None
        return self.code.is_transient
