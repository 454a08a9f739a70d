"""deploy/: the unit and the container give the daemon what it needs and little else."""

import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from waiaas.config.registry import SETTINGS

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
UNIT = (DEPLOY / "waiaas.service").read_text(encoding="utf-8")
CONTAINER = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
PAGE = (DEPLOY.parent / "docs" / "deploy.md").read_text(encoding="utf-8")
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")

RULES = {
    "Type": "notify",
    "RestartPreventExitStatus": "2 4",
    "User": "waiaas",
    "StateDirectoryMode": "0700",
    "LoadCredential": "waiaas-master-password:/etc/waiaas/master-password",
    "LimitMEMLOCK": "64M",
    "LimitCORE": "0",
    "MemoryDenyWriteExecute": "yes",
    "UMask": "0077",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "RestrictSUIDSGID": "yes",
    "RestrictNamespaces": "yes",
    "LockPersonality": "yes",
    "SystemCallFilter": "@system-service",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
}
EXPOSURE_MAX = 20
"""Of 100, by systemd's own count."""


def settings_of(unit: str) -> dict[str, list[str]]:
    """Return every setting of a unit with its values."""
    found = defaultdict(list)
    for line in unit.splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found[name].append(value)
    return found


def broken(unit: str) -> set[str]:
    """Return the rules that a unit does not keep."""
    found = settings_of(unit)
    return {name for name, value in RULES.items() if found[name] != [value]}


def secrets_in(text: str) -> list[str]:
    """Return the lines that put a secret where others can see it."""
    return [
        line
        for line in text.splitlines()
        if not line.lstrip().startswith("#")
        and re.search(r"(?i)\b(ENV|Environment|environment)\b.*(password|secret|token)", line)
    ]


def installs_by_name(text: str) -> list[str]:
    """Return the commands that install whatever somebody has put in a registry under a name."""
    found = re.findall(r"pip install .*", text)
    return [each for each in found if "--require-hashes" not in each and "--no-deps" not in each]


def test_the_unit_keeps_every_rule() -> None:
    assert not broken(UNIT)


@pytest.mark.parametrize("name", RULES)
def test_control_a_unit_without_a_line_breaks_its_rule(name: str) -> None:
    without = "\n".join(line for line in UNIT.splitlines() if not line.startswith(f"{name}="))
    assert broken(without) == {name}


def test_the_password_comes_by_a_descriptor_and_is_in_no_argument_or_environment() -> None:
    for text in (UNIT, CONTAINER):
        assert "start --password-fd 3 3<" in text
    for text in (UNIT, CONTAINER, COMPOSE):
        assert not secrets_in(text)


def test_control_a_secret_in_the_environment_is_noticed() -> None:
    assert secrets_in("Environment=WAIAAS_PASSWORD=x")
    assert secrets_in("ENV MASTER_PASSWORD=x")


def test_what_they_set_are_settings_that_somebody_reads() -> None:
    variables = {f"WAIAAS_{each.section}_{each.key}".upper() for each in SETTINGS}
    set_here = set(re.findall(r"WAIAAS_\w+", UNIT + CONTAINER + COMPOSE))
    assert set_here <= variables | {"WAIAAS_DATA_DIR"}


def test_the_container_is_nobodys_root_and_checks_itself_without_another_program() -> None:
    [user] = re.findall(r"^USER (\d+):\d+$", CONTAINER, re.MULTILINE)
    assert int(user) > 0
    assert CONTAINER.rindex("USER ") > CONTAINER.rindex("RUN "), "nothing is run as root after it"
    assert 'CMD ["waiaas", "health", "--live"]' in CONTAINER
    assert "curl" not in CONTAINER
    assert "VOLUME /data" in CONTAINER


def test_nothing_is_installed_by_a_name_that_anybody_may_register() -> None:
    for text in (CONTAINER, PAGE):
        assert "pip install --require-hashes -r requirements/runtime.txt" in text.replace(
            " --no-cache-dir", ""
        )
        assert not installs_by_name(text)


def test_control_an_installation_by_name_is_noticed() -> None:
    assert installs_by_name("# /opt/waiaas/bin/pip install waiaas")


def test_compose_gives_it_a_read_only_root_and_publishes_nothing() -> None:
    for line in ("read_only: true", "cap_drop: [ALL]", '"no-new-privileges:true"', "core: 0"):
        assert line in COMPOSE
    assert f'user: "{re.findall(r"^USER (.+)$", CONTAINER, re.MULTILINE)[0]}"' in COMPOSE
    assert not re.search(r"^\s*ports:", COMPOSE, re.MULTILINE)


def test_the_password_gets_neither_into_the_repository_nor_into_the_image() -> None:
    root = DEPLOY.parent
    assert "/deploy/master-password" in (root / ".gitignore").read_text("utf-8").splitlines()
    sent = (DEPLOY / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    assert sent[1] == "*", "nothing that is not named is sent"
    named = {line[1:] for line in sent if line.startswith("!")}
    copied = re.findall(r"^COPY ([^-].*) \S+$", CONTAINER, re.MULTILINE)
    assert named == {name for line in copied for name in line.split()}


def test_systemd_understands_the_unit_and_counts_little_exposure(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd-analyze: that systemd understands the unit is not seen here")
    unit = shutil.copy(DEPLOY / "waiaas.service", tmp_path)
    for command in (
        ["verify", "--man=no", unit],
        ["security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", unit],
    ):
        done = subprocess.run(
            [analyze, *command], check=False, capture_output=True, encoding="utf-8", timeout=30
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert not re.search(r"(?i)unknown|ignoring", done.stderr)
