"""Decisions: what each verdict rested on, and the terms in force, each set of terms once."""

from typing import Final

from sqlalchemy import bindparam, insert, select

from waiaas.database.run import Run, define_upsert
from waiaas.database.schema import decisions, terms
from waiaas.database.statements import define
from waiaas.domain.enums import PolicyTier
from waiaas.domain.ids import AgentId, TransactionId
from waiaas.domain.records import DecisionRecord

_COLUMNS: Final = (
    decisions.c.tx_id,
    decisions.c.agent_id,
    decisions.c.decided_at,
    decisions.c.terms_sha256,
    decisions.c.usage,
    decisions.c.tier,
    decisions.c.verdict,
)

_INSERT: Final = define(
    insert(decisions).values({column.name: bindparam(column.name) for column in _COLUMNS})
)
_INSERT_TERMS: Final = define_upsert(terms, key=("sha256",), columns=("document",), keeps=True)
_GET: Final = define(select(*_COLUMNS).where(decisions.c.tx_id == bindparam("tx_id")))
_TERMS: Final = define(select(terms.c.document).where(terms.c.sha256 == bindparam("sha256")))


class Decisions:
    """`waiaas.ports.DecisionTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, decision: DecisionRecord, *, terms: str) -> None:
        # They rarely change, and looking for them costs a fraction of an insert in vain.
        if not self._run(_TERMS, {"sha256": decision.terms_sha256}):
            self._run(_INSERT_TERMS, {"sha256": decision.terms_sha256, "document": terms})
        self._run(_INSERT, decision._asdict())

    def get(self, tx_id: TransactionId) -> DecisionRecord | None:
        rows = self._run(_GET, {"tx_id": tx_id})
        return decision_record(*rows[0]) if rows else None

    def terms(self, sha256: str) -> str:
        [row] = self._run(_TERMS, {"sha256": sha256})
        return str(row.document)


def decision_record(  # noqa: PLR0917 -- the columns in their order
    tx_id: str,
    agent_id: str,
    decided_at: int,
    terms_sha256: str,
    usage: str,
    tier: str | None,
    verdict: str,
) -> DecisionRecord:
    """Return the values of a row as the record that they are."""
    return DecisionRecord(
        TransactionId(tx_id),
        AgentId(agent_id),
        decided_at,
        terms_sha256,
        usage,
        None if tier is None else PolicyTier(tier),
        verdict,
    )
