"""Makes this folder the package that Home Assistant finds custom integrations in."""
