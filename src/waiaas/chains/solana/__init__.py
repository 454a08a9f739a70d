"""Solana: a thin JSON-RPC client, and what a payment looks like in bytes."""
