"""A terminal that shows nothing of what is typed, and shows it again however that ends.

As readpassphrase(3) of OpenBSD does it, which sees to the same signals.
"""

import os
import signal
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

_ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_STOPPING: Final = signal.SIGTSTP
"""Ctrl-Z. The shell has the terminal then, and gives it back as it was."""


@contextmanager
def unseen_typing(terminal: int, ask: Callable[[], None]) -> Iterator[None]:
    """Let *terminal* show nothing of what is typed in the block, for which *ask* prompts.

    A signal that ends the program ends it as it would have, once the terminal is as it was before.
    After Ctrl-Z and `fg` the question is asked anew.
    """
    before = termios.tcgetattr(terminal)
    unseen = [*before]
    unseen[3] &= ~termios.ECHO  # The local modes (termios(3)).

    def show() -> None:
        # In the background it is another's; to be ended must not wait until it is ours again.
        if _is_ours(terminal):
            with suppress(termios.error):  # Who hangs up has taken it away.
                termios.tcsetattr(terminal, termios.TCSAFLUSH, before)

    def hide() -> None:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, unseen)
        ask()

    def follow(number: int, _frame: object) -> None:
        show()
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
        signal.signal(number, follow)  # It was Ctrl-Z, and the program goes on.
        hide()

    # What is ignored, as by `nohup`, or seen to already, stays so.
    followed = [
        number for number in (*_ENDING, _STOPPING) if signal.getsignal(number) is signal.SIG_DFL
    ]
    for number in followed:
        signal.signal(number, follow)
    try:
        hide()
        yield
    finally:
        show()
        for number in followed:
            signal.signal(number, signal.SIG_DFL)


def _is_ours(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:  # It is not the one that has jobs in its background.
        return True
