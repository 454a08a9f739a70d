"""The operator says what agents may do: rules, each with an id of its own.

`PUT /v1/policies` sets a rule in place of the one of its type and asset; `POST` puts one beside
those that there are. Whatever changes a rule needs a login; the cookie may look.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Final

from msgspec import UNSET

from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.domain.errors import ErrorCode
from waiaas.domain.ids import AgentId
from waiaas.domain.records import PolicyRecord
from waiaas.pipeline.policies import (
    add_policy,
    change_policy,
    list_policies,
    remove_policy,
    set_policy,
)
from waiaas.wire.policies import (
    ChangePolicy,
    Policies,
    PoliciesOf,
    Policy,
    PolicyRemoved,
    SetPolicy,
)


async def put(call: Call) -> Policy:
    """Set a rule in place of the one of the same type and asset that there may be."""
    return await _write(call, set_policy)


async def add(call: Call) -> Policy:
    """Set a rule beside those that there are."""
    return await _write(call, add_policy)


async def _write(call: Call, write: Callable[..., Awaitable[PolicyRecord]]) -> Policy:
    body: SetPolicy = call.body
    services = call.services
    policy = await write(
        None if body.agent_id is None else AgentId(body.agent_id),
        kind=body.type,
        rules=json.dumps(body.rules, sort_keys=True),
        priority=body.priority,
        enabled=body.enabled,
        ip_address=call.ip_address,
        ledger=services.ledger,
        clock=services.clock,
        generate_id=services.generate_id,
    )
    return _render(policy)


async def change(call: Call) -> Policy:
    """Change what is given of a rule."""
    body: ChangePolicy = call.body
    policy = await change_policy(
        call.path_id,
        rules=None if body.rules is UNSET else json.dumps(body.rules, sort_keys=True),
        priority=None if body.priority is UNSET else body.priority,
        enabled=None if body.enabled is UNSET else body.enabled,
        ip_address=call.ip_address,
        ledger=call.services.ledger,
        clock=call.services.clock,
    )
    return _render(policy)


async def remove(call: Call) -> PolicyRemoved:
    """Remove a rule for good."""
    policy = await remove_policy(
        call.path_id,
        ip_address=call.ip_address,
        ledger=call.services.ledger,
        clock=call.services.clock,
    )
    return PolicyRemoved(policy.id, deleted=True)


async def list_all(call: Call) -> Policies:
    """Show the rules of an agent with the global ones, or only the global ones."""
    query: PoliciesOf = call.query
    agent_id = None if query.agent_id is None else AgentId(query.agent_id)
    found = call.services.ledger.read(lambda tx: list_policies(tx, agent_id))
    return Policies([_render(policy) for policy in found])


def _render(policy: PolicyRecord) -> Policy:
    return Policy(
        id=policy.id,
        agent_id=policy.agent_id,
        type=policy.type,
        rules=json.loads(policy.rules),
        priority=policy.priority,
        enabled=bool(policy.enabled),
        created_at=policy.created_at,
        updated_at=policy.updated_at,
    )


_SET_CODES: Final = (
    ErrorCode.NOT_SUPPORTED_YET,
    ErrorCode.AGENT_NOT_FOUND,
    ErrorCode.KILL_SWITCH_ACTIVE,
)

ROUTES = (
    Route(
        "GET",
        "/v1/policies",
        Credential.OPERATOR_LOOK,
        list_all,
        Policies,
        query=PoliciesOf,
        codes=(ErrorCode.AGENT_NOT_FOUND,),
    ),
    Route(
        "PUT",
        "/v1/policies",
        Credential.OPERATOR,
        put,
        Policy,
        body=SetPolicy,
        codes=_SET_CODES,
    ),
    Route(
        "POST",
        "/v1/policies",
        Credential.OPERATOR,
        add,
        Policy,
        body=SetPolicy,
        status=201,
        codes=_SET_CODES,
    ),
    Route(
        "PUT",
        "/v1/policies/{id}",
        Credential.OPERATOR,
        change,
        Policy,
        body=ChangePolicy,
        codes=(
            ErrorCode.NOT_SUPPORTED_YET,
            ErrorCode.POLICY_NOT_FOUND,
            ErrorCode.KILL_SWITCH_ACTIVE,
        ),
    ),
    Route(
        "DELETE",
        "/v1/policies/{id}",
        Credential.OPERATOR,
        remove,
        PolicyRemoved,
        codes=(ErrorCode.POLICY_NOT_FOUND, ErrorCode.KILL_SWITCH_ACTIVE),
    ),
)
