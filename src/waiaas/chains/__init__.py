"""Adapters to chains, one folder per family; strangers to each other."""
