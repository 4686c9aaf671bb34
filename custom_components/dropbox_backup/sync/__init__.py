"""Decides what is to be uploaded and deleted, and does it. Knows no entities, flows or services."""
