"""The files of one feedback cycle, and which step makes each of them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rlhf_lib.errors import InputError, NotMadeYet
from rlhf_lib.paths import BOX, expanded, resolve

#: Trained on composed songs and stored with the code, so that a cycle can start at candidates.
PRETRAINED = ("reward_model_v8.pt", "policy_v14.pt")
#: Pattern of a file name → what makes the file.
_MAKERS = {
    r"reward_model_v8\.pt|policy_v14\.pt": "notebook 01 or the command train_initial",
    r"(evaluation|selected)_manifest\.json": "notebook 02 or the command generate_eval_candidates",
    r"preferences\.json": "notebook 03 (or, simulated, the command simulate_feedback)",
    r"reward_model_v\d+_feedback_final\.pt": "notebook 04 or the command train_from_feedback",
    r"policy_v\d+\.pt": "notebook 05 or the command train_rlhf_stable",
}
_NUMBERED = re.compile(r"policy_v\d{1,9}\.pt")


class RewardFiles(NamedTuple):
    """The files of a fit to feedback: lowest held-out loss, last epoch, losses of each epoch."""

    best: Path
    final: Path
    history: Path


def reward_files(models_dir: str | Path, name: str) -> RewardFiles:
    """Return the files of the fit of a reward model, such as ``reward_model_v9``."""
    endings = ("best.pt", "final.pt", "history.json")
    return RewardFiles(*(Path(models_dir) / f"{name}_feedback_{ending}" for ending in endings))


@dataclass(frozen=True)
class Cycle:
    """The files of a cycle, by its number; names count upwards, so no older file is replaced.

    Cycle 1 makes reward model v9 from v8 and policy v15 from v14, cycle 2 v10 and v16 ….

    Parameters
    ----------
    number : int
        From 1.
    models_dir, outputs_dir, runs_dir : path
        Relative to the workspace.

    Raises
    ------
    InputError
        When the number is below 1.
    """

    number: int
    models_dir: str | Path = "models"
    outputs_dir: str | Path = "eval_outputs"
    runs_dir: str | Path = "runs"

    def __post_init__(self):
        if self.number < 1:
            raise InputError(f"cycle {self.number}: cycles count from 1")

    @property
    def reward_before(self) -> Path:
        """The reward model that the cycle starts from: v8, v9 …."""
        if self.number == 1:
            return resolve(self.models_dir) / PRETRAINED[0]
        return Cycle(self.number - 1, self.models_dir).reward

    @property
    def reward(self) -> Path:
        """The reward model that the cycle makes: v9, v10 …."""
        return self._reward_files.final

    @property
    def reward_best(self) -> Path:
        """The same reward model at the epoch of its lowest held-out loss."""
        return self._reward_files.best

    @property
    def _reward_files(self) -> RewardFiles:
        return reward_files(resolve(self.models_dir), f"reward_model_v{self.number + 8}")

    @property
    def policy_before(self) -> Path:
        """The policy whose candidates are rated: v14, v15 …."""
        return resolve(self.models_dir) / f"policy_v{self.number + 13}.pt"

    @property
    def policy(self) -> Path:
        """The policy that the cycle makes: v15, v16 …."""
        return resolve(self.models_dir) / f"policy_v{self.number + 14}.pt"

    @property
    def candidates(self) -> Path:
        """The folder of the candidates that are rated."""
        folder = resolve(self.outputs_dir)
        return folder if self.number == 1 else folder / f"cycle_{self.number}"

    @property
    def blind_test(self) -> Path:
        """The folder of the test of the new policy against the one before, answers included."""
        return resolve(self.outputs_dir) / f"blind_test_{self.policy.stem.removeprefix('policy_')}"

    @property
    def run(self) -> Path:
        """The folder of the policy's training: curves and snapshots."""
        return resolve(self.runs_dir) / self.policy.stem


def needed(path: str | Path) -> Path:
    """Return the path of a file that an earlier step makes, or of a folder with a model.

    That is `path`. If the workspace has no pretrained models, it is the file that comes with the
    code. ``policy_final.pt`` is a copy of the policy that was trained last; where it is missing,
    the one with the highest number is taken, and before any is trained, the pretrained one.

    Raises
    ------
    NotMadeYet
        When it is in neither place; the message names the notebook and the command that make it.
    InputError
        When no step makes such a file.
    """
    path = resolve(path)
    if path.is_file() or path.is_dir():
        return path
    if path.name == "policy_final.pt":
        trained = {
            int(one.stem.removeprefix("policy_v")): one
            for one in path.parent.glob("policy_v*.pt")
            if _NUMBERED.fullmatch(one.name)
        }
        return trained[max(trained)] if trained else needed(path.with_name(PRETRAINED[1]))
    if path.name in PRETRAINED and (BOX / path.name).is_file():
        return BOX / path.name
    maker = next((maker for name, maker in _MAKERS.items() if re.fullmatch(name, path.name)), None)
    if maker is None:
        raise InputError(f"{path} is missing")
    raise NotMadeYet(f"{path} is missing; run {maker} first")


def policy_file(policy: str | Path | None = None) -> Path:
    """Return the file of a policy that a user names.

    Parameters
    ----------
    policy : str or path, optional
        A file, or a folder of `export_model`, relative to the current folder; or the name of a
        policy in ``models/``, else of one that comes with the code. ``.pt`` may be left out. By
        default the policy that was trained last, see `needed`.

    Raises
    ------
    InputError
        When there is none; the message lists the policies that there are.
    """
    models = resolve("models")
    if policy is None:
        return needed(models / "policy_final.pt")
    path = expanded(policy)
    bare = path == Path(path.name)
    for folder in (Path.cwd(), models, BOX) if bare else (path.absolute().parent,):
        for name in (path.name, f"{path.name}.pt"):
            if (folder / name).exists():
                return folder / name
    try:
        folder = models if bare else path.absolute().parent
        return needed(folder / f"{path.name.removesuffix('.pt')}.pt")
    except InputError as error:
        known = sorted({one.stem for folder in (models, BOX) for one in folder.glob("policy_*.pt")})
        raise InputError(
            f"{policy} is missing; give a path, or the name of a policy: {', '.join(known)}"
        ) from error
