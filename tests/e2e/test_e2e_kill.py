"""Ended at any moment: nothing acknowledged is lost, paid twice, or left half made.

A clean stop is held to the same as `kill -9`, by the same tests: it may need nothing that a crash
does not survive.
"""

import http.client
import json
import signal
import subprocess
import threading
from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from waiaas.offline import read_tables
from waiaas.stages import Stage

pytestmark = pytest.mark.e2e

PAYMENTS = 20
AMOUNT = 10**6
ENDS = {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 0}
"""How a daemon may be ended, and with which status it ends."""


def rows(program: Any, table: str) -> list[dict[str, Any]]:
    contents = read_tables(program.data)[table]
    return [dict(zip(contents.columns, row, strict=True)) for row in contents.rows]


class Asking(threading.Thread):
    """Asks for payments until the daemon is gone; remembers which ones were acknowledged."""

    def __init__(self, agent: Any, recipient: str, *, numbers: range) -> None:
        super().__init__()
        self._agent = agent
        self._recipient = recipient
        self._numbers = numbers
        self.acknowledged: dict[str, int] = {}
        self.first_answer = threading.Event()

    def run(self) -> None:
        for number in self._numbers:
            try:
                answer = self._agent.pay(self._recipient, AMOUNT + number, key=f"key-{number}")
            except (OSError, http.client.HTTPException, ValueError):
                return
            self.acknowledged[answer["id"]] = AMOUNT + number
            self.first_answer.set()


@pytest.mark.forked
@pytest.mark.slow
@pytest.mark.parametrize(
    ("ending", "delay_ms"), [(signal.SIGKILL, 0), (signal.SIGTERM, 40), (signal.SIGKILL, 150)]
)
def test_every_acknowledged_payment_arrives_exactly_once(
    waiaas: Any,
    chain_of: Callable[[Any], Any],
    recipient: str,
    ending: signal.Signals,
    delay_ms: int,
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    genesis = chain_of(waiaas).genesis()
    half = PAYMENTS // 2
    asking = [
        Asking(agent, recipient, numbers=numbers)
        for numbers in (range(half), range(half, PAYMENTS))
    ]
    for thread in asking:
        thread.start()
    asking[0].first_answer.wait(20)
    threading.Event().wait(delay_ms / 1000)  # Not a wait for anything: a moment among others.
    daemon.process.send_signal(ending)
    assert daemon.ended() == ENDS[ending]
    for thread in asking:
        thread.join()
    acknowledged = {**asking[0].acknowledged, **asking[1].acknowledged}
    print(f"{ending.name} after {delay_ms} ms with {len(acknowledged)} acknowledged")  # noqa: T201 -- a figure

    restarted = waiaas.start()

    chain = chain_of(waiaas)
    assert chain.genesis() == genesis
    agent = type(agent)(restarted.url, agent.token)
    # Those without an answer are asked for again, as a caller would.
    for number in range(PAYMENTS):
        answer = agent.pay(recipient, AMOUNT + number, key=f"key-{number}")
        acknowledged.setdefault(answer["id"], AMOUNT + number)
    assert len(acknowledged) == PAYMENTS
    for tx_id, amount in acknowledged.items():
        ended = agent.ended(tx_id)
        assert (ended["status"], ended["error"]) == ("CONFIRMED", None)
        assert ended["amount"] == str(amount)
    confirmed = rows(waiaas, "transactions")
    assert len(confirmed) == PAYMENTS
    assert len({row["tx_hash"] for row in confirmed}) == PAYMENTS
    assert chain.balance(recipient) == sum(int(row["amount"]) for row in confirmed)


@pytest.mark.slow
@pytest.mark.proof
def test_a_start_that_is_ended_after_any_stage_by_either_signal_loses_nothing(
    waiaas: Any, chain_of: Callable[[Any], Any], recipient: str, proof: Any
) -> None:
    daemon = waiaas.start()
    agent = daemon.funded_agent()
    genesis = chain_of(waiaas).genesis()
    payments = [agent.pay(recipient, AMOUNT, key=f"key-{number}")["id"] for number in range(5)]
    daemon.kill()
    # Both signals take turns, so that few starts are ended by either, too.
    for random, number in zip(
        proof.cases(full=40, unit="starts", budget_s=45), cycle(ENDS), strict=False
    ):
        stage = random.choice(list(Stage))
        starting = waiaas.spawn(
            *("start", "--localnet", "--port", "0", "--password-file", str(waiaas.password_file)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        while json.loads(starting.stderr.readline()).get("stage") != stage:
            pass
        starting.send_signal(number)
        starting.communicate(timeout=30)
        assert starting.returncode == ENDS[number], (stage, number)
        assert [row["id"] for row in rows(waiaas, "transactions")] == payments, (stage, number)

    restarted = waiaas.start()

    agent = type(agent)(restarted.url, agent.token)
    assert chain_of(waiaas).genesis() == genesis
    assert [agent.ends(tx_id) for tx_id in payments] == ["CONFIRMED"] * 5
    assert chain_of(waiaas).balance(recipient) == 5 * AMOUNT


def test_a_daemon_killed_while_it_makes_agents_leaves_none_half_made(waiaas: Any) -> None:
    daemon = waiaas.start(localnet=True)
    operator = daemon.operator()
    answered: list[str] = []
    enough = threading.Event()

    def make() -> None:
        try:
            while True:
                body = {"name": "n", "network": "localnet"}
                answered.append(operator.ask("POST", "/v1/agents", body)["id"])
                if len(answered) >= 2:
                    enough.set()
        except (OSError, http.client.HTTPException, ValueError):
            pass

    making = [threading.Thread(target=make) for _ in range(3)]
    for thread in making:
        thread.start()
    assert enough.wait(20)
    daemon.kill()
    for thread in making:
        thread.join()

    waiaas.start()

    agents = {row["id"]: row["status"] for row in rows(waiaas, "agents")}
    assert all(agents[agent_id] == "ACTIVE" for agent_id in answered)
    keystore = waiaas.data / "keystore"
    keys = {path.stem for path in keystore.iterdir()} - {"keystore"}
    assert {agent for agent, status in agents.items() if status == "ACTIVE"} == keys
    assert set(agents.values()) <= {"ACTIVE", "TERMINATED"}
    assert all(path.suffix == ".json" for path in keystore.iterdir())
    assert json.loads(waiaas.run("status").stdout)["agentCount"] == len(agents)
