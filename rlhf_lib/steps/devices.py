"""Where models are trained: CUDA when there is one, else the CPU."""

import torch

from rlhf_lib.errors import InputError


def default_device() -> torch.device:
    """Return CUDA when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_named(name: str | None) -> torch.device:
    """Return the device of this name, tried out; `default_device` for None.

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
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built for it
        raise InputError(f"--device {name}: {error}; leave it out, or say cpu") from error
