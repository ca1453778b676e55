"""Writing takes: audio files, their names, and the sidecars that describe them."""
