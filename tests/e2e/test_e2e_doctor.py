"""`waiaas doctor` beside a daemon and without one."""

import json
from typing import Any

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.forked]


def test_doctor_finds_a_daemon_in_order_and_the_agent_that_may_spend_nothing(waiaas: Any) -> None:
    daemon = waiaas.start()
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
    daemon.kill()
    assert waiaas.wal_bytes()
    before = waiaas.snapshot()
    again = json.loads(waiaas.run("doctor", code=1).stdout)
    unlike = {name for name, content in waiaas.snapshot().items() if before.get(name) != content}
    assert unlike <= {"ledger.db-shm"}, "which every reader of a WAL may write anew"
    found = {each["subject"]: each["state"] for each in again["checks"]}
    assert found.keys() == states.keys()
    assert (found["lock"], found["daemon"], found["last stop"]) == ("fine", "note", "note")
    assert (found["ledger's content"], found["audit chain"]) == ("fine", "fine")
    quiet = waiaas.run("doctor", "--quiet", code=1).stdout.splitlines()
    assert [line.partition(":")[0] for line in quiet] == ["policies"]
