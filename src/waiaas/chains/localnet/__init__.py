"""An embedded Solana network for trying things out: a real SVM runtime behind JSON-RPC."""
