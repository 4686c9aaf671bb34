"""The world broken on purpose: power cuts, bad answers, bad archives. What is drawn by lot is
repeated by `--seed`.
"""
