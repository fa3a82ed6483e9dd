"""Checkpoints: policies and reward models on disk, with their lineage.

What is made with PyTorch is imported inside functions: a policy needs none of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_NAMES
from rlhf_lib.editing.descriptors import DESCRIPTOR_NAMES, N_DESCRIPTORS
from rlhf_lib.errors import InputError, quote
from rlhf_lib.learning.archive import load_archive, refuse_other_arrays, save_archive
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig

if TYPE_CHECKING:
    import torch

    from rlhf_lib.learning.reward.model import RewardConfig, RewardModel

#: Largest size that a configuration may have.
_LARGEST = 4096
#: A name becomes the name of a file, such as policy_v14.pt.
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,199}")


def save_model(path: str | Path, model: Policy | RewardModel, **about: Any) -> Path:
    """Write a policy or a reward model.

    Parameters
    ----------
    path : path
        Replaced atomically.
    model : Policy or RewardModel
    **about
        Plain values on the origin of the model: name, songs, held_out and parents (name →
        SHA-256), which loading needs; seed, training, metrics, feedback_sha256.
    """
    content = {
        "kind": type(model).__name__,
        "config": model.config_dict(),
        "descriptors": list(DESCRIPTOR_NAMES),
        "features": list(FEATURE_NAMES),
        "state": {name: _stored(value) for name, value in model.state_dict().items()},
        "about": about,
    }
    return save_archive(path, content)


def _stored(value: np.ndarray | torch.Tensor) -> torch.Tensor:
    """Return an array as a tensor, as bfloat16 where nothing is lost by it."""
    import torch

    value = torch.as_tensor(value).cpu()
    half = value.bfloat16()
    exact = value.dtype == torch.float32 and torch.equal(half.float(), value)
    return half if exact else value


def load_policy(path: str | Path) -> tuple[Policy, dict]:
    """Return a policy and the `about` values of its checkpoint.

    Raises
    ------
    InputError
        When the file is not a policy, or was made for other features or descriptors.
    """

    def make(config: PolicyConfig, state: dict[str, np.ndarray]) -> Policy:
        _refuse_other_number(state, "stages.", config.stages)
        policy = Policy(config, np.zeros(N_DESCRIPTORS))
        policy.load_state_dict(state)
        return policy

    return _loaded(path, "Policy", PolicyConfig, make)


def load_reward_model(
    path: str | Path, device: torch.device | str = "cpu"
) -> tuple[RewardModel, dict]:
    """Return a reward model and the `about` values of its checkpoint.

    Raises
    ------
    InputError
        When the file is not a reward model, or was made for other features or descriptors.
    """
    import torch

    from rlhf_lib.learning.planning.song_tensors import FeatureScale
    from rlhf_lib.learning.reward.model import RewardConfig, RewardModel

    size = len(FEATURE_NAMES)
    scale = FeatureScale(np.zeros(size, dtype=np.float32), np.ones(size, dtype=np.float32))

    def make(config: RewardConfig, state: dict[str, np.ndarray]) -> RewardModel:
        _refuse_other_number(state, "trunk.layers.", config.layers)
        if config != RewardConfig():  # before memory is allocated for unusual sizes
            with torch.device("meta"):
                empty = RewardModel(config, scale, np.ones(N_DESCRIPTORS))
            refuse_other_arrays(empty.state_dict(), state)
        model = RewardModel(config, scale, np.ones(N_DESCRIPTORS))
        refuse_other_arrays(model.state_dict(), state)
        model.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
        return model.to(device).eval()

    return _loaded(path, "RewardModel", RewardConfig, make)


def _loaded(
    path: str | Path, kind: str, config_cls: type, make: Callable[[Any, dict], Any]
) -> tuple[Any, dict]:
    """Return the model in a checkpoint and its `about` values, or refuse the file."""
    content = load_archive(path)
    for name in ("kind", "descriptors", "features", "config", "about"):
        if _holds_arrays(content.get(name)):
            raise InputError(f"{path} holds an array under {name!r}; train it anew")
    if content.get("kind") != kind:
        raise InputError(
            f"{path} holds a {quote(content.get('kind'))}, not a {kind}; give another file"
        )
    for name, ours in (("descriptors", DESCRIPTOR_NAMES), ("features", FEATURE_NAMES)):
        if content.get(name) != list(ours):
            raise InputError(
                f"{path} was made with other {name} than this version has; train it anew"
            )
    state, about = content.get("state"), content.get("about")
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(value, np.ndarray) for name, value in state.items()
    ):
        raise InputError(f"{path} holds no weights under 'state'; train it anew")
    config = _config(path, content.get("config"), config_cls)
    bad = [name for name, value in state.items() if not np.isfinite(value).all()]
    if bad:
        raise InputError(f"{path} holds weights that are not numbers ({bad[0]}); train it anew")
    try:
        model = make(config, state)
    except (RuntimeError, ValueError, KeyError, TypeError, AssertionError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InputError(
            f"the weights in {path} do not fit its architecture ({reason}); train it anew"
        ) from error
    return model, _about(path, about)


def _holds_arrays(value: Any) -> bool:
    parts = value.values() if isinstance(value, dict) else value
    return isinstance(value, np.ndarray) or (
        isinstance(value, dict | list | tuple) and any(map(_holds_arrays, parts))
    )


def _refuse_other_number(state: dict[str, np.ndarray], part: str, number: int) -> None:
    """Refuse a configuration with more or fewer parts of a kind than the weights are of.

    Before the parts are made: thousands of them would take a minute.
    """
    names = [str(name) for name in state if str(name).startswith(part)]
    found = {name.removeprefix(part).partition(".")[0] for name in names}
    if len(found) != number:
        raise ValueError(f"{len(found)} of '{part}…', expected {number}")


def _config(path: str | Path, values: Any, config_cls: type) -> Any:
    """Return the configuration; its fields must have the names and types of the class."""
    kinds = {one.name: type(one.default) for one in fields(config_cls)}
    if not isinstance(values, dict) or values.keys() != kinds.keys():
        raise InputError(
            f"{path} was made by another version: its configuration is not {', '.join(kinds)}; "
            "train it anew"
        )
    for name, kind in kinds.items():
        value = values[name]
        if type(value) is not kind or not 0 <= value <= _LARGEST:
            raise InputError(
                f"{path}: {name} is {quote(value)}; expected 0 … {_LARGEST}; train it anew"
            )
    try:
        return config_cls(**values)
    except InputError as error:
        raise InputError(f"{path}: {error}; train it anew") from error


def _about(path: str | Path, about: Any) -> dict[str, Any]:
    """Check the values that the library reads: the name, the parents, the hashes of the songs."""
    if not isinstance(about, dict):
        raise InputError(f"{path} holds no values under 'about'; train it anew")
    name = about.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InputError(
            f"{path}: 'name' is {quote(name)}; a model's name has up to 200 letters (a … z), "
            "digits, '_', '-' and '.', and does not start with '.'; train it anew"
        )
    parents = about.get("parents")
    if not isinstance(parents, dict) or not all(
        isinstance(text, str) for pair in parents.items() for text in pair
    ):
        raise InputError(f"{path}: 'parents' does not list names and hashes; train it anew")
    for part in ("songs", "held_out"):
        listed = about.get(part)
        if not isinstance(listed, list) or not all(
            isinstance(song, dict) and isinstance(song.get("sha256"), str) for song in listed
        ):
            raise InputError(f"{path}: {part!r} is not a list of songs; train it anew")
    return about
