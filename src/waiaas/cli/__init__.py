"""The command line: it starts the daemon, or is a client of it."""
