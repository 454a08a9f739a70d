"""A daemon that signed nothing for a while locks itself; what is due waits for the password."""

from pathlib import Path
from typing import Any

import pytest

from waiaas.offline import read_tables

pytestmark = pytest.mark.e2e

SOL = 10**9
AFTER_A_SECOND = {"WAIAAS_KEYSTORE_AUTO_LOCK_SECONDS": "1"}


class Desk:
    """A person before the daemon, who enters the password whenever it has locked itself."""

    def __init__(self, daemon: Any, cookie: str, password: str) -> None:
        self._cookie = type(daemon.operator())(daemon.url, cookie)
        self._daemon = daemon
        self._password = {"password": password}

    def status(self) -> dict[str, Any]:
        seen: dict[str, Any] = self._cookie.get("/v1/admin/status")
        return seen

    def is_locked(self) -> bool:
        return bool(self.status()["status"] == "locked")

    def unlock(self) -> None:
        self._cookie.ask("POST", "/v1/admin/unlock", self._password)

    def approve(self, tx_id: str) -> None:
        self._daemon._operators.clear()  # No login survives a lock.
        self._daemon.operator().ask("POST", f"/v1/approvals/{tx_id}/approve", self._password)

    def hold_one_up(self, recipient: str) -> tuple[Any, str] | None:
        """Make an agent with a payment that waits for a person; None if it locked in between."""
        try:
            agent = self._daemon.funded_agent(lamports=15 * SOL)
            return agent, agent.pay(recipient, 11 * SOL, key="k")["id"]
        except ValueError:
            self._daemon._operators.clear()
            self.unlock()
            return None

    def confirmed(self, agent: Any, tx_id: str) -> dict[str, Any] | None:
        seen: dict[str, Any] = agent.get(f"/v1/transactions/{tx_id}")
        if seen["status"] == "CONFIRMED":
            return seen
        if self.is_locked():  # The machine was slow: it was open for a second.
            self.unlock()
        return None


def actors(data: Path, event: str) -> list[str]:
    """Return who did it, each time, by the audit log."""
    log = read_tables(data)["audit_log"]
    rows = [dict(zip(log.columns, row, strict=True)) for row in log.rows]
    return [str(row["actor"]) for row in rows if row["event_type"] == event]


def test_an_idle_daemon_locks_itself_and_what_is_due_waits_until_it_is_unlocked(
    waiaas: Any, recipient: str, wait: Any
) -> None:
    daemon = waiaas.start(env=AFTER_A_SECOND)
    cookie = (waiaas.data / "operator.cookie").read_text(encoding="ascii")
    desk = Desk(daemon, cookie, waiaas.password_file.read_text(encoding="utf-8").strip())
    agent, tx_id = wait("a payment to wait for", lambda: desk.hold_one_up(recipient))
    wait("it to lock itself", desk.is_locked)
    locked = actors(waiaas.data, "KEYSTORE_LOCKED")
    assert set(locked) == {"system"}
    opened = len(actors(waiaas.data, "KEYSTORE_UNLOCKED"))

    assert agent.get(f"/v1/transactions/{tx_id}")["status"] == "QUEUED"
    with pytest.raises(ValueError, match="keystore_locked"):
        agent.get("/readyz")
    with pytest.raises(ValueError, match="KEYSTORE_LOCKED"):
        agent.pay(recipient, 1, key="more")
    desk.approve(tx_id)
    wait("it to be held", lambda: desk.status()["blockedTransactionCount"] == 1)
    assert desk.is_locked()
    assert agent.get(f"/v1/transactions/{tx_id}")["status"] == "QUEUED"

    desk.unlock()
    assert wait("its confirmation", lambda: desk.confirmed(agent, tx_id))["txHash"]
    assert len(actors(waiaas.data, "KEYSTORE_UNLOCKED")) > opened
