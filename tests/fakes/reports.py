"""Reports of what nobody expects where nothing went wrong."""


def unexpected(error: Exception) -> None:
    """Be told of an error, which fails the test."""
    raise error
