"""Decisions: what each verdict rested on, and the terms in force, each set of terms once."""

from typing import Final

from sqlalchemy import BigInteger, bindparam, insert, select

from waiaas.database.run import Run, define_upsert
from waiaas.database.schema import decisions, requests, terms
from waiaas.database.statements import Parameters, define
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
_TERMS_OF: Final = define(
    select(terms.c.document)
    .join(decisions, decisions.c.terms_sha256 == terms.c.sha256)
    .where(decisions.c.tx_id == bindparam("tx_id"))
)
_NUMBER: Final = (
    select(decisions.c.number).where(decisions.c.tx_id == bindparam("tx_id")).scalar_subquery()
)
_ADMITTED_BEFORE: Final = define(
    select(requests.c.admitted_at)
    .join(decisions, decisions.c.tx_id == requests.c.tx_id)
    .where(
        requests.c.agent_id == bindparam("agent_id"),
        # Its own second is the last one; the numbers tell the order within it.
        requests.c.admitted_at <= bindparam("until_s"),
        decisions.c.number < _NUMBER,
    )
    .order_by(requests.c.admitted_at.desc())
    # SQLAlchemy writes an offset of its own, as a constant, where there is none.
    .limit(bindparam("most", type_=BigInteger))
    .offset(bindparam("skipped", type_=BigInteger))
)
_TERMS: Final = define(select(terms.c.document).where(terms.c.sha256 == bindparam("sha256")))
_HAS_TERMS: Final = define(
    select(terms.c.sha256).where(terms.c.sha256 == bindparam("sha256")), is_remembered=True
)


class Decisions:
    """`waiaas.ports.DecisionTable` on a connection."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def insert(self, decision: DecisionRecord, *, terms: str) -> None:
        # They rarely change, and looking for them costs a fraction of an insert in vain.
        if not self._run(_HAS_TERMS, {"sha256": decision.terms_sha256}):
            self._run(_INSERT_TERMS, {"sha256": decision.terms_sha256, "document": terms})
        self._run(_INSERT, decision._asdict())

    def get(self, tx_id: TransactionId) -> DecisionRecord | None:
        rows = self._run(_GET, {"tx_id": tx_id})
        return decision_record(*rows[0]) if rows else None

    def terms(self, sha256: str) -> str:
        [row] = self._run(_TERMS, {"sha256": sha256})
        return str(row.document)

    def terms_of(self, tx_id: TransactionId) -> str:
        rows = self._run(_TERMS_OF, {"tx_id": tx_id})
        return str(rows[0].document) if rows else ""

    def admitted_before(self, decision: DecisionRecord, *, most: int) -> list[int]:
        parameters: Parameters = {
            "tx_id": decision.tx_id,
            "agent_id": decision.agent_id,
            "until_s": decision.decided_at,
            "most": most,
            "skipped": 0,
        }
        return [row.admitted_at for row in reversed(self._run(_ADMITTED_BEFORE, parameters))]


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
