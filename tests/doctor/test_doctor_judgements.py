"""Each check by itself, over rows of what can be seen: a sound one, and every one that is not."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from waiaas.backups.create import list_backups
from waiaas.database.chain import Fault, FaultKind, Verification
from waiaas.database.examination import Examined
from waiaas.doctor import answers, ledger, machine, nodes
from waiaas.doctor.answers import Answer
from waiaas.doctor.finding import Finding, State, Subject, mend
from waiaas.doctor.ledger import AgentFacts, LedgerFacts, LedgerRead
from waiaas.doctor.machine import Machine
from waiaas.domain.enums import AgentStatus, ChainType, KillSwitchState, NetworkType
from waiaas.pipeline.own_keystore import KnownKeystore

NOW_S = 1_900_000_000
ID = "01890000-0000-7000-8000-000000000000"

MACHINE = Machine(
    is_root=False,
    free_bytes=10**10,
    file_system="ext4",
    lacks_mounts=False,
    read_only=(),
    lock_holder=0,
    locked_bytes_max=8 * 1024 * 1024,
    core_bytes_max=0,
    umask=0o077,
    guarded_problem=None,
)
AGENT = AgentFacts(ID, "a", ChainType.SOLANA, "A", AgentStatus.ACTIVE, has_policy=True)
FACTS = LedgerFacts(
    *("d", NOW_S - 5, NOW_S - 7200, None, KnownKeystore("k", ("f",))),
    *(KillSwitchState.NORMAL, (AGENT,)),
)
CHAIN = Verification(rows=3, hash="ab" * 32, anchors=0, fault=None)
EXAMINED = Examined(4096, 0, 1, (), CHAIN, FACTS)
STATUS: dict[str, Any] = {
    "status": "ok",
    "locked": False,
    "daemonId": "d",
    "version": "1",
    "ledgerProblem": None,
    "blockedTransactionCount": 0,
    "unreadableTransactionCount": 0,
    "workers": [{"name": "payments", "state": "running", "problem": None}],
}
UNREADABLE = LedgerRead(None, "it is no database")


def read(**changes: Any) -> LedgerRead:
    return LedgerRead(replace(EXAMINED, **changes), None)


def says(**changes: Any) -> LedgerRead:
    return read(value=replace(FACTS, **changes))


def answer(**changes: Any) -> Answer:
    return Answer(7, {**STATUS, **changes}, None)


def worst(found: Finding | Iterable[Finding]) -> tuple[State, str]:
    findings = [found] if isinstance(found, Finding) else list(found)
    order = (State.MEND, State.UNKNOWN, State.NOTE, State.FINE)
    first = min(findings, key=lambda each: order.index(each.state))
    return first.state, first.found


def in_memory(seen: Machine) -> Finding:
    return machine.check_memory(seen, swappable=0)


def test_secrets_that_the_daemon_could_not_lock_are_told() -> None:
    assert machine.check_memory(MACHINE, swappable=2).state is State.MEND


@pytest.mark.parametrize(
    ("check", "changes", "state"),
    [
        (machine.check_user, {}, State.FINE),
        (machine.check_user, {"is_root": True}, State.NOTE),
        (machine.check_file_system, {}, State.FINE),
        (machine.check_file_system, {"file_system": None}, State.UNKNOWN),
        (machine.check_file_system, {"file_system": None, "lacks_mounts": True}, State.MEND),
        (machine.check_file_system, {"file_system": "nfs4"}, State.MEND),
        (machine.check_file_system, {"file_system": "tmpfs"}, State.MEND),
        (machine.check_file_system, {"read_only": (Path("/data"),)}, State.MEND),
        (machine.check_space, {}, State.FINE),
        (machine.check_space, {"free_bytes": None}, State.UNKNOWN),
        (machine.check_space, {"free_bytes": machine.SPACE_BYTES_MIN}, State.FINE),
        (machine.check_space, {"free_bytes": machine.SPACE_BYTES_MIN - 1}, State.MEND),
        (in_memory, {}, State.FINE),
        (in_memory, {"locked_bytes_max": -1}, State.FINE),
        (in_memory, {"locked_bytes_max": None}, State.UNKNOWN),
        (in_memory, {"locked_bytes_max": 0}, State.MEND),
        (in_memory, {"locked_bytes_max": 65536}, State.MEND),
        (in_memory, {"guarded_problem": "there is no libsodium"}, State.MEND),
        (machine.check_core_dumps, {}, State.FINE),
        (machine.check_core_dumps, {"core_bytes_max": None}, State.UNKNOWN),
        (machine.check_core_dumps, {"core_bytes_max": -1}, State.MEND),
        (machine.check_umask, {}, State.FINE),
        (machine.check_umask, {"umask": None}, State.UNKNOWN),
        (machine.check_umask, {"umask": 0o027}, State.MEND),
    ],
)
def test_what_the_machine_allows_is_judged(check: Any, changes: Any, state: State) -> None:
    assert worst(check(replace(MACHINE, **changes)))[0] is state


@pytest.mark.parametrize(
    ("holder", "pid", "state"),
    [
        (0, None, State.FINE),
        (7, 7, State.FINE),
        (None, 7, State.UNKNOWN),
        (0, 7, State.UNKNOWN),
        (8, 7, State.NOTE),
        (8, None, State.NOTE),
    ],
)
def test_who_holds_the_lock_is_told(holder: int | None, pid: int | None, state: State) -> None:
    assert machine.check_lock(replace(MACHINE, lock_holder=holder), pid=pid).state is state


def test_limits_and_umask_are_read_as_linux_writes_them() -> None:
    limits = "Limit    Soft Limit  Hard Limit  Units\nMax core file size  0  unlimited  bytes\n"
    assert machine.limit_in(limits, "Max core file size") == 0
    assert machine.limit_in(limits.replace(" 0 ", " unlimited "), "Max core file size") == -1
    assert machine.limit_in("", "Max core file size") is None
    assert machine.umask_in("Name:\tx\nUmask:\t0077\n") == 0o077
    assert machine.umask_in("Name:\tx\n") is None


@pytest.mark.parametrize(
    ("found", "state", "told"),
    [
        (ledger.check_ledger(read()), State.FINE, "schema 1"),
        (ledger.check_ledger(UNREADABLE), State.MEND, "no database"),
        (ledger.check_content(read(), now_s=NOW_S), State.FINE, "2 h ago"),
        (ledger.check_content(says(checked_s=0), now_s=NOW_S), State.FINE, "never"),
        (ledger.check_content(read(damage=None), now_s=NOW_S), State.NOTE, "too large"),
        (ledger.check_content(read(damage=("p",), value=None), now_s=NOW_S), State.MEND, "p"),
        (ledger.check_content(UNREADABLE, now_s=NOW_S), State.UNKNOWN, "read"),
        (ledger.check_chain(read()), State.FINE, "3 rows"),
        (ledger.check_chain(read(chain=None)), State.UNKNOWN, "audit verify"),
        (
            ledger.check_chain(
                read(chain=replace(CHAIN, fault=Fault(FaultKind.EDITED, 1, 1, "row 1")))
            ),
            State.MEND,
            "tampered",
        ),
        (ledger.check_wal(read(wal_bytes=15_999 * 4096)), State.FINE, "15999"),
        (ledger.check_wal(read(wal_bytes=16_000 * 4096)), State.MEND, "16000"),
        (ledger.check_wal(UNREADABLE), State.UNKNOWN, "read"),
        (ledger.check_clock(read(), now_s=NOW_S, difference_s=None), State.FINE, "not behind"),
        (ledger.check_clock(read(), now_s=NOW_S - 305, difference_s=None), State.FINE, "not"),
        (ledger.check_clock(read(), now_s=NOW_S - 306, difference_s=None), State.MEND, "301 s"),
        (ledger.check_clock(UNREADABLE, now_s=0, difference_s=None), State.FINE, "not behind"),
        (ledger.check_clock(read(), now_s=NOW_S, difference_s=900), State.MEND, "900 s ahead"),
        (ledger.check_restored(read()), State.FINE, "nothing"),
        (ledger.check_restored(says(restored_s=1)), State.MEND, "pays nothing"),
        (ledger.check_restored(UNREADABLE), State.UNKNOWN, "read"),
        (ledger.check_kill_switch(read()), State.FINE, "off"),
        (
            ledger.check_kill_switch(says(switch=KillSwitchState.ACTIVATED)),
            State.MEND,
            "nothing is signed",
        ),
        (ledger.check_kill_switch(UNREADABLE), State.UNKNOWN, "read"),
        (ledger.check_agents(read()), State.FINE, "1 may pay, of 1"),
        (ledger.check_agents(UNREADABLE), State.UNKNOWN, "read"),
        (ledger.check_policies(read()), State.FINE, "every agent"),
        (ledger.check_policies(UNREADABLE), State.UNKNOWN, "read"),
        (
            ledger.check_policies(says(agents=(replace(AGENT, has_policy=False),))),
            State.MEND,
            "may spend nothing",
        ),
    ],
)
def test_what_the_ledger_says_is_judged(found: Any, state: State, told: str) -> None:
    seen, text = worst(found)
    assert seen is state
    assert told in text


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (AgentStatus.CREATING, State.MEND),
        (AgentStatus.TERMINATING, State.NOTE),
        (AgentStatus.SUSPENDED, State.NOTE),
        (AgentStatus.TERMINATED, State.FINE),
    ],
)
def test_agents_that_cannot_pay_are_named_and_need_no_policy(
    status: AgentStatus, state: State
) -> None:
    read = says(agents=(replace(AGENT, status=status, has_policy=False),))
    assert worst(ledger.check_agents(read))[0] is state
    assert worst(ledger.check_policies(read))[0] is State.FINE


def test_an_agent_on_a_chain_without_an_adapter_needs_no_policy() -> None:
    agent = replace(AGENT, chain=ChainType.ETHEREUM, has_policy=False)
    assert worst(ledger.check_policies(says(agents=(agent,))))[0] is State.FINE
    seen, text = worst(ledger.check_agents(says(agents=(agent, AGENT))))
    assert (seen, "no adapter yet" in text) == (State.NOTE, True)
    assert "1 may pay, of 2" in [*ledger.check_agents(says(agents=(agent, AGENT)))][-1].found


def test_no_backup_is_wrong_once_there_is_a_key_to_lose(tmp_path: Path) -> None:
    assert list_backups(tmp_path) == ([], [])
    for read, state in (
        (says(), State.MEND),
        (says(agents=()), State.NOTE),
        (UNREADABLE, State.NOTE),
    ):
        assert worst(ledger.check_backups(tmp_path, read, now_s=NOW_S))[0] is state


@pytest.mark.parametrize(
    ("found", "state", "told"),
    [
        (answers.check_daemon(answer(), read()), State.FINE, "process 7 answers"),
        (answers.check_daemon(Answer(None, None, None), read()), State.NOTE, "no daemon runs"),
        (answers.check_daemon(Answer(7, None, "no answer"), read()), State.MEND, "no answer"),
        (answers.check_daemon(answer(daemonId="e"), read()), State.MEND, "answers is e"),
        (answers.check_daemon(answer(daemonId="e"), UNREADABLE), State.FINE, "process 7"),
        (answers.check_daemon(answer(ledgerProblem="full"), read()), State.MEND, "full"),
        (
            answers.check_daemon(answer(status="read_only", locked=True), read()),
            State.MEND,
            "nothing is signed",
        ),
        (answers.check_version(answer(), version="1"), State.FINE, "1"),
        (answers.check_version(answer(), version="2"), State.MEND, "this command 2"),
        (answers.check_version(Answer(None, None, None), version="2"), State.FINE, "no daemon"),
        (answers.check_workers(answer()), State.FINE, "none of which fails"),
        (answers.check_workers(Answer(None, None, None)), State.UNKNOWN, "no daemon"),
        (
            answers.check_workers(
                answer(workers=[{"name": "backup", "state": "failing", "problem": "no room"}])
            ),
            State.MEND,
            "no room",
        ),
        (answers.check_workers(answer(blockedTransactionCount=2)), State.MEND, "2 payments"),
        (answers.check_workers(answer(unreadableTransactionCount=1)), State.MEND, "unreadable"),
    ],
)
def test_what_the_daemon_says_is_judged(found: Any, state: State, told: str) -> None:
    seen, text = worst(found)
    assert seen is state
    assert told in text


@pytest.mark.parametrize(
    ("asked", "is_running", "state"),
    [
        (None, False, State.UNKNOWN),
        ({}, False, State.NOTE),
        ({}, True, State.MEND),
        ({NetworkType.DEVNET: None}, True, State.FINE),
        ({NetworkType.DEVNET: None, NetworkType.MAINNET: "it is on devnet"}, True, State.MEND),
    ],
)
def test_what_the_nodes_say_is_judged(asked: Any, is_running: Any, state: State) -> None:
    assert worst(nodes.check_nodes(asked, is_running=is_running))[0] is state


def test_what_has_to_be_mended_says_how_and_nothing_else_does() -> None:
    with pytest.raises(AssertionError):
        Finding(Subject.NODES, State.MEND, "broken")
    with pytest.raises(AssertionError):
        Finding(Subject.NODES, State.FINE, "fine", "a remedy")
    assert mend(Subject.NODES, "broken", "mend it").remedy == "mend it"


def test_a_daemon_whose_disk_was_full_needs_no_restart() -> None:
    """It goes on by itself: tests/e2e/test_e2e_disk.py."""
    *_, told = answers.check_daemon(answer(ledgerProblem="the disk is full: free some"), read())
    assert "restart" not in str(told.remedy)
    assert "goes on by itself" in str(told.remedy)
