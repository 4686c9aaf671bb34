"""Mutants: the product with one small fault in it, which a test should notice.

Why not a library: those that run here leave out what matters most, such as constants of a module,
properties, conditions of a comprehension and statements that are missing.
"""
