"""Reproducible measurements against peers: `scripts/bench`, results in docs/performance.md."""
