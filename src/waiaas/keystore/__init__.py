"""Keys in, signatures out."""
