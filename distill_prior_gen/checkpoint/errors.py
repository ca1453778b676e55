"""The error that model files raise."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from distill_prior_gen.messages import in_words
from distill_prior_gen.regular_files import NotRegularFileError


class ModelFileError(ValueError):
    """A model file cannot be used. The message says why and what to do."""


@contextmanager
def refusing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn every error of the block into a `ModelFileError` that names the file.

    Raises:
        FileNotFoundError: if there is no such file.
    """
    try:
        yield
    except (ModelFileError, FileNotFoundError):
        raise
    except NotRegularFileError as error:
        text = f"{path} is not a file; give the path of a .distill model"
        raise ModelFileError(text) from error
    except OSError as error:
        reason = in_words(error)
        raise ModelFileError(reason if error.filename else f"{path}: {reason}") from error
    except ValueError as error:
        raise ModelFileError(f"{path}: {error}; save the model again in Distill") from error
    except Exception as error:
        raise ModelFileError(f"{path} cannot be used: {in_words(error)}") from error
