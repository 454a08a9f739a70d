"""The one definition of every message: strings and numbers with limits, no behaviour.

Bodies are camelCase JSON. Unknown fields are refused. Amounts are digits in strings, in base
units; times are Unix epoch seconds.
"""
