"""Mel spectrograms, their way back to a waveform, and audio files."""
