"""The command line: the steps of the notebooks for long runs and machines without a screen."""

import argparse
import io
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from rlhf_lib import commands
from rlhf_lib.errors import InputError

#: In place of a default: the flag must be given.
REQUIRED = object()
_LARGEST = 2**31 - 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    2 is wrong input, said in one line; 130 means interrupted by Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):  # file names need not be valid text
        if isinstance(stream, io.TextIOWrapper):  # a notebook has others
            stream.reconfigure(errors="backslashreplace")
    args = _parser().parse_args(arguments)
    try:
        args.run(args)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; check the path, its rights and the free space", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; what was finished is on disk, start again to go on", file=sys.stderr)
        return 130
    return 0


def _whole(text: str) -> int:
    """Read a whole number that any generator of random numbers takes too."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _LARGEST):
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 0 to {_LARGEST}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 up")
    return value


_KINDS = {int: _whole, float: _number, str: str, Path: Path}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rlhf_lib",
        description="Learn how people like their music edited.",
        epilog="Relative paths are taken from the workspace ($RLHF_WORKSPACE or the repository).",
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(run, about, **options):
        sub = subparsers.add_parser(
            run.__name__,
            help=about,
            description=about,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.set_defaults(run=run)
        for name, option in options.items():
            default, text = option[:2]
            if default is False:
                sub.add_argument(f"--{name}", action="store_true", help=text)
                continue
            kind = _KINDS[option[2] if len(option) > 2 else type(default)]
            needed = {"required": True} if default is REQUIRED else {"default": default}
            sub.add_argument(f"--{name}", help=text, type=kind, **needed)

    seed = (0, "random seed")
    songs_dir = ("data/train_songs", "folder of songs, searched recursively")
    models_dir = ("models", "folder of the checkpoints")
    device = (None, "cpu or cuda; default: cuda where there is one", str)
    many = {
        "jobs": (None, "processes that share the songs; default: one for every core", int),
        "scheduler": (None, "address of a Dask scheduler, whose workers do it instead", str),
    }
    command(
        commands.compose_songs,
        "compose demo songs",
        output_dir=("data/train_songs", "where the songs go"),
        n_songs=(12, "how many"),
        seconds=(120.0, "length of each in s"),
        seed=seed,
    )
    command(
        commands.train_initial,
        "train reward model v8 on synthetic pairs and policy v14 against it",
        songs_dir=songs_dir,
        models_dir=models_dir,
        run_dir=("runs/policy_v14", "metrics and checkpoints on the way"),
        groups_per_song=(12, "groups of four edits that synthetic judges compare"),
        epochs=(4, "of the reward model"),
        episodes=(500, "of PPO"),
        device=device,
        seed=seed,
        **many,
    )
    command(
        commands.generate_eval_candidates,
        "edit every song at temperatures 0.1 … 0.9 and write audio and manifest",
        songs_dir=("data/test_songs", songs_dir[1]),
        output_dir=("eval_outputs", "where audio and manifest go"),
        n_songs=(10, "at most so many songs"),
        candidates_per_song=(5, "above 5: further edits of the same lengths"),
        policy=("models/policy_final.pt", "checkpoint"),
        seed=seed,
        **many,
    )
    command(
        commands.simulate_feedback,
        "let a simulated rater answer the comparisons of a manifest",
        manifest=("eval_outputs/evaluation_manifest.json", "what to rate"),
        feedback_dir=("feedback", "where preferences.json lies"),
        taste=("smooth", "hidden taste"),
        noise=(0.5, "scale of the rater's noise"),
        rater_id=(None, "default: simulated_TASTE", str),
        max_tasks=(None, "stop after so many", int),
        seed=seed,
    )
    command(
        commands.import_feedback,
        "add the answers of another program's file: JSON, JSON lines, CSV, Label Studio",
        file=(REQUIRED, "the file; FEEDBACK_DATA_FORMAT.md shows what is read", str),
        feedback=("feedback", "preferences.json or its folder"),
        manifest=("eval_outputs/evaluation_manifest.json", "what was rated"),
        rater_id=(None, "who answered, where the file does not say", str),
        rater_kind=(None, "human or simulated, where the file does not say", str),
        strict=(False, "refuse the whole file when a record of it is refused"),
    )
    command(
        commands.export_feedback,
        "write all answers for a spreadsheet or another program",
        feedback=("feedback", "preferences.json or its folder"),
        output=("feedback/answers.csv", "a .csv, .jsonl or .json file"),
    )
    command(
        commands.export_tasks,
        "write the comparisons of a manifest for rating in Label Studio",
        manifest=("eval_outputs/evaluation_manifest.json", "what to rate"),
        output_dir=("feedback/label_studio", "where tasks and labelling configuration go"),
        audio_url=("/data/local-files/?d=", "what stands before a sound's path"),
        seed=seed,
    )
    command(
        commands.check_feedback,
        "agreement, consistency, bias, failed checks: write quality_report.json",
        feedback=("feedback", "preferences.json or its folder"),
        plot=(None, "also draw it: a .png or .svg file", str),
    )
    command(
        commands.train_from_feedback,
        "fine-tune a reward model on feedback: v8 → v9 …",
        feedback=("feedback/preferences.json", "preferences.json or its folder"),
        pretrained=("models/reward_model_v8.pt", "checkpoint to start from"),
        candidates_dir=("eval_outputs", "folder of the manifest's audio"),
        models_dir=models_dir,
        epochs=(20, "passes over the pairs, at most"),
        min_confidence=(0.7, "leave out answers with a confidence not above"),
        exclude_raters=("", "leave out these raters, separated by commas"),
        max_failed_checks=(None, "leave out raters who failed more obvious checks", int),
        device=device,
        seed=seed,
    )
    command(
        commands.train_rlhf_stable,
        "fine-tune a policy by PPO against a reward model: v14 → v15 …",
        episodes=(500, "edits made in all"),
        reward_model=("models/reward_model_v9_feedback_final.pt", "checkpoint"),
        policy=("models/policy_final.pt", "checkpoint to start from"),
        songs_dir=songs_dir,
        models_dir=models_dir,
        run_dir=("runs", "metrics and checkpoints on the way"),
        kl=(0.02, "weight of the leash"),
        device=device,
        seed=seed,
        **many,
    )
    command(
        commands.evaluate_policies,
        "win rate of a new policy over an old one by a simulated taste",
        new=("models/policy_final.pt", "checkpoint"),
        old=("models/policy_v14.pt", "checkpoint"),
        songs_dir=("data/test_songs", "songs trained on are left out when there are others"),
        reward_model=(None, "adds the best of 16 old edits", str),
        taste=("smooth", "the judge's"),
        noise=(0.5, "scale of the judge's noise, for the votes"),
        output=("runs/evaluation.csv", "the table"),
        seed=seed,
        **many,
    )
    command(
        commands.select_pairs,
        "choose pairs to ask about: at random, or where the reward model is unsure",
        manifest=("eval_outputs/evaluation_manifest.json", "pairs to choose from"),
        reward_model=("models/reward_model_v9_feedback_final.pt", "checkpoint"),
        n_pairs=(20, "how many"),
        rule=("random", "random, disagreement or information"),
        random_share=(0.2, "share chosen at random, as a fair test"),
        output=(None, "default: selected_manifest.json beside the manifest", Path),
        seed=seed,
    )
    command(
        commands.demo,
        "the whole loop on composed songs with a simulated rater",
        run_dir=(None, "a new folder for everything; default: runs/demo_ and the time", str),
        profile=("full", "full or smoke"),
        seed=seed,
    )
    return parser
