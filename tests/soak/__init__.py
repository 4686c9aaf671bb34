"""Months of a Home Assistant's life in minutes, on a bad line; afterwards every backup is accounted
for. Run it with `scripts/soak`.
"""
