"""What a process that will hold secrets gives up first: being looked into, and leaving a core.

Linux only; elsewhere the core is given up and nothing else. Root, and whoever has CAP_SYS_PTRACE,
looks into any process all the same.
"""

import ctypes
import resource
import sys
from typing import Final

_PR_SET_DUMPABLE: Final = 4
"""prctl(2). At 0 no other process of the same user may attach, or read /proc/<pid>/mem."""


def harden_process() -> None:
    """Make this process closed to others of its user, without core dumps. Cannot be undone.

    What it starts later (execve) is dumpable again and has to do the same; the limit is inherited.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        failed = ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        assert not failed, "the kernel refuses this to nobody"
