"""Mel spectrograms, vocoders, and reading recordings."""
