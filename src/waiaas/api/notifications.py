"""The operator reads what owners are told, in order, from wherever the last reading ended."""

import json

from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.wire.notifications import Notification, Notifications, NotificationsAfter


async def list_after(call: Call) -> Notifications:
    """Show the notifications after a number, the oldest first."""
    query: NotificationsAfter = call.query
    found = call.services.ledger.read(lambda tx: tx.outbox.after(query.after, most=query.limit))
    return Notifications(
        [
            Notification(
                number=each.number,
                event=each.event,
                agent_id=each.agent_id,
                transaction_id=each.tx_id,
                details=json.loads(each.details),
                created_at=each.created_at,
            )
            for each in found
        ]
    )


ROUTES = (
    Route(
        "GET",
        "/v1/admin/notifications",
        Credential.OPERATOR_LOOK,
        list_after,
        Notifications,
        query=NotificationsAfter,
    ),
)
