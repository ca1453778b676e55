"""The store of takes: what the tab saves, and what the command lists."""
