"""Measuring takes and timing how they are made."""
