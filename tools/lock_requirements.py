"""Rewrite requirements/*.txt from pyproject.toml: exact versions, hashes, no index addresses.

uv runs in a throw-away environment, itself installed by hash from requirements/lock.txt, so the
tool that pins everything else is pinned too. `--upgrade` moves to the newest allowed versions.
"""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
COMPILE = (
    "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
    "--no-emit-index-url", "--no-emit-find-links", "--custom-compile-command", "make lock",
)  # fmt: skip
"""Options shared by every list: one file serves every platform we run on."""

LISTS = {
    "runtime.txt": ("pyproject.toml",),
    "dev.txt": ("pyproject.toml", "--group", "dev"),
    "mutants.txt": ("pyproject.toml", "--group", "dev", "--group", "mutants"),
    "lock.txt": ("requirements/lock.in",),
}


def main() -> None:
    """Compile every list."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        pinned = REQUIREMENTS / "lock.txt"
        install: list[str] = ["--require-hashes", "-r", str(pinned)] if pinned.exists() else ["uv"]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *install], check=True)  # noqa: S603 -- our own tools, fixed arguments
        for name, sources in LISTS.items():
            output = REQUIREMENTS / name
            command = [str(Path(folder) / "bin" / "uv"), *COMPILE, "--system-certs", *sys.argv[1:]]
            subprocess.run([*command, *sources, "-o", str(output)], cwd=ROOT, check=True)  # noqa: S603 -- our own tools, fixed arguments


if __name__ == "__main__":
    main()
