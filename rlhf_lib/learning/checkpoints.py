"""Models on disk: written whole or not at all, loaded without running code, with lineage."""

import hashlib
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rlhf_lib.errors import InputError
from rlhf_lib.learning.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward_model import RewardConfig, RewardModel
from rlhf_lib.learning.song_tensors import FeatureScale
from rlhf_lib.music.features import FEATURE_NAMES
from rlhf_lib.music.measures import ADDITIVE, MEASURES
from rlhf_lib.paths import atomic_path

FORMAT = 1


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def save_model(path: str | Path, model: Policy | RewardModel, **about: Any) -> Path:
    """Write a policy or a reward model.

    Parameters
    ----------
    path : path
        Replaced atomically.
    model : Policy or RewardModel
    **about
        Plain values that say where it comes from: name, seed, training, metrics, parents
        (name → SHA-256), feedback_sha256.
    """
    content = {
        "kind": type(model).__name__,
        "config": model.config_dict(),
        "measures": list(MEASURES),
        "features": list(FEATURE_NAMES),
        "state": {name: value.cpu() for name, value in model.state_dict().items()},
        "about": about,
    }
    return save_content(path, content)


def save_content(path: str | Path, content: dict[str, Any]) -> Path:
    """Write tensors and plain values atomically, marked with the format of this library."""
    path = Path(path)
    with atomic_path(path) as part:
        torch.save({**content, "format": FORMAT}, part)
    return path


def load_content(path: str | Path) -> dict[str, Any]:
    """Read what `save_content` wrote, without running code from the file.

    Raises
    ------
    InputError
        When the file is missing or is not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}; train it first or give another path")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is not a readable checkpoint (not a zip archive); train it anew")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, OSError) as error:
        raise InputError(f"{path} is not a readable checkpoint ({error}); train it anew") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not a checkpoint of this library (format {FORMAT})")
    return content


def load_policy(path: str | Path, device: torch.device | str = "cpu") -> tuple[Policy, dict]:
    """Return a policy and what its checkpoint says about it.

    Raises
    ------
    InputError
        When the file is not a policy, or was made for other features or measures.
    """
    content = _checked(path, "Policy")
    scale = _empty_scale()
    policy = Policy(PolicyConfig(**content["config"]), np.zeros(len(ADDITIVE)), scale)
    return _filled(policy, content, path, device), content["about"]


def load_reward_model(
    path: str | Path, device: torch.device | str = "cpu"
) -> tuple[RewardModel, dict]:
    """Return a reward model and what its checkpoint says about it.

    Raises
    ------
    InputError
        When the file is not a reward model, or was made for other features or measures.
    """
    content = _checked(path, "RewardModel")
    model = RewardModel(RewardConfig(**content["config"]), _empty_scale(), np.ones(len(MEASURES)))
    return _filled(model, content, path, device), content["about"]


def _empty_scale() -> FeatureScale:
    size = len(FEATURE_NAMES)
    return FeatureScale(np.zeros(size, dtype=np.float32), np.ones(size, dtype=np.float32))


def _checked(path: str | Path, kind: str) -> dict[str, Any]:
    content = load_content(path)
    if content.get("kind") != kind:
        raise InputError(f"{path} holds a {content.get('kind')!r}, not a {kind}; give another file")
    for name, ours in (("measures", MEASURES), ("features", FEATURE_NAMES)):
        if tuple(content.get(name, ())) != tuple(ours):
            raise InputError(
                f"{path} was made with other {name} than this version has; train it anew"
            )
    return content


def _filled(model: nn.Module, content: dict, path: str | Path, device) -> Any:
    try:
        model.load_state_dict(content["state"])
    except (RuntimeError, KeyError) as error:
        raise InputError(f"the weights in {path} do not fit its architecture: {error}") from error
    bad = [name for name, value in model.state_dict().items() if not torch.isfinite(value).all()]
    if bad:
        raise InputError(f"{path} holds weights that are not numbers ({bad[0]}); train it anew")
    return model.to(device).eval()
