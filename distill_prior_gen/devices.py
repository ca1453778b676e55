"""Where networks run."""

from __future__ import annotations

import torch


def find_device(device: str | torch.device) -> torch.device:
    """The device of a name, where ``"auto"`` is the accelerator if there is one, else the CPU.

    Raises:
        ValueError: if there is no such device.
    """
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device} is not available here; use 'auto' or 'cpu'") from error
    return found
