"""Damage model files at random, and count what does not end as it should.

``python -m tests.mutate_models 10000`` damages copies of a small model in its bytes, its archive
and its values, and hands each to everything that reads model files. A step may succeed or end
in the error that it promises; anything else is counted, and so are steps that hang or end the
process. The seed of a file is its number, so that ``--first N 1`` makes file N again.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import random
import tempfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.helpers.models import add_timeline, add_vocoder, write_model

TIMEOUT_S = 60.0
MEMORY_BYTES = 12 * 2**30

STEPS = (
    "read_checkpoint", "describe_model", "load_model", "list", "info", "info --json", "sample",
)  # fmt: skip


def _bytes(content: bytes, rng: random.Random, path: Path) -> None:
    """Change, remove, repeat or cut bytes anywhere."""
    data = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        start = rng.randrange(len(data)) if rng.random() < 0.5 else -rng.randrange(1, 9000)
        start %= len(data)
        end = min(len(data), start + rng.choice([1, 4, 64, 4096]))
        change = rng.randrange(5)
        if change == 0:
            data[start] ^= 1 << rng.randrange(8)
        elif change == 1:
            data[start:end] = rng.randbytes(end - start)
        elif change == 2:
            del data[start:end]
        elif change == 3:
            data[start:start] = data[start:end]
        else:
            data[start:end] = bytes([rng.choice([0, 255])]) * (end - start)
    path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)


def _archive(content: bytes, rng: random.Random, path: Path) -> None:
    """Write the entries anew, some of them changed, missing, twice, renamed or compressed."""
    source = zipfile.ZipFile(io.BytesIO(content))
    entries = [(entry.filename, source.read(entry)) for entry in source.infolist()]
    chosen = rng.randrange(len(entries)) if rng.random() < 0.5 else 0  # the pickle is the first
    name, data = entries[chosen]
    change = rng.randrange(8)
    if change == 0:
        del entries[chosen]
    elif change == 1:
        entries.append((name, rng.randbytes(len(data))))
    elif change == 2:
        entries[chosen] = (name, data[: rng.randrange(len(data) + 1)])
    elif change == 3:
        entries[chosen] = (name, data * rng.choice([2, 3]))
    elif change == 4:
        entries[chosen] = (rng.choice(["data.pkl", "/", "../x", "a/data.pkl", name * 50]), data)
    elif change == 5:
        entries += [(f"small/extra/{n}", b"x") for n in range(rng.choice([1, 50_000]))]
    else:  # the checksums are right, the contents are not
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 2, 10])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        entries[chosen] = (name, bytes(damaged))
    compression = zipfile.ZIP_DEFLATED if rng.random() < 0.05 else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", compression) as target, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two entries of one name
        for name, data in entries:
            target.writestr(name, data)


def _values(content: bytes, rng: random.Random, path: Path) -> None:
    """Replace, remove or add values, most of them of the wrong kind."""
    contents = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        table: Any = contents
        while True:
            key = rng.choice(list(table))
            inner = table[key]
            if not isinstance(inner, dict) or not inner or rng.random() < 0.15:
                break
            table = inner
        change = rng.random()
        if change < 0.1:
            del table[key]
        elif change < 0.15:
            table[rng.choice(NAMES)] = table[key]
        elif isinstance(table[key], torch.Tensor) and change < 0.6:
            table[key] = rng.choice(TENSORS)(table[key])
        else:
            table[key] = rng.choice(VALUES)(table[key])
    torch.save(contents, path)


def _settings(content: bytes, rng: random.Random, path: Path) -> None:
    """Give settings values that are of the right kind, and may be legal."""
    contents = torch.load(io.BytesIO(content), weights_only=True)
    for _ in range(rng.choice([1, 2, 3])):
        table = contents[rng.choice(["spectrogram_config", "vqvae_config", "prior_config"])]
        key = rng.choice(list(table))
        table[key] = rng.choice(
            [2 ** rng.randrange(-4, 20), rng.randrange(1, 5000), -1, 0.0, 48_000, 1e-9, 2.0]
        )
    torch.save(contents, path)


def _weights(content: bytes, rng: random.Random, path: Path) -> None:
    """Give tensors numbers that no training gives them."""
    contents = torch.load(io.BytesIO(content), weights_only=True)
    state = contents[rng.choice(["model_state_dict", "prior_state_dict"])]
    for name in rng.sample(list(state), rng.choice([1, 3, len(state)])):
        if state[name].is_floating_point():
            scale = rng.choice([0.0, -1.0, 1e-30, 1e10, 1e30, float("nan"), float("inf")])
            state[name] = state[name] * scale
        else:
            state[name] = torch.full_like(state[name], rng.choice([0, 1]))
    torch.save(contents, path)


def _nested(depth: int, pair: bool = False) -> Any:
    value: Any = ()
    for _ in range(depth):
        value = (value, value) if pair else (value,)
    return value


def _itself(_: Any) -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


class _Marked(torch.Tensor):
    pass


def _attribute(tensor: Any) -> torch.Tensor:
    marked: Any = torch.zeros(2)
    marked.mark = "attribute"
    return marked


NAMES = ["", "x" * 100_000, "\x1b[31m", "new\nline", "\ud800", "\x00", 5, None, True, 1.5, (1, 2)]

VALUES: list[Callable[[Any], Any]] = [
    lambda _: None, lambda _: True, lambda _: False, lambda _: 0, lambda _: -1, lambda _: 2**31,
    lambda _: 2**62, lambda _: 10**400, lambda _: -(2**100), lambda _: 0.0, lambda _: 1e308,
    lambda _: float("nan"), lambda _: float("-inf"), lambda _: "", lambda _: "text",
    lambda _: "x" * 1_000_000, lambda _: "\x1b[2J\x07", lambda _: "two\nlines", lambda _: "\ud800",
    lambda _: "\u202eturned", lambda _: "\x00", lambda _: b"bytes", lambda _: [], lambda _: {},
    lambda _: [1, "a", None], lambda _: {"a": {"b": [1]}}, lambda _: _nested(40),
    lambda _: _nested(150), lambda _: _nested(60, pair=True), _itself, lambda _: {1, 2},
    lambda _: list(range(300_000)), lambda _: {(): 1, (1, (2,)): 2}, lambda _: 1 + 2j,
    lambda _: torch.float32, lambda _: torch.Size([1]), lambda _: torch.zeros(()),
    lambda _: torch.zeros(2), lambda _: torch.tensor(1), lambda _: torch.tensor([True]),
    # Not of other values: to print a tensor of 10**9 equal numbers would take minutes.
    lambda value: str(value)[:1000] if isinstance(value, str | int | float) else "text",
    lambda value: [value], lambda value: (value, value),
    lambda value: {"a": value}, lambda value: value,
]  # fmt: skip

TENSORS: list[Callable[[torch.Tensor], Any]] = [
    lambda t: t.double(), lambda t: t.half(), lambda t: t.bfloat16(), lambda t: t.int(),
    lambda t: t.bool(), lambda t: t.long(), lambda t: t.to(torch.complex64), lambda t: t.mT
    if t.ndim > 1 else t, lambda t: t.unsqueeze(0), lambda t: t.flatten(), lambda t: t[..., None],
    lambda t: t.new_zeros(()), lambda t: t.new_zeros(0), lambda t: t.new_zeros(1).expand(10**9),
    lambda t: t.new_zeros(1).expand(2**62), lambda t: t.new_zeros(1).expand(t.shape),
    lambda t: t.to_sparse() if t.ndim else t, lambda t: t.to("meta"), _attribute,
    lambda t: torch.nn.Parameter(t.float()), lambda t: t.float().as_subclass(_Marked),
    lambda t: torch.quantize_per_tensor(t.float(), 0.1, 0, torch.quint8),
    lambda t: torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)]),
    lambda t: t.flip(0) if t.ndim else t, lambda t: torch.cat([t, t]) if t.ndim else t,
    lambda t: t[:1].expand(t.shape) if t.ndim else t, lambda t: t.to(torch.float8_e4m3fn),
    lambda t: t.requires_grad_() if t.is_floating_point() else t, lambda t: t.contiguous().conj(),
]  # fmt: skip

MUTATORS = (_bytes, _archive, _archive, _values, _values, _values, _settings, _weights)


def mutate(content: bytes, seed: int, path: Path) -> None:
    """Write a damaged copy of a model file."""
    rng = random.Random(seed)
    try:
        rng.choice(MUTATORS)(content, rng, path)
    except Exception:  # not every damage can be written by torch.save
        _bytes(content, rng, path)


def failures(path: Path) -> dict[str, str]:
    """What goes wrong with a file: steps, and the error that they should not have raised."""
    from click.testing import CliRunner

    from distill_prior_gen import GenerationConfig, ModelFileError, generate, load_model
    from distill_prior_gen.checkpoint import read_checkpoint
    from distill_prior_gen.checkpoint.description import describe_model
    from distill_prior_gen.cli import cli
    from distill_prior_gen.ui.library import find_model, find_models

    loaded: list[Any] = []

    def listed() -> None:
        entries = find_models([path.parent])
        found = find_model(path.name, [path.parent])
        assert found is not None
        json.dumps([entries[path.name].label, found.label, found.reason]).encode()
        assert all(text is None or text.isprintable() for text in (found.label, found.reason))

    def info(*options: str) -> None:
        result = CliRunner().invoke(cli, ["info", *options, str(path)])
        assert result.exit_code in (0, 1), result.output
        if result.exit_code == 1:
            assert result.output.startswith("Error: ")
            assert result.output.count("\n") == 1
        elif options:
            json.loads(result.output, parse_constant=lambda name: 1 / 0)

    def sample() -> None:
        for model in loaded:
            try:
                generate(model, GenerationConfig(duration=0.3, seed=1, quality="fast"))
            except (ValueError, FloatingPointError) as error:
                if not str(error) or "\n" in str(error):
                    raise RuntimeError("no sentence") from error

    steps: list[Callable[[], Any]] = [
        lambda: read_checkpoint(path),
        lambda: describe_model(path),
        lambda: loaded.append(load_model(path, "cpu")),
        listed,
        info,
        lambda: info("--json"),
        sample,
    ]
    found = {}
    for name, step in zip(STEPS, steps, strict=True):
        try:
            step()
        except ModelFileError as error:
            if name in ("list", "sample") or "\n" in str(error) or len(str(error)) > 2000:
                found[name] = f"message: {str(error)[:500]!r}"
        except BaseException as error:
            found[name] = f"{type(error).__name__}: {str(error)[:500]}"
    return found | ({"loaded": ""} if loaded else {})


def _work(connection: Any, content: bytes, folder: Path) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    torch.set_num_threads(1)
    path = folder / "damaged.distill"
    while True:
        seed = connection.recv()
        path.unlink(missing_ok=True)
        mutate(content, seed, path)
        connection.send(failures(path))


def run(first: int, count: int, report: Callable[[str], None]) -> Counter[str]:
    """Count failures by step over `count` files, with hanging and crashing as steps.

    Each file goes to a process of its own kind, which is replaced when it hangs or ends.
    """
    context = multiprocessing.get_context("spawn")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = add_timeline(add_vocoder(write_model(folder / "small.bin"))).read_bytes()
        worker, connection = None, None
        for seed in range(first, first + count):
            if worker is None:
                connection, end = context.Pipe()
                (folder / "models").mkdir(exist_ok=True)
                worker = context.Process(
                    target=_work, args=(end, content, folder / "models"), daemon=True
                )
                worker.start()
                end.close()
            connection.send(seed)
            try:
                if not connection.poll(TIMEOUT_S):
                    raise TimeoutError
                found = connection.recv()
            except (TimeoutError, EOFError) as error:
                found = {"hang" if isinstance(error, TimeoutError) else "crash": str(seed)}
                worker.kill()
                worker = None
            counts.update(found.keys())
            for step, text in found.items():
                if step != "loaded":
                    report(f"{seed}: {step}: {text}")
            if (seed - first) % 250 == 249:
                report(f"{seed - first + 1} files: {dict(counts)}")
        if worker is not None:
            worker.kill()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    arguments = parser.parse_args()
    counts = run(arguments.first, arguments.count, lambda text: print(text, flush=True))
    names = (*STEPS, "hang", "crash")
    print(", ".join(f"{name} {counts[name]}" for name in names))
    print(f"{counts['loaded']} of {arguments.count} could still be loaded")
    raise SystemExit(any(counts[name] for name in names))


if __name__ == "__main__":
    main()
