"""The ``.distill`` model file: reading, checking and writing it."""

from distill_prior_gen.checkpoint.errors import ModelFileError
from distill_prior_gen.checkpoint.reading import FIRST_TOKEN_COUNTS, Checkpoint, read_checkpoint
from distill_prior_gen.checkpoint.writing import replace_prior, write_checkpoint

__all__ = [
    "FIRST_TOKEN_COUNTS",
    "Checkpoint",
    "ModelFileError",
    "read_checkpoint",
    "replace_prior",
    "write_checkpoint",
]
