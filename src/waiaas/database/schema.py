"""The tables: the seven that are the ledger's public face, and the side tables beside them.

The seven keep exactly these columns. A fact that does not fit lives in a side table joined by id,
added when a feature needs it. Every table is STRICT. Times are Unix epoch seconds, amounts are
canonical digits in base units, flags are 0 or 1, enums are checked against `waiaas.domain.enums`.
"""

from typing import Final

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    MetaData,
    Table,
    Text,
    text,
)

from waiaas.database.checks import (
    amount_check_sql,
    build_check_sql,
    flag_check_sql,
    hash_check_sql,
    total_check_sql,
    uuid_check_sql,
)
from waiaas.database.columns import INTEGER, enum_check, json_check, named_check
from waiaas.domain.enums import (
    AgentStatus,
    AuditSeverity,
    ChainType,
    KillSwitchState,
    NetworkType,
    NotificationEventType,
    PolicyTier,
    PolicyType,
    TransactionStatus,
    TransactionType,
)
from waiaas.domain.owner import OwnerAction
from waiaas.domain.transaction import LIVE_ATTEMPT_STATES, AttemptState, ReservationState

APPLICATION_ID: Final = 0x77614161
"""`PRAGMA application_id` of our files: the bytes "waAa"."""

SCHEMA_VERSION: Final = 1
"""`PRAGMA user_version` of the schema below."""

metadata: Final = MetaData()

agents: Final = Table(
    "agents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("chain", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("public_key", Text, nullable=False),
    Column("status", Text, nullable=False, server_default=text("'CREATING'")),
    Column("owner_address", Text),
    Column("owner_verified", INTEGER, nullable=False, server_default=text("0")),
    Column("created_at", INTEGER, nullable=False),
    Column("updated_at", INTEGER, nullable=False),
    Column("suspended_at", INTEGER),
    Column("suspension_reason", Text),
    named_check("agents", "id", uuid_check_sql("id")),
    enum_check("agents", "chain", ChainType),
    enum_check("agents", "network", NetworkType),
    enum_check("agents", "status", AgentStatus),
    named_check("agents", "owner_verified", flag_check_sql("owner_verified")),
    Index("idx_agents_public_key", "public_key", unique=True),
    Index("idx_agents_status", "status"),
    Index("idx_agents_chain_network", "chain", "network"),
    Index("idx_agents_owner_address", "owner_address"),
    sqlite_strict=True,
)

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="CASCADE"), nullable=False),
    Column("token_hash", Text, nullable=False),
    Column("expires_at", INTEGER, nullable=False),
    Column("constraints", Text),
    Column("usage_stats", Text),
    Column("revoked_at", INTEGER),
    Column("renewal_count", INTEGER, nullable=False, server_default=text("0")),
    Column("max_renewals", INTEGER, nullable=False, server_default=text("30")),
    Column("last_renewed_at", INTEGER),
    Column("absolute_expires_at", INTEGER, nullable=False),
    Column("created_at", INTEGER, nullable=False),
    named_check("sessions", "id", uuid_check_sql("id")),
    json_check("sessions", "constraints"),
    json_check("sessions", "usage_stats"),
    Index("idx_sessions_agent_id", "agent_id"),
    Index("idx_sessions_expires_at", "expires_at"),
    Index("idx_sessions_token_hash", "token_hash", unique=True),
    sqlite_strict=True,
)

transactions: Final = Table(
    "transactions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="SET NULL")),
    Column("chain", Text, nullable=False),
    Column("tx_hash", Text),
    Column("type", Text, nullable=False),
    Column("amount", Text),
    Column("to_address", Text),
    Column("token_mint", Text),
    Column("contract_address", Text),
    Column("method_signature", Text),
    Column("spender_address", Text),
    Column("approved_amount", Text),
    Column("parent_id", Text, ForeignKey("transactions.id", ondelete="CASCADE")),
    Column("batch_index", INTEGER),
    Column("status", Text, nullable=False, server_default=text("'PENDING'")),
    Column("tier", Text),
    Column("queued_at", INTEGER),
    Column("executed_at", INTEGER),
    Column("created_at", INTEGER, nullable=False),
    Column("error", Text),
    Column("metadata", Text),
    named_check("transactions", "id", uuid_check_sql("id")),
    enum_check("transactions", "type", TransactionType),
    named_check("transactions", "amount", amount_check_sql("amount")),
    named_check("transactions", "approved_amount", amount_check_sql("approved_amount")),
    enum_check("transactions", "status", TransactionStatus),
    enum_check("transactions", "tier", PolicyTier, nullable=True),
    json_check("transactions", "metadata"),
    Index("idx_transactions_agent_status", "agent_id", "status"),
    Index("idx_transactions_session_id", "session_id"),
    Index("idx_transactions_tx_hash", "tx_hash", unique=True),
    Index("idx_transactions_queued_at", "queued_at"),
    Index("idx_transactions_created_at", "created_at"),
    Index("idx_transactions_type", "type"),
    Index("idx_transactions_contract_address", "contract_address"),
    Index("idx_transactions_parent_id", "parent_id"),
    sqlite_strict=True,
)

