"""Tests that start real programs and drive them from outside."""
