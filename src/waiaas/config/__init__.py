"""Settings: one registry, and all that is made from it. Read `registry` first."""
