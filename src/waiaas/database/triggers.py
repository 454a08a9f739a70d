"""What makes the audit log and its chain append-only for every connection, whatever its pragmas."""

from typing import Final

TRIGGERS: Final = (
    """CREATE TRIGGER audit_log_refuses_update BEFORE UPDATE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: no UPDATE'); END""",
    """CREATE TRIGGER audit_log_refuses_delete BEFORE DELETE ON audit_log BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: no DELETE'); END""",
    # In a BEFORE trigger an id still to be assigned reads as -1; REPLACE deletes only after it.
    """CREATE TRIGGER audit_log_refuses_replace BEFORE INSERT ON audit_log
    WHEN NEW.id <> -1 AND EXISTS (SELECT 1 FROM audit_log WHERE id >= NEW.id) BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: no INSERT at or below the highest id'); END""",
    """CREATE TRIGGER audit_log_refuses_insert_below AFTER INSERT ON audit_log
    WHEN NEW.id < 1 OR EXISTS (SELECT 1 FROM audit_log WHERE id > NEW.id) BEGIN
    SELECT RAISE(ABORT, 'audit_log is append-only: no INSERT at or below the highest id'); END""",
    """CREATE TRIGGER audit_chain_refuses_update BEFORE UPDATE ON audit_chain BEGIN
    SELECT RAISE(ABORT, 'audit_chain is append-only: no UPDATE'); END""",
    """CREATE TRIGGER audit_chain_refuses_delete BEFORE DELETE ON audit_chain BEGIN
    SELECT RAISE(ABORT, 'audit_chain is append-only: no DELETE'); END""",
    # Before it, so that REPLACE meets no row to delete. With IS NOT, NULL is refused like the rest.
    """CREATE TRIGGER audit_chain_refuses_insert BEFORE INSERT ON audit_chain
    WHEN NEW.sequence IS NOT (SELECT ifnull(max(sequence), 0) + 1 FROM audit_chain)
    OR NEW.previous_hash IS NOT ifnull(
    (SELECT hash FROM audit_chain WHERE sequence = NEW.sequence - 1),
    '0000000000000000000000000000000000000000000000000000000000000000')
    OR NEW.audit_id <= (SELECT audit_id FROM audit_chain WHERE sequence = NEW.sequence - 1) BEGIN
    SELECT RAISE(ABORT, 'audit_chain is append-only: only the next link may be INSERTed'); END""",
)
