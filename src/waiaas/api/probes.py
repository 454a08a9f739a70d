"""Two questions of whoever watches over the process, and they are two: is it alive, is it ready?

One that is not alive is to be killed and started again. One that is not ready pays nobody, and must
not be killed for it: no start frees a disk, compares a ledger with the chain or sets a clock.
`/health` is for agents' programs, which expect the original's members.
"""

from waiaas.api.routes import Call, Route
from waiaas.api.services import Services
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode, Refusal
from waiaas.domain.readiness import Readiness
from waiaas.domain.workers import WorkerName, WorkerState
from waiaas.pipeline.restored import restored_at
from waiaas.wire.admin import Probed


async def get_live(_call: Call) -> Probed:
    """Answer that the event loop goes round; nothing else is asked, not even the ledger."""
    return Probed("live")


async def get_ready(call: Call) -> Probed:
    """Answer that payments are made, if they are; the message of a refusal lists why not."""
    reasons = readiness(call.services).reasons()
    if reasons:
        raise Refusal(ErrorCode.NOT_READY, ", ".join(reasons))
    return Probed("ready")


def readiness(services: Services) -> Readiness:
    """Return what has to be known to tell whether the daemon is ready."""
    condition = services.ledger_condition()
    return Readiness(
        is_writable=condition.problem is None,
        # A ledger that takes no writes may not be readable either, and its reason is enough.
        is_restored=condition.problem is None and services.ledger.read(restored_at) is not None,
        is_locked=services.keystore.is_locked,
        is_clock_in_doubt=services.clock.doubt() is not None,
        payments=next(
            (each.state for each in services.worker_conditions() if each.name == _PAYMENTS),
            WorkerState.ENDED,
        ),
    )


_PAYMENTS = WorkerName.PAYMENTS

ROUTES = (
    Route("GET", "/livez", Credential.PUBLIC, get_live, Probed),
    Route("GET", "/readyz", Credential.PUBLIC, get_ready, Probed, codes=(ErrorCode.NOT_READY,)),
)
