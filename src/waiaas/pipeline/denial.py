"""How a denial is put to the agent: one code, every reason, and what to ask for instead.

It is kept beside the request, because a repeated one gets the same answer.
"""

import json
from dataclasses import replace

from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.ids import TransactionId
from waiaas.pipeline.refuse import recorded
from waiaas.policy.verdict import Allow, Deny, Verdict, Violation


def refusal_of(verdict: Verdict, tx_id: TransactionId | None) -> Refusal | None:
    """Return how a denial is put to the agent, or None if the payment goes ahead or waits.

    *tx_id* is of the transaction that was denied; None: it was only asked what would be.
    """
    if isinstance(verdict, Allow):
        return None
    first = shown(verdict)
    return Refusal(
        first.code,
        "; ".join(map(_words, verdict.violations)),
        hint=_hint(first),
        details=_details(first, tx_id),
    )


def _words(violation: Violation) -> str:
    """Say what one rule has against the request, and against which part of a batch."""
    if violation.part is None:
        return violation.message
    return f"instructions[{violation.part}]: {violation.message}"


def shown(denial: Deny) -> Violation:
    """Return the one violation that is shown: the most fundamental, and of those the tightest.

    What to ask for instead, and when, has to get past all of them.
    """
    return replace(
        min(denial.violations, key=_precedence),
        max_allowed=denial.max_allowed,
        retry_at=denial.retry_at,
    )


def _precedence(violation: Violation) -> tuple[int, int]:
    return list(ErrorCode).index(violation.code), violation.max_allowed or 0


def _hint(violation: Violation) -> str:
    """Say what to do next. The old key keeps its answer, whatever time has passed since."""
    if violation.max_allowed is not None:
        most = f"{violation.max_allowed} base units of {violation.asset}"
        return f"Ask for at most {most}, or ask the operator."
    if violation.retry_at is not None:
        return "Ask again after retryAt, with a new Idempotency-Key, or ask the operator."
    return "Ask the operator to set a policy that allows this."


def _details(violation: Violation, tx_id: TransactionId | None) -> dict[str, str | int | None]:
    """Amounts are digits in strings: JSON numbers end at 2^53 in most clients."""
    return {
        **({} if tx_id is None else {"transactionId": tx_id}),
        "rule": violation.rule,
        "asset": violation.asset,
        "bound": violation.bound,
        "limit": _digits(violation.limit),
        "observed": _digits(violation.observed),
        "maxAllowed": _digits(violation.max_allowed),
        "retryAt": violation.retry_at,
    }


def _digits(amount: int | None) -> str | None:
    return None if amount is None else str(amount)


def dump(refusal: Refusal | None) -> str | None:
    """Return a refusal as the JSON text that the ledger keeps."""
    if refusal is None:
        return None
    return json.dumps(
        {
            "code": refusal.code,
            "message": refusal.message,
            "hint": refusal.hint,
            "details": dict(refusal.details),
        }
    )


def load(refusal: str | None) -> Refusal | None:
    """Return the refusal that `dump` wrote."""
    if refusal is None:
        return None
    stored = json.loads(refusal)
    return recorded(
        Refusal(
            ErrorCode(stored["code"]),
            stored["message"],
            hint=stored["hint"],
            details=stored["details"],
        )
    )
