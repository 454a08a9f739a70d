"""waiaas: a self-hosted wallet daemon for AI agents."""
