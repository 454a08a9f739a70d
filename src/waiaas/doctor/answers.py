"""The daemon, if one runs: does it answer, is it of this directory, and how does it say it is?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from waiaas.doctor.finding import Finding, Subject, fine, mend, note, unknown
from waiaas.doctor.ledger import LedgerRead
from waiaas.domain.workers import WorkerState

_NONE_RUNS = "no daemon runs"


@dataclass(frozen=True, slots=True)
class Answer:
    """What asking the daemon came to."""

    pid: int | None
    """Of the process that says that it is the daemon; None: none does."""
    status: Mapping[str, Any] | None
    """Its answer to GET /v1/admin/status."""
    problem: str | None
    """Why there is none, though there should be."""
    remedy: str | None = None
    """What that needs, if it is known better than what always helps."""

    @property
    def is_running(self) -> bool:
        """Tell whether a daemon is there, answering or not."""
        return self.pid is not None


def check_daemon(answer: Answer, read: LedgerRead) -> Iterator[Finding]:
    """Does a daemon run, answer, and serve this directory?"""
    status, facts = answer.status, read.facts
    if answer.problem is not None:
        yield mend(
            Subject.DAEMON,
            answer.problem,
            answer.remedy
            or "Look at its log; `waiaas stop`, or end its process, and start it again.",
        )
    elif status is None:
        yield note(Subject.DAEMON, f"{_NONE_RUNS}: `waiaas start`")
    elif facts is not None and facts.daemon_id != status["daemonId"]:
        yield mend(
            Subject.DAEMON,
            f"the daemon that answers is {status['daemonId']}, the ledger's is {facts.daemon_id}",
            "It serves another directory: end its process, and start one on this.",
        )
    else:
        yield fine(Subject.DAEMON, f"process {answer.pid} answers: {status['status']}")
    if status is not None and status["locked"]:
        yield mend(
            Subject.DAEMON,
            "its keys were dropped: nothing is signed",
            "Once it is safe, the operator gives it the password again: `waiaas unlock`.",
        )
    if status is not None and status["ledgerProblem"] is not None:
        yield mend(
            Subject.DAEMON,
            f"nothing is written: {status['ledgerProblem']}",
            "Do what it says. After a full disk it goes on by itself, some seconds later.",
        )


def check_version(answer: Answer, *, version: str) -> Finding:
    """Is the daemon the program that is installed?"""
    if answer.status is None:
        return fine(Subject.VERSION, f"this is {version}; {_NONE_RUNS}")
    if answer.status["version"] != version:
        return mend(
            Subject.VERSION,
            f"the daemon is {answer.status['version']}, this command {version}",
            "Restart the daemon: `waiaas stop`, `waiaas start`.",
        )
    return fine(Subject.VERSION, f"{version}, the daemon's too")


def check_workers(answer: Answer) -> Iterator[Finding]:
    """Does everything work that the daemon does besides answering?"""
    status = answer.status
    if status is None:
        yield unknown(Subject.WORKERS, _NONE_RUNS)
        return
    failing = [each for each in status["workers"] if each["state"] == WorkerState.FAILING]
    for each in failing:
        yield mend(
            Subject.WORKERS,
            f"{each['name']} fails: {each['problem']}",
            "It tries again by itself; the daemon's log says more.",
        )
    if status["blockedTransactionCount"]:
        yield mend(
            Subject.WORKERS,
            f"{status['blockedTransactionCount']} payments do not get on",
            "They are tried again and again; the daemon's log says why they fail.",
        )
    if status["unreadableTransactionCount"]:
        yield mend(
            Subject.WORKERS,
            f"{status['unreadableTransactionCount']} payments are unreadable in the ledger",
            "They are set aside, and the daemon's log names them; restore a backup.",
        )
    if not failing:
        yield fine(Subject.WORKERS, f"{len(status['workers'])}, none of which fails")
