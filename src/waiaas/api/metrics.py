"""Figures for Prometheus, for the operator: how much is paid, and how near a disk is to its end."""

import asyncio

from waiaas.api.probes import readiness
from waiaas.api.routes import Call, Route
from waiaas.domain.access import Credential
from waiaas.wire.metrics import Exposition


async def get_metrics(call: Call) -> Exposition:
    """Tell the figures of the daemon in Prometheus' text format; the cookie file will do."""
    reasons = readiness(call.services).reasons()
    # On a thread: what was written since the last time is counted now.
    return Exposition(await asyncio.to_thread(call.services.render_figures, reasons))


ROUTES = (Route("GET", "/metrics", Credential.OPERATOR_LOOK, get_metrics, Exposition),)
