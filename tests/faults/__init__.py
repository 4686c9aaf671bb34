"""The world broken on purpose: power cuts, bad answers, bad archives. What is drawn at random is
repeated by `--seed`.
"""