policies: Final = Table(
    "policies",
    metadata,
    Column("id", Text, primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="CASCADE")),
    Column("type", Text, nullable=False),
    Column("rules", Text, nullable=False),
    Column("priority", INTEGER, nullable=False, server_default=text("0")),
    Column("enabled", INTEGER, nullable=False, server_default=text("1")),
    Column("created_at", INTEGER, nullable=False),
    Column("updated_at", INTEGER, nullable=False),
    named_check("policies", "id", uuid_check_sql("id")),
    enum_check("policies", "type", PolicyType),
    json_check("policies", "rules"),
    named_check("policies", "enabled", flag_check_sql("enabled")),
    Index("idx_policies_agent_enabled", "agent_id", "enabled"),
    Index("idx_policies_type", "type"),
    sqlite_strict=True,
)

pending_approvals: Final = Table(
    "pending_approvals",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="CASCADE"), nullable=False),
    Column("required_by", INTEGER, nullable=False),
    Column("expires_at", INTEGER, nullable=False),
    Column("approved_at", INTEGER),
    Column("rejected_at", INTEGER),
    Column("owner_signature", Text),
    Column("created_at", INTEGER, nullable=False),
    named_check("pending_approvals", "id", uuid_check_sql("id")),
    Index("idx_pending_approvals_tx_id", "tx_id"),
    Index("idx_pending_approvals_expires_at", "expires_at"),
    sqlite_strict=True,
)

audit_log: Final = Table(
    "audit_log",
    metadata,
    Column("id", INTEGER, primary_key=True, autoincrement=True),
    Column("timestamp", INTEGER, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("actor", Text, nullable=False),
    # No foreign keys: a row outlives what it tells of.
    Column("agent_id", Text),
    Column("session_id", Text),
    Column("tx_id", Text),
    Column("details", Text, nullable=False),
    Column("severity", Text, nullable=False, server_default=text("'info'")),
    Column("ip_address", Text),
    json_check("audit_log", "details"),
    enum_check("audit_log", "severity", AuditSeverity),
    Index("idx_audit_log_timestamp", "timestamp"),
    Index("idx_audit_log_event_type", "event_type"),
    Index("idx_audit_log_agent_id", "agent_id"),
    Index("idx_audit_log_severity", "severity"),
    Index("idx_audit_log_agent_timestamp", "agent_id", "timestamp"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

key_value_store: Final = Table(
    "key_value_store",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("updated_at", INTEGER, nullable=False),
    sqlite_strict=True,
)

SEVEN_TABLES: Final = (
    agents,
    sessions,
    transactions,
    policies,
    pending_approvals,
    audit_log,
    key_value_store,
)
"""The ledger's public face, in the order the documentation lists them."""

# ── side tables ────────────────────────────────────────────────────────────────────────────────

requests: Final = Table(
    "requests",
    metadata,
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("idempotency_key", Text),
    Column("request", Text, nullable=False),
    Column("request_sha256", Text, nullable=False),
    Column("reference", Text),
    Column("refusal", Text),
    Column("admitted_at", INTEGER),
    json_check("requests", "request"),
    json_check("requests", "refusal"),
    # NULLs are distinct: requests without a key never meet here.
    Index("idx_requests_agent_key", "agent_id", "idempotency_key", unique=True),
    Index("idx_requests_agent_admitted", "agent_id", "admitted_at"),
    Index("idx_requests_agent_sha256", "agent_id", "request_sha256", "admitted_at"),
    sqlite_strict=True,
)
"""Each request, word for word as it was admitted: a retry is recognised and answered alike."""

live_references: Final = Table(
    "live_references",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), primary_key=True),
    Column("reference", Text, primary_key=True),
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), nullable=False),
    Index("idx_live_references_tx_id", "tx_id", unique=True),
    sqlite_strict=True,
)
"""What each agent's payments are for, while they may still move money and once they have: its
primary key is what makes a second payment for the same thing impossible. `requests` keeps all."""

