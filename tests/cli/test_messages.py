"""Errors, signals and standard streams: what a person at a terminal meets."""

import errno
import os
import signal
import subprocess
import sys

import click
import pytest
import soundfile
from click.testing import CliRunner

from distill_prior_gen.cli import cli
from distill_prior_gen.messages import in_words


def run_command(*words, **options):
    return subprocess.run(
        [sys.executable, "-m", "distill_prior_gen", *words],
        capture_output=True,
        timeout=120,
        **options,
    )


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_signal_ends_a_command_like_ctrl_c(tmp_path, name):
    words = ["sample", "-d", "600", "--allow-long", "--progress", "-o", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "distill_prior_gen", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    said = ""
    while "Generating" not in said:
        said += process.stderr.read(1)
    process.send_signal(getattr(signal, name))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted." in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_output_that_cannot_hold_a_name_has_escapes_for_it(tmp_path):
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    result = run_command("info", "日本.distill", cwd=tmp_path, env=environment)
    assert result.returncode == 1
    assert b"\\u65e5\\u672c.distill" in result.stderr


@pytest.mark.posix
@pytest.mark.slow
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_matter(tmp_path, model_path, closed):
    command = f"'{sys.executable}' -m distill_prior_gen sample '{model_path}' -d 1 -o . {closed}"
    result = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (take,) = tmp_path.glob("*.wav")
    assert soundfile.info(take).frames > 0
    assert "Traceback" not in result.stderr


@pytest.mark.posix
def test_a_reader_that_goes_away_ends_the_command_without_a_traceback():
    command = f"'{sys.executable}' -m distill_prior_gen train --help | head -1"
    result = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert result.stdout.startswith("Usage")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "out of memory; make less at once, or close other programs"),
        (MemoryError("too long"), "too long"),
        (RecursionError("maximum recursion depth"), "something is nested too deeply"),
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full"),
        (OSError(errno.EACCES, "x", "a  b.wav"), "a  b.wav: permission denied"),
        (OSError(errno.EXDEV, "Invalid link", "a", None, "b"), "a to b: Invalid link"),
        (ValueError("one\n  two"), "one two"),
        (ValueError(), "ValueError"),
        (KeyError("size"), "KeyError: 'size'"),
        (ValueError("\x1b[2Jgone\u202e"), "\\x1b[2Jgone\\u202e"),
        (ValueError("caf\udce9"), "caf\\udce9"),
        (ValueError("東京　夜"), "東京　夜"),
    ],
)
def test_every_error_is_one_line_in_words(error, words):
    assert in_words(error) == words


def test_an_abort_of_a_prompt_is_told_as_click_does():
    @cli.command("ask-me")
    def ask():
        click.confirm("Really?", abort=True)

    try:
        result = CliRunner().invoke(cli, ["ask-me"], input="n\n")
    finally:
        del cli.commands["ask-me"]
    assert result.stderr.endswith("Aborted!\n")
