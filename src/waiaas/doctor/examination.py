"""Everything that is looked at, in one go. Nothing is changed by it, beside a daemon or without."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from waiaas.applied import solana_urls
from waiaas.config.reading import load_config
from waiaas.config.registry import Config
from waiaas.directory import sentence
from waiaas.doctor import answers, files, keys, ledger, machine, nodes
from waiaas.doctor.answers import Answer
from waiaas.doctor.finding import Finding, Subject, fine, mend
from waiaas.doctor.ledger import LedgerRead
from waiaas.doctor.machine import Machine
from waiaas.domain.enums import NetworkType
from waiaas.layout import Obstacle, obstacles
from waiaas.place import ConfigError


@dataclass(frozen=True, slots=True)
class Settings:
    """What reading the settings came to: one of the two."""

    config: Config | None
    mistakes: tuple[str, ...]


def read_config(directory: Path) -> Settings:
    """Read the settings."""
    try:
        return Settings(load_config(directory), ())
    except ConfigError as error:
        return Settings(None, error.args)


def check_settings(settings: Settings) -> Iterator[Finding]:
    """Do the settings load?"""
    for mistake in settings.mistakes:
        yield mend(Subject.SETTINGS, mistake, "Put it right in config.toml or the environment.")
    if settings.config is not None:
        yield fine(Subject.SETTINGS, "they load; `waiaas config explain` shows them")


def examine(
    directory: Path, *, answer: Answer, version: str, now_s: int, with_nodes: bool
) -> Iterator[Finding]:
    """Yield what every check finds.

    Args:
        directory: the data directory; it may be missing.
        answer: what the daemon said.
        version: of this program.
        now_s: what the clock shows.
        with_nodes: whether the nodes are to be asked, which goes over the network.
    """
    try:
        yield from _all(
            directory, answer=answer, version=version, now_s=now_s, with_nodes=with_nodes
        )
    except OSError as error:  # Not even to be looked at: the rest would be guesses.
        yield mend(
            Subject.DIRECTORY, sentence(error), "Look again as the user who owns the directory."
        )


def _all(
    directory: Path, *, answer: Answer, version: str, now_s: int, with_nodes: bool
) -> Iterator[Finding]:
    settings = read_config(directory)
    seen = machine.read_machine(directory, pid=answer.pid)
    yield files.check_directory(directory)
    if not directory.is_dir():
        yield from (machine.check_user(seen), ledger.check_sqlite())
        return
    in_the_way = tuple(obstacles(directory))
    read = ledger.UNREAD
    if not any(each.place.is_of_ledger and each.is_other_kind for each in in_the_way):
        read = ledger.read_ledger(directory, is_in_use=answer.is_running or seen.lock_holder != 0)
    yield from _of_place(directory, seen, settings, in_the_way)
    yield from _of_daemon(answer, seen, settings, read, version=version)
    yield from _of_ledger(directory, answer, read, in_the_way, now_s=now_s)
    if with_nodes:
        asked = None if settings.config is None else _asked_nodes(settings.config, answer)
        yield from nodes.check_nodes(asked, is_running=answer.is_running)


def _of_place(
    directory: Path, seen: Machine, settings: Settings, in_the_way: Sequence[Obstacle]
) -> Iterator[Finding]:
    yield from files.check_files(directory, in_the_way)
    yield from (machine.check_file_system(seen), machine.check_space(seen))
    yield machine.check_user(seen)
    yield from check_settings(settings)
    yield ledger.check_sqlite()


def _of_daemon(
    answer: Answer, seen: Machine, settings: Settings, read: LedgerRead, *, version: str
) -> Iterator[Finding]:
    yield machine.check_lock(seen, pid=answer.pid)
    yield from answers.check_daemon(answer, read)
    yield answers.check_version(answer, version=version)
    port = None if settings.config is None else settings.config.daemon.port
    yield from machine.check_port(port, is_running=answer.is_running)
    yield from answers.check_workers(answer)
    swappable = 0 if answer.status is None else answer.status["swappableSecretCount"]
    yield machine.check_memory(seen, swappable=swappable)
    yield machine.check_core_dumps(seen)
    yield machine.check_umask(seen)


def _of_ledger(
    directory: Path,
    answer: Answer,
    read: LedgerRead,
    in_the_way: Sequence[Obstacle],
    *,
    now_s: int,
) -> Iterator[Finding]:
    difference_s = None if answer.status is None else answer.status["clockDifference"]
    yield ledger.check_clock(read, now_s=now_s, difference_s=difference_s)
    yield ledger.check_ledger(read)
    yield from ledger.check_content(read, now_s=now_s)
    yield from (ledger.check_chain(read), ledger.check_wal(read))
    is_restored = read.facts is not None and read.facts.restored_s is not None
    yield files.check_last_stop(directory, is_running=answer.is_running, is_restored=is_restored)
    yield files.check_ballast(directory)
    yield from (files.check_restore(directory, in_the_way), ledger.check_restored(read))
    yield keys.check_keystore(directory, read.facts)
    yield from keys.check_keys(directory, None if read.facts is None else read.facts.agents)
    yield ledger.check_kill_switch(read)
    yield from ledger.check_agents(read)
    yield from ledger.check_policies(read)
    yield from ledger.check_backups(directory, read, now_s=now_s)


def _asked_nodes(config: Config, answer: Answer) -> dict[NetworkType, str | None]:
    urls = solana_urls(config.rpc)
    if answer.status is not None and answer.status["localnetUrl"] is not None:
        urls[NetworkType.LOCALNET] = answer.status["localnetUrl"]
    return nodes.ask_nodes(urls)
