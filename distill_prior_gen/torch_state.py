"""The state of PyTorch and NumPy while a take is made, whatever the calling program has set.

Takes are computed in one thread. Two threads are a little faster on an idle machine. But the
threads of OpenMP and OpenBLAS wait for each other by spinning, and while another program is busy
this makes a take several times slower. In addition, the order in which sums are rounded depends on
the number of threads; with one thread the samples are always the same.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

import torch
from threadpoolctl import ThreadpoolController


@contextmanager
def take_state(device: torch.device | None = None) -> Iterator[None]:
    """Use one thread, no autocast, no gradients, and new tensors in float32 on the CPU.

    The previous state is restored afterwards. All of this concerns the calling thread alone, except
    for the default dtype and the number of OpenBLAS's threads, which all threads share.

    Args:
        device: device of the networks, where autocast is switched off as well.
    """
    types = {"cpu", device.type if device else "cpu"}
    with ExitStack() as stack:
        stack.enter_context(_one_thread())
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        for kind in sorted(types):
            if torch.amp.autocast_mode.is_autocast_available(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        stack.enter_context(_ONE_BLAS_THREAD)
        yield


class _DefaultFloat32:
    """Makes float32 the default dtype while at least one thread is inside, then restores it."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = threading.Lock(), 0, torch.float32

    def __enter__(self) -> None:
        with self.lock:
            current = torch.get_default_dtype()
            if self.inside == 0 or current != torch.float32:
                self.before = current
            self.inside += 1
            torch.set_default_dtype(torch.float32)

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0 and self.before != torch.float32:
                torch.set_default_dtype(self.before)


_FLOAT32 = _DefaultFloat32()


class _OneBlasThread:
    """Limits NumPy's OpenBLAS to one thread while at least one thread is inside."""

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self.lock:
            if self.inside == 0:
                self.limit = _openblas().limit(limits=1)
            self.inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            self.inside -= 1
            if self.inside == 0:
                self.limit.restore_original_limits()


_ONE_BLAS_THREAD = _OneBlasThread()


@cache
def _openblas() -> ThreadpoolController:
    return ThreadpoolController().select(internal_api="openblas")


@contextmanager
def _one_thread() -> Iterator[None]:
    # torch.set_num_threads would also affect threads that the program starts later.
    library = _library()
    before = torch.get_num_threads()
    mkl = getattr(library, "MKL_Set_Num_Threads_Local", lambda threads: 0)
    if library is not None:
        library.omp_set_num_threads(1)
    mkl_before = mkl(1)
    try:
        yield
    finally:
        mkl(mkl_before)
        if library is not None:
            library.omp_set_num_threads(before)


@cache
def _library() -> ctypes.CDLL | None:
    """PyTorch's library, or None if OpenMP's functions cannot be called through it."""
    name = "libtorch_cpu.dylib" if sys.platform == "darwin" else "libtorch_cpu.so"
    try:
        library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / name))
        library.omp_set_num_threads(torch.get_num_threads())
    except (OSError, AttributeError):
        return None
    return library
