"""The operator locks the keystore, with the cookie, and unlocks it, with the password besides."""

from waiaas.api.access import login_caller
from waiaas.api.overwriting import encoded
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.audit import OPERATOR
from waiaas.domain.errors import ErrorCode
from waiaas.wire.locking import KeystoreState, Unlock


async def lock(call: Call) -> KeystoreState:
    """Drop every key, and end every login. Doing it twice is harmless."""
    problem = await call.services.locking.lock(actor=OPERATOR, ip_address=call.ip_address)
    return KeystoreState(locked=call.services.keystore.is_locked, audit_problem=problem)


async def unlock(call: Call) -> KeystoreState:
    """Let it sign again. A wrong password is counted with those of logins."""
    body: Unlock = call.body
    services = call.services
    await services.operator.confirm(
        body.password,
        caller=login_caller(call.request, services),
        ip_address=call.ip_address,
    )
    with encoded(body.password) as password:
        await services.locking.unlock(password, actor=OPERATOR, ip_address=call.ip_address)
    return KeystoreState(locked=services.keystore.is_locked)


ROUTES = (
    Route("POST", "/v1/admin/lock", Credential.OPERATOR_LOOK, lock, KeystoreState),
    Route(
        "POST",
        "/v1/admin/unlock",
        Credential.OPERATOR_LOOK,
        unlock,
        KeystoreState,
        body=Unlock,
        codes=(ErrorCode.INVALID_MASTER_PASSWORD, ErrorCode.MASTER_PASSWORD_LOCKED),
    ),
)
