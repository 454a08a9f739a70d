"""The real daemon pays nothing by a clock that was set, and says so before it is asked to."""

import sys
from pathlib import Path
from typing import Any, Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest

pytestmark = pytest.mark.e2e

FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)
NODE: Final = {"WAIAAS_RPC_SOLANA_DEVNET": "http://127.0.0.1:9"}
"""Nobody answers there, and nobody is asked."""
TWO_HOURS_AHEAD: Final = {
    "LD_PRELOAD": str(FAKETIME),
    "FAKETIME": "+2h",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
PAYMENT: Final = {"to": "So11111111111111111111111111111111111111112", "amount": "1"}


def refused(agent: Any, path: str) -> str:
    with pytest.raises(Exception, match=r"CLOCK_IN_DOUBT|POLICY_DENIED") as caught:
        agent.ask("POST", path, PAYMENT)
    return str(getattr(caught.value, "body", {})["code"])


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_in_doubt_a_request_is_refused_and_once_the_clock_is_accepted_it_is_judged(
    waiaas: Any,
) -> None:
    daemon = waiaas.start(localnet=False, env=NODE)
    operator = daemon.operator()
    hired = operator.ask("POST", "/v1/agents", {"name": "a", "network": "devnet"})["id"]
    token = operator.ask("POST", "/v1/sessions", {"agentId": hired})["token"]
    agent = type(operator)(daemon.url, token)
    assert refused(agent, "/v1/transactions/send") == "POLICY_DENIED"
    daemon.process.terminate()
    assert daemon.ended() == 0

    daemon = waiaas.start(localnet=False, env={**NODE, **TWO_HOURS_AHEAD})
    agent.url = daemon.url
    for path in ("/v1/transactions/send", "/v1/transactions/simulate"):
        assert refused(agent, path) == "CLOCK_IN_DOUBT"
    seen = waiaas.json("clock", "status")["difference"]
    waiaas.json("clock", "accept", "--difference", f"{seen}", password=True)
    assert refused(agent, "/v1/transactions/send") == "POLICY_DENIED"
