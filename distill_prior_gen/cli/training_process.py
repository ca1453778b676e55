"""A training of the app: the command line, which Ctrl-C ends when the app closes its input.

python -m distill_prior_gen.cli.training_process train FOLDER -o MODEL.distill

The app closes the standard input to stop the training. It is also closed when the app ends, in
whatever way, and so the training keeps what it has learned.
"""

import os
import signal
import threading

from distill_prior_gen.cli import cli

STANDARD_INPUT = 0


def _interrupt_at_end_of_input() -> None:
    os.read(STANDARD_INPUT, 1)
    signal.raise_signal(signal.SIGINT)


if __name__ == "__main__":
    # A shell that starts the app in the background lets its processes ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_interrupt_at_end_of_input, daemon=True).start()
    cli()
