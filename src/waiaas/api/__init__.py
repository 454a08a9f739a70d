"""HTTP: one route table; parse, call, render."""