attempts: Final = Table(
    "attempts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), nullable=False),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("state", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("message_sha256", Text, nullable=False),
    Column("unit_price", INTEGER, nullable=False),
    Column("last_valid_block_height", INTEGER, nullable=False),
    Column("signed", Text),
    Column("tx_hash", Text),
    Column("created_at", INTEGER, nullable=False),
    named_check("attempts", "id", uuid_check_sql("id")),
    enum_check("attempts", "state", AttemptState),
    # Two requests never share bytes, and a transaction has one attempt that may still land.
    Index("idx_attempts_message_sha256", "message_sha256", unique=True),
    Index("idx_attempts_tx_hash", "tx_hash", unique=True),
    Index(
        "idx_attempts_one_live",
        "tx_id",
        unique=True,
        sqlite_where=text(build_check_sql("state", LIVE_ATTEMPT_STATES)),
        postgresql_where=text(build_check_sql("state", LIVE_ATTEMPT_STATES)),
    ),
    # Each step of a payment looks for its attempt; the index above holds the live ones only.
    Index("idx_attempts_tx_id", "tx_id"),
    Index("idx_attempts_agent_id", "agent_id", "id"),
    sqlite_strict=True,
)
"""Every signing attempt: the exact payload, the signed bytes, and until when they can land."""

reservations: Final = Table(
    "reservations",
    metadata,
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), primary_key=True),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("asset", Text, primary_key=True),
    Column("amount", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("created_at", INTEGER, nullable=False),
    Column("settled_at", INTEGER),
    named_check("reservations", "amount", amount_check_sql("amount")),
    enum_check("reservations", "state", ReservationState),
    Index("idx_reservations_agent_asset", "agent_id", "asset", "state", "settled_at"),
    sqlite_strict=True,
)
"""Money set aside against limits, from the verdict until the chain has decided; one row for each
asset that a transaction moves."""

held_totals: Final = Table(
    "held_totals",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("tier", Text, primary_key=True),
    Column("total", Text, nullable=False),
    enum_check("held_totals", "tier", PolicyTier),
    named_check("held_totals", "total", total_check_sql("total")),
    sqlite_strict=True,
)
"""Sums of the HELD reservations, so that nobody has to add them to know what is in flight."""

spent_totals: Final = Table(
    "spent_totals",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("settled_at", INTEGER, primary_key=True, autoincrement=False),
    Column("total", Text, nullable=False),
    named_check("spent_totals", "total", total_check_sql("total")),
    sqlite_strict=True,
)
"""Sums of all that was SPENT or moved besides up to and with a second, for each that changed them.

A window's sum is the difference between two of them: ledger time never goes back, so a second that
is over stays as it is.
"""

foreign_movements: Final = Table(
    "foreign_movements",
    metadata,
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), primary_key=True),
    Column("tx_hash", Text, primary_key=True),
    Column("asset", Text, primary_key=True),
    Column("amount", Text, nullable=False),
    Column("landed_at", INTEGER),
    Column("counted_at", INTEGER, nullable=False),
    named_check("foreign_movements", "amount", amount_check_sql("amount")),
    Index("idx_foreign_movements_counted", "agent_id", "asset", "counted_at"),
    sqlite_strict=True,
)
"""Money that left with transactions that only the chain knows: a backup was older than they are.

Spent like a SPENT reservation, from the second in which it was found.
"""

session_totals: Final = Table(
    "session_totals",
    metadata,
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("transactions", INTEGER, nullable=False),
    Column("total", Text, nullable=False),
    named_check("session_totals", "transactions", "transactions >= 0"),
    named_check("session_totals", "total", total_check_sql("total")),
    sqlite_strict=True,
)
"""What each session with constraints has used of them; `total` is of the network's own asset."""

