"""Scheduled backups with the program as shipped: nobody asks for them, and they are good."""

import sys
from pathlib import Path
from typing import Any, Final

import libfaketime  # type: ignore[import-untyped]  # -- only its place is wanted
import pytest

pytestmark = pytest.mark.e2e

FAKETIME: Final = (
    Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
)
HOURLY_AND_ONE: Final = {"WAIAAS_BACKUP_INTERVAL_HOURS": "1", "WAIAAS_BACKUP_KEEP": "1"}
TWO_HOURS_AHEAD: Final = {
    "LD_PRELOAD": str(FAKETIME),
    "FAKETIME": "+2h",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


@pytest.mark.skipif(sys.platform != "linux", reason="libfaketime is built on Linux alone")
def test_a_daemon_backs_itself_up_soon_after_its_start_and_again_when_it_is_due(
    waiaas: Any, wait: Any
) -> None:
    backups = waiaas.data / "backups"

    def scheduled() -> set[str]:
        return {path.name for path in backups.glob("*-scheduled-*.waiaas-backup")}

    daemon = waiaas.start(localnet=False, env=HOURLY_AND_ONE)
    [first] = wait("the first scheduled backup", scheduled)
    operator = daemon.operator()
    mine = operator.ask("POST", "/v1/admin/backups", {"mode": "keystore"})["name"]
    status = operator.get("/v1/admin/status")
    assert status["scheduledBackupProblem"] is None
    told = waiaas.json("backup", "verify", first, password=True)
    assert (told["whole"], told["daemonId"]) == (True, status["daemonId"])
    assert told["createdAt"] == status["lastScheduledBackupAt"]
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert not list(waiaas.data.glob(".backup-work-*"))

    # Two hours later, as far as the machine's clock goes; it has not run for so long, so somebody
    # has to say that this is right. The next start knows it.
    daemon = waiaas.start(localnet=False, env={**HOURLY_AND_ONE, **TWO_HOURS_AHEAD})
    assert daemon.operator().get("/health")["status"] == "clock_in_doubt"
    unseen = waiaas.run("clock", "accept", password=True, code=1).stderr
    assert "--difference 7" in unseen
    refused = waiaas.run("clock", "accept", "--difference", "0", password=True, code=1).stderr
    assert "CLOCK_IN_DOUBT" in refused
    seen = waiaas.json("clock", "status")["difference"]
    assert abs(seen - 2 * 3600) < 60
    accepted = waiaas.json("clock", "accept", "--difference", f"{seen}", password=True)
    assert (accepted["inDoubt"], accepted["difference"]) == (False, 0)
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert scheduled() == {first}

    daemon = waiaas.start(localnet=False, env={**HOURLY_AND_ONE, **TWO_HOURS_AHEAD})
    [second] = wait("the second in place of the first", lambda: scheduled() - {first})
    wait("the first to be gone", lambda: first not in scheduled())
    assert (backups / mine).exists()
    daemon.process.terminate()
    assert daemon.ended() == 0
    assert scheduled() == {second}
