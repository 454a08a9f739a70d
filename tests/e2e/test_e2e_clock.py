"""The real daemon pays nothing by a clock that was set, or that the chain contradicts."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest
from tests.canaries import MARKER

from waiaas.chains.solana.chain import GENESIS
from waiaas.domain.enums import NetworkType

pytestmark = pytest.mark.e2e

FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)
ANSWERS: Final = {
    "getGenesisHash": GENESIS[NetworkType.DEVNET],
    "getSlot": 1234,
    "getBlockTime": 1_700_000_000,
}
"""Of a node that thinks, or lies, that it is 2023."""
TWO_HOURS_AHEAD: Final = {
    "LD_PRELOAD": str(FAKETIME),
    "FAKETIME": "+2h",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}
PASSWORD: Final = f"{MARKER} correct horse battery staple"
PAYMENT: Final = {"to": "So11111111111111111111111111111111111111112", "amount": "1"}


class Node(BaseHTTPRequestHandler):
    """Answers those questions."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = {"jsonrpc": "2.0", "id": request["id"], "result": ANSWERS[request["method"]]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- so it is named
        """Say nothing."""


@pytest.fixture
def node() -> Iterator[dict[str, str]]:
    """Return the setting that leads to it."""
    with HTTPServer(("127.0.0.1", 0), Node) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield {"WAIAAS_RPC_SOLANA_DEVNET": f"http://127.0.0.1:{server.server_port}"}
        server.shutdown()
        thread.join()


def refused(agent: Any, path: str) -> str:
    with pytest.raises(Exception, match=r"CLOCK_IN_DOUBT|POLICY_DENIED") as caught:
        agent.ask("POST", path, PAYMENT)
    return str(getattr(caught.value, "body", {})["code"])


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_in_doubt_a_request_is_refused_and_once_the_clock_is_accepted_it_is_judged(
    waiaas: Any, node: dict[str, str]
) -> None:
    daemon = waiaas.start(localnet=False, env=node)
    operator = daemon.operator()
    hired = operator.ask("POST", "/v1/agents", {"name": "a", "network": "devnet"})["id"]
    seen = operator.ask("GET", "/v1/admin/clock")["difference"]
    assert seen > 365 * 86_400, "the chain was heard"
    operator.ask("POST", "/v1/admin/clock", {"password": PASSWORD, "difference": seen})
    token = operator.ask("POST", "/v1/sessions", {"agentId": hired})["token"]
    agent = type(operator)(daemon.url, token)
    assert refused(agent, "/v1/transactions/send") == "POLICY_DENIED"
    daemon.process.terminate()
    assert daemon.ended() == 0

    daemon = waiaas.start(localnet=False, env={**node, **TWO_HOURS_AHEAD})
    agent.url = daemon.url
    for path in ("/v1/transactions/send", "/v1/transactions/simulate"):
        assert refused(agent, path) == "CLOCK_IN_DOUBT"
    seen = waiaas.json("clock", "status")["difference"]
    assert seen < 10_000, "the chain is not heard again"
    waiaas.json("clock", "accept", "--difference", f"{seen}", password=True)
    assert refused(agent, "/v1/transactions/send") == "POLICY_DENIED"
