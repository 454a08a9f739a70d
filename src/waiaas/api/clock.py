"""The operator looks at the clock, and accepts it as it is.

Accepting loosens, since it may open windows of spending: it takes a login and the password again.
"""

from waiaas.api.access import login_caller
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode
from waiaas.ports import GuardedClock
from waiaas.wire.clock import AcceptClock, ClockState


async def get_clock(call: Call) -> ClockState:
    """Tell whether it is believed."""
    return _state(call.services.clock)


async def accept_clock(call: Call) -> ClockState:
    """Believe the clock as it is; where there is no doubt nothing changes."""
    body: AcceptClock = call.body
    services = call.services
    await services.operator.confirm(
        body.password,
        caller=login_caller(call.request, services),
        ip_address=call.ip_address,
    )
    await services.accept_clock(body.difference, call.ip_address)
    return _state(services.clock)


def _state(clock: GuardedClock) -> ClockState:
    doubt = clock.doubt()
    if doubt is None:
        now_s = clock.now_s()
        return ClockState(in_doubt=False, actual=now_s, expected=now_s, difference=0)
    return ClockState(
        in_doubt=True,
        actual=doubt.actual_s,
        expected=doubt.expected_s,
        difference=doubt.difference_s,
    )


ROUTES = (
    Route("GET", "/v1/admin/clock", Credential.OPERATOR_LOOK, get_clock, ClockState),
    Route(
        "POST",
        "/v1/admin/clock",
        Credential.OPERATOR,
        accept_clock,
        ClockState,
        body=AcceptClock,
        codes=(
            ErrorCode.INVALID_MASTER_PASSWORD,
            ErrorCode.MASTER_PASSWORD_LOCKED,
            ErrorCode.CLOCK_IN_DOUBT,
        ),
    ),
)
