"""Everyone who takes part in the benchmarks: we, and our peers.

Each runs in a process of its own (`python -m benchmarks.contenders JSON`) and prints its figures.
All are handed the same local Dropbox, and a token.
"""
