"""`waiaas doctor` beside a daemon and without one."""

import json
from typing import Any

import pytest

pytestmark = pytest.mark.e2e


def test_doctor_finds_a_daemon_in_order_and_the_agent_that_may_spend_nothing(waiaas: Any) -> None:
    waiaas.start()
    agent = waiaas.json("agent", "create", "--name", "a", "--network", "localnet", password=True)
    waiaas.run("backup", "create", "--keystore-key", password=True)
    told = json.loads(waiaas.run("doctor", code=1).stdout)
    assert told["fine"] is False
    states = {each["subject"]: each for each in told["checks"]}
    to_mend = [each["subject"] for each in told["checks"] if each["state"] == "mend"]
    assert to_mend == ["policies"]
    assert agent["id"] in states["policies"]["remedy"]
    for subject in ("lock", "daemon", "version", "workers", "umask", "nodes", "port", "backups"):
        assert states[subject]["state"] == "fine", states[subject]
    waiaas.run("stop")
    again = json.loads(waiaas.run("doctor", code=1).stdout)
    assert {each["subject"] for each in again["checks"]} == set(states)
