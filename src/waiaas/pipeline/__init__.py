"""The life of a transaction, from request to chain and back: admit, advance, perform, worker."""
