"""What a command costs before it does anything: processor time of whole processes, in one run.

    .venv/bin/python benchmarks/cli.py [RUNS]

Each is the median of RUNS (21) processes, taken in turns, so that whatever else the machine does
falls on all of them. `status` finds no daemon: it parses, looks, and says so. The goal is 150 ms of
processor time for `--help`; `python -c pass` beside it is what the interpreter takes by itself.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

RUNS = 21
GOAL_MS = 150


def processor_ms(command: list[str]) -> float:
    """Run a command to its end; return the processor time of it, user and system."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Measure, and print a table."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    with tempfile.TemporaryDirectory() as folder:
        place = ["--data-dir", str(Path(folder) / "none")]
        program = [sys.executable, "-m", "waiaas"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "waiaas --help": [*program, "--help"],
            "waiaas --version": [*program, "--version"],
            "waiaas tx --help": [*program, "tx", "--help"],
            "waiaas status": [*program, *place, "status"],
        }
        found: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                found[name].append(processor_ms(command))
    bare = statistics.median(found["python -c pass"])
    print(f"{'command':<18} {'median ms':>10} {'least ms':>9} {'x bare':>7}")
    for name, values in found.items():
        median = statistics.median(values)
        print(f"{name:<18} {median:>10.0f} {min(values):>9.0f} {median / bare:>7.1f}")
    print(f"goal: waiaas --help <= {GOAL_MS} ms of processor time")


if __name__ == "__main__":
    main()
