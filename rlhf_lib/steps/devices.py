"""The device for training: CUDA if available, else the CPU."""

import torch

from rlhf_lib.errors import InputError


def default_device() -> torch.device:
    """Return CUDA if available, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_named(name: str | None) -> torch.device:
    """Return the device of this name after a test allocation; `default_device` for None.

    Raises
    ------
    InputError
        When it is neither the CPU nor CUDA, or this machine does not have it.
    """
    if name is None:
        return default_device()
    try:
        if name.split(":")[0] not in ("cpu", "cuda"):
            raise RuntimeError("neither cpu nor cuda")
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:  # from torch builds without CUDA
        raise InputError(f"--device {name}: {error}; leave it out, or give cpu") from error
