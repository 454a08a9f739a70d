"""Where packages are fetched from is the installing machine's affair; no file of ours names a host.

The host names below are put together from pieces, or this file would break its own rule.
"""

import json
import re
from pathlib import Path
from typing import Any, Final

import pytest

HOSTS: Final = tuple(
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("pythonhosted", "org"),
        ("anaconda", "org"),
        ("npmjs", "org"),
        ("npmjs", "com"),
        ("yarnpkg", "com"),
        ("jsr", "io"),
        ("deb", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("ftp", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("alpinelinux", "org"),
        ("crates", "io"),
        ("rubygems", "org"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("goproxy", "io"),
        ("maven", "org"),
        ("maven", "apache", "org"),
        ("packagist", "org"),
        ("nuget", "org"),
        ("hex", "pm"),
    )
)
"""Public package registries, and the machines that serve their files."""

INDEX_OPTIONS: Final = re.compile(
    r"^\s*(-i|-f|--index-url|--extra-index-url|--find-links|--trusted-host|--no-index)\b"
)
PINNED: Final = re.compile(r"[a-z0-9][a-z0-9._-]*(\[[a-z0-9,._-]+\])?==[^\s;]+(\s*;.*)?")
HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")


def registry_hosts(text: str) -> list[str]:
    lowered = text.lower()
    named = [host for host in HOSTS if host in lowered]  # most files name none
    return [host for host in named if re.search(rf"(?<![\w-]){re.escape(host)}(?![\w-])", lowered)]


def loose_requirements(text: str) -> list[str]:
    """Return the lines that name an index or an address, or pin without a hash."""
    logical_lines = text.replace("\\\n", " ").splitlines()
    findings = []
    for line in logical_lines:
        requirement = line.split(" #")[0].strip()
        if not requirement or requirement.startswith("#"):
            continue
        specifier = requirement.split("--hash")[0].strip()
        pinned = PINNED.fullmatch(specifier) and HASH.search(requirement)
        if INDEX_OPTIONS.match(requirement) or "://" in requirement or not pinned:
            findings.append(specifier)
    return findings


def keys_of(value: object) -> set[str]:
    """Return every key used anywhere in a JSON document."""
    match value:
        case dict():
            return {str(key) for key in value}.union(*map(keys_of, value.values()))
        case list():
            return set().union(*map(keys_of, value))
        case _:
            return set()


def test_no_file_names_the_host_of_a_package_registry(any_files: Any) -> None:
    assert not any_files.whose_text(registry_hosts)


@pytest.mark.parametrize("host", HOSTS)
def test_control_a_registry_host_is_noticed_in_any_case_and_under_a_subdomain(host: str) -> None:
    assert registry_hosts(f"see https://files.{host.upper()}/simple") == [
        other for other in HOSTS if host.endswith(other)
    ]


def test_control_a_longer_name_that_merely_contains_a_host_is_not_one() -> None:
    assert not registry_hosts("not" + HOSTS[0] + " " + HOSTS[0] + "anise")


def test_every_locked_requirement_has_a_version_a_hash_and_no_address(
    requirements_files: Any,
) -> None:
    assert not requirements_files.whose_text(loose_requirements)


@pytest.mark.parametrize(
    "bad",
    [
        "apsw==3.54.1.0",
        f"apsw>=3 --hash=sha256:{'0' * 64}",
        f"apsw==3 --hash=md5:{'0' * 32}",
        "--index-url somewhere",
        "--extra-index-url=somewhere",
        "-f wheels",
        "--trusted-host somewhere",
        f"apsw @ https://example.invalid/apsw.whl --hash=sha256:{'0' * 64}",
    ],
)
def test_control_a_loose_requirement_is_noticed(bad: str) -> None:
    good = (
        f"msgspec==0.22 ; sys_platform != 'win32' \\\n    --hash=sha256:{'a' * 64}\n    # via us\n"
    )
    assert not loose_requirements(good)
    assert len(loose_requirements(good + bad)) == 1


def test_lock_files_of_npm_record_no_addresses(repository_files: tuple[Path, ...]) -> None:
    names = {"package-lock.json", "npm-shrinkwrap.json"}
    for path in repository_files:
        if path.name in names:
            assert "resolved" not in keys_of(json.loads(path.read_text(encoding="utf-8"))), path


def test_control_a_recorded_address_is_noticed_at_any_depth() -> None:
    assert "resolved" in keys_of({"packages": {"a": [{"resolved": "somewhere"}]}})
