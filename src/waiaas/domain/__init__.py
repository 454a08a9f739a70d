"""The nouns of a wallet for agents, and their rules. Standard library only; no I/O."""
