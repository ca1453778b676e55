"""Editing takes: code maps of which parts are drawn again."""
