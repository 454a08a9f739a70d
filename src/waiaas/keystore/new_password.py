"""What a password has to be that somebody chooses: for a keystore, a backup, a file with a key."""

from typing import Final

from waiaas.keystore.errors import PasswordRefused
from waiaas.keystore.guarded import Guarded

PASSWORD_BYTES_MIN: Final = 12
"""Asked of a new password only: a keystore that exists opens with the password it has."""

PASSWORD_BYTES_MAX: Final = 1024
"""A longer one is never right, so it is never derived from."""


def check_new_password(password: Guarded | bytes) -> None:
    """Return if *password* may protect something new.

    Raises:
        PasswordRefused: it is shorter than 12 bytes or longer than 1024.
    """
    if not PASSWORD_BYTES_MIN <= len(password) <= PASSWORD_BYTES_MAX:
        raise PasswordRefused(bytes_min=PASSWORD_BYTES_MIN, bytes_max=PASSWORD_BYTES_MAX)
