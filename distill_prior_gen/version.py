"""The name of the command, and the version of this package, which the build reads from here."""

APP_NAME = "distill-prior"

__version__ = "0.2.0"
