"""The ledger: seven tables in SQLite, one writer, and proof of what was written.

A library of its own: `create_database` and `push_schema` give a connection to the tables;
`open_ledger` gives what acknowledges money: a durable writer, read-only readers, and the lock on
the data directory. Nothing outside this package writes SQL.
"""

from waiaas.database.checks import build_check_sql
from waiaas.database.connection import DatabaseConnection, close_database, create_database
from waiaas.database.errors import (
    AlreadyOpen,
    ClockBeforeEpoch,
    Closed,
    CommitUnknown,
    ConstraintViolated,
    DatabaseError,
    DirectoryLost,
    ForeignDatabase,
    LedgerDamaged,
    LedgerFull,
    NewerSchema,
    NotADatabase,
    PragmaRefused,
    ReadOnlyDatabase,
    RolledBack,
    SchemaMismatch,
    UpgradeFailed,
    ValueRefused,
)
from waiaas.database.ids import generate_id
from waiaas.database.ledger import Ledger, open_ledger
from waiaas.database.push import push_schema
from waiaas.database.schema import (
    agents,
    audit_log,
    key_value_store,
    pending_approvals,
    policies,
    sessions,
    transactions,
)

__all__ = [
    "AlreadyOpen",
    "ClockBeforeEpoch",
    "Closed",
    "CommitUnknown",
    "ConstraintViolated",
    "DatabaseConnection",
    "DatabaseError",
    "DirectoryLost",
    "ForeignDatabase",
    "Ledger",
    "LedgerDamaged",
    "LedgerFull",
    "NewerSchema",
    "NotADatabase",
    "PragmaRefused",
    "ReadOnlyDatabase",
    "RolledBack",
    "SchemaMismatch",
    "UpgradeFailed",
    "ValueRefused",
    "agents",
    "audit_log",
    "build_check_sql",
    "close_database",
    "create_database",
    "generate_id",
    "key_value_store",
    "open_ledger",
    "pending_approvals",
    "policies",
    "push_schema",
    "sessions",
    "transactions",
]
