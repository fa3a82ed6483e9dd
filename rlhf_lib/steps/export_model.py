"""A checkpoint as a folder for other people: safetensors, JSON and a model card."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rlhf_lib.card import card, check_license
from rlhf_lib.errors import InputError, quote
from rlhf_lib.learning.archive import archive_sha256, load_archive, save_folder
from rlhf_lib.paths import BOX, atomic_path
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model

#: What a reward model learned from, by ``about["training"]["pairs_from"]``.
_RATERS = {
    "synthetic": "synthetic raters (programs, for pretraining)",
    "simulated": "simulated raters (programs with a hidden taste)",
    "human": "people",
    "human and simulated": "people and simulated raters (programs with a hidden taste)",
}
_UNKNOWN = "not known: its file is not beside this one"

_WHAT = {
    "RewardModel": """
`{name}` is a reward model for music retargeting: it scores edits (shorter versions) of a song.
Only differences between edits of one song are meaningful. It has a linear head on descriptors of
an edit and a transformer over its beats, and is an ensemble of {members}.

    from rlhf_lib.steps.checkpoints import load_reward_model
    model, about = load_reward_model("{name}")  # this folder
    scores = model.score(edits)  # edits: a list of rlhf_lib.editing.edit.Edit
""",
    "Policy": """
`{name}` is a policy for music retargeting: it shortens a song beat by beat, to a wanted length. It
plans edits under the rewards that it was trained on, takes the best and improves it by local
changes.

    from rlhf_lib.steps.checkpoints import load_policy
    policy, about = load_policy("{name}")  # this folder
    (edit,) = policy.edits([song], (0.8,))  # song: from rlhf_lib.analysis.song.load_song

On the command line: `edit_song song.mp3 --seconds 2:30 --policy {name}`.
""",
}
_FIGURES = {
    "RewardModel": "The share of decided comparisons that it predicts (accuracy) and the loss in\n"
    "nats, on the songs of its training and on those held out.",
    "Policy": "Mean gains in reward over the plan at the start of its training, and the KL\n"
    "divergence from that plan.",
}

_TEXT = """
# {name}
{what}
The folder takes the place of the checkpoint wherever rlhf_lib reads one. `model.safetensors` holds
the weights, `config.json` everything else. Loading runs no code.

## Trained on

{trained_on}
- **Songs**: {songs} of its own or of its parents, and {held_out} held out. `config.json` lists
  their file names and hashes; their sound is not part of this folder.

## Lineage

| checkpoint | sha256 | learned from |
|---|---|---|
{lineage}

## Metrics

{figures} `config.json` holds them in full, and every setting (`about`).

{metrics}

## Limits

{limits}- The edits depend on estimated beats and bars; where these are wrong, seams fall off the
  beat.
- How well it works on songs unlike those of its training was not measured by this export.
"""


def export_model(path: str | Path, folder: str | Path, license: str | None) -> Path:
    """Write a checkpoint as ``model.safetensors``, ``config.json`` and ``README.md``, a model card.

    Parameters
    ----------
    path : path
        The checkpoint. Its parents are described if they lie beside it.
    folder : path
        New or empty.
    license : str
        Of the model, as the Hugging Face Hub writes it.

    Raises
    ------
    InputError
        When the checkpoint cannot be read, there is no licence, or the folder has files.
    """
    folder, license = Path(folder), check_license(license, "a model card")
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} has files already; give another --output_dir")
    text = model_card(path, license)
    save_folder(folder, path)
    with atomic_path(folder / "README.md") as part:
        part.write_text(text, encoding="utf-8")
    return folder


def model_card(path: str | Path, license: str) -> str:
    """Return the model card of a checkpoint."""
    path = Path(path)
    kind = load_archive(path).get("kind")
    if kind not in _WHAT:
        raise InputError(f"{path} holds a {quote(kind)}, neither a reward model nor a policy")
    model, about = (load_policy if kind == "Policy" else load_reward_model)(path)
    lineage = [(about["name"], archive_sha256(path), about), *_ancestors(path, about)]
    sources = [_source(ancestor) for *_, ancestor in lineage]
    simulated = any("simulated" in source for source in sources)
    people = any("people" in source for source in sources)
    known = not any(source.startswith("not known") for source in sources)
    limits = ""
    if not people and known:
        limits += "- **No person was asked**: it follows programs, not what listeners like.\n"
    if simulated:
        limits += "- Simulated raters are programs; what they prefer is a formula.\n"
    policy = kind == "Policy"
    front = {
        "license": license,
        "library_name": "rlhf_lib",
        "pipeline_tag": "audio-to-audio" if policy else None,
        "tags": ["music", "music-retargeting", "rlhf", "policy" if policy else "reward-model"]
        + ["simulated-raters"] * simulated,
        "metrics": None if policy else ["accuracy"],
    }
    text = _TEXT.format(
        name=about["name"],
        what=_WHAT[kind].format(name=about["name"], members=model.config.members),
        trained_on=_trained_on(about, policy),
        songs=len(about["songs"]),
        held_out=len(about["held_out"]),
        lineage="\n".join(
            f"| `{name}` | `{sha256}` | {source} |"
            for (name, sha256, _), source in zip(lineage, sources, strict=True)
        ),
        metrics="\n".join(f"    {name:24}{value}" for name, value in _flat(about.get("metrics")))
        or "None are known.",
        figures=_FIGURES[kind],
        limits=limits,
    )
    return card(front, text)


def _source(about: dict[str, Any] | None) -> str:
    """Return what a checkpoint learned from, by its `about` values; None where it is not there."""
    if about is None:
        return _UNKNOWN
    training = about.get("training")
    raters = training.get("pairs_from") if isinstance(training, dict) else None
    return _RATERS.get(raters, "the rewards of its parents" if about["parents"] else "not known")


def _trained_on(about: dict[str, Any], policy: bool) -> str:
    if policy:
        return "- **Rewards**: those of the reward models below, by PPO."
    lines = [f"- **Preferences** of {_source(about)}."]
    training = about.get("training")
    if isinstance(training, dict) and "pairs" in training:
        lines[0] = (
            f"- **Preferences** of {_source(about)}: {training['pairs']} comparisons from "
            f"{training['answers']} answers."
        )
    if "feedback_sha256" in about:
        lines.append(f"- **File of answers**: sha256 `{about['feedback_sha256']}`.")
    return "\n".join(lines)


def _flat(values: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """Yield the numbers in nested dicts with their names, such as held_out.accuracy."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from _flat(value, f"{before}.{name}" if before else str(name))
    elif isinstance(values, int | float):
        yield before, f"{values:.4g}"


def _ancestors(path: Path, about: dict[str, Any]) -> list[tuple[str, str, dict[str, Any] | None]]:
    """Return name, hash and `about` values of all checkpoints that one descends from.

    Their files are searched beside it, in ``earlier/`` and among the models of the package.
    """
    beside = path.parent.parent if path.suffix == ".safetensors" else path.parent
    places = (beside, beside / "earlier", BOX)
    files = {archive_sha256(file): file for place in places for file in place.glob("*.pt")}
    found: dict[str, tuple[str, str, dict[str, Any] | None]] = {}
    waiting = list(about["parents"].items())
    while waiting:
        name, sha256 = waiting.pop(0)
        if sha256 in found:
            continue
        theirs = load_archive(files[sha256])["about"] if sha256 in files else None
        found[sha256] = name, sha256, theirs
        waiting += theirs["parents"].items() if theirs else ()
    return list(found.values())