waits: Final = Table(
    "waits",
    metadata,
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), primary_key=True),
    Column("until_at", INTEGER, nullable=False),
    Column("over_at", INTEGER),
    Index(
        "idx_waits_open",
        "until_at",
        sqlite_where=text("over_at IS NULL"),
        postgresql_where=text("over_at IS NULL"),
    ),
    sqlite_strict=True,
)
"""Until when a QUEUED transaction waits: the timer itself, for there is none in memory."""

terms: Final = Table(
    "terms",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("document", Text, nullable=False),
    named_check("terms", "sha256", hash_check_sql("sha256")),
    json_check("terms", "document"),
    sqlite_strict=True,
)
"""What was in force when something was decided, each once, named by its hash."""

decisions: Final = Table(
    "decisions",
    metadata,
    # Rows are never deleted, so that numbers rise in the order of the decisions.
    Column("number", INTEGER, primary_key=True, autoincrement=True),
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT"), nullable=False),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("decided_at", INTEGER, nullable=False),
    Column("terms_sha256", Text, ForeignKey("terms.sha256", ondelete="RESTRICT"), nullable=False),
    Column("usage", Text, nullable=False),
    Column("tier", Text),
    Column("verdict", Text, nullable=False),
    json_check("decisions", "usage"),
    enum_check("decisions", "tier", PolicyTier, nullable=True),
    json_check("decisions", "verdict"),
    Index("idx_decisions_tx_id", "tx_id", unique=True),
    sqlite_strict=True,
)
"""The facts that each verdict rested on: enough to judge the same request again, exactly."""

outbox: Final = Table(
    "outbox",
    metadata,
    Column("id", INTEGER, primary_key=True, autoincrement=True),
    Column("event_type", Text, nullable=False),
    # No foreign keys: a row outlives what it tells of.
    Column("agent_id", Text),
    Column("tx_id", Text),
    Column("details", Text, nullable=False),
    Column("created_at", INTEGER, nullable=False),
    enum_check("outbox", "event_type", NotificationEventType),
    json_check("outbox", "details"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
"""What owners are told, in the order in which it happened."""

kill_switch: Final = Table(
    "kill_switch",
    metadata,
    Column("number", INTEGER, primary_key=True, autoincrement=False),
    Column("state", Text, nullable=False),
    Column("since_at", INTEGER, nullable=False),
    Column("reason", Text),
    Column("recoverable_at", INTEGER),
    enum_check("kill_switch", "state", KillSwitchState),
    sqlite_strict=True,
)
"""Every move of the kill switch; the row with the highest number is where it stands."""

challenges: Final = Table(
    "challenges",
    metadata,
    Column("nonce", Text, primary_key=True),
    Column("action", Text, nullable=False),
    Column("agent_id", Text, ForeignKey("agents.id", ondelete="RESTRICT"), nullable=False),
    Column("tx_id", Text, ForeignKey("transactions.id", ondelete="RESTRICT")),
    Column("owner_address", Text, nullable=False),
    Column("policy_version", Text, nullable=False),
    Column("audit_sequence", INTEGER, nullable=False),
    Column("audit_hash", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("created_at", INTEGER, nullable=False),
    Column("expires_at", INTEGER, nullable=False),
    Column("used_at", INTEGER),
    Column("refusals", Text, nullable=False),
    enum_check("challenges", "action", OwnerAction),
    json_check("challenges", "refusals"),
    named_check("challenges", "policy_version", hash_check_sql("policy_version")),
    named_check("challenges", "audit_hash", hash_check_sql("audit_hash")),
    Index("idx_challenges_agent_action", "agent_id", "action", "tx_id"),
    Index("idx_challenges_tx_id", "tx_id"),
    sqlite_strict=True,
)
"""Messages written for an owner to sign, as they were written; each takes effect at most once."""

audit_chain: Final = Table(
    "audit_chain",
    metadata,
    Column("sequence", INTEGER, primary_key=True, autoincrement=False),
    Column("audit_id", INTEGER, ForeignKey("audit_log.id", ondelete="RESTRICT"), nullable=False),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    named_check("audit_chain", "hash", hash_check_sql("hash")),
    sqlite_strict=True,
)
"""One link per row of the audit log, each hash over the row and the hash before it.

`docs/audit-chain.md` describes it; both columns of ids rise together.
"""
