"""The command line: the steps of the notebooks, for long runs and machines without a screen."""

import argparse
import atexit
import difflib
import gc
import io
import math
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_lib import __version__
from rlhf_lib.app import commands
from rlhf_lib.errors import InputError
from rlhf_lib.steps import wishes

#: Used instead of a default for a flag that must be given.
REQUIRED = object()
_LARGEST = 2**31 - 1
_PROGRAM = "python -m rlhf_lib"


def main(arguments: Sequence[str] | None = None, program: str = _PROGRAM) -> int:
    """Run one command; return the exit status.

    2 means wrong input, reported in one line; 130 means interrupted by Ctrl-C; 1 means that the
    reader of the output, such as `head`, has left.
    """
    atexit.register(gc.freeze)  # a last search for garbage in all modules takes 0.2 s
    for stream in (sys.stdout, sys.stderr):  # file names may be invalid text
        if isinstance(stream, io.TextIOWrapper):  # a notebook has other streams
            stream.reconfigure(errors="backslashreplace")
    try:  # reading some flags imports much, too
        args = _parsed(sys.argv[1:] if arguments is None else arguments, program)
        args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python's last flush
        return 1
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; check path, permissions and free space", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; finished files are kept, start again to resume", file=sys.stderr)
        return 130
    return 0


def edit_song() -> int:
    """Run the command `edit_song` with the arguments of the process: the console script."""
    return main(["edit_song", *sys.argv[1:]], program="")


def _parsed(arguments: Sequence[str], program: str) -> argparse.Namespace:
    """Read the arguments; refuse unknown ones with the usage of the command."""
    top, subs = _parsers(program)
    if arguments and arguments[0] in subs:
        flags = next(c.flags for c in COMMANDS if c.run.__name__ == arguments[0])
        _refuse_unknown_flags(subs[arguments[0]], flags, arguments[1:])
    args, rest = top.parse_known_args(arguments)
    if rest:
        hint = "; give one song, or a folder of songs" if args.run is commands.edit_song else ""
        args.refuse(f"unrecognized arguments: {' '.join(rest)}{hint}")
    return args


def _refuse_unknown_flags(
    sub: argparse.ArgumentParser, flags: Mapping[str, "Flag"], given: Sequence[str]
) -> None:
    """Name the nearest flag; argparse would complain of a flag that is then missing."""
    known = [*(f"--{name}" for name in flags), "--help", "--version"]
    for text in given[: given.index("--") if "--" in given else None]:
        flag = text.partition("=")[0]
        if re.match("--?[a-z]", flag, re.IGNORECASE) and flag != "-h":
            if flag.startswith("--") and any(one.startswith(flag) for one in known):
                continue
            near = difflib.get_close_matches(flag, known, 1)
            sub.error(f"unknown flag {flag}; " + (f"is it {near[0]}?" if near else "see --help"))


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    return _parsers(_PROGRAM)[0]


def _parsers(program: str) -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """Return the parser of all commands, and that of each by its name."""
    top = argparse.ArgumentParser(
        prog=program,
        description="Music retargeting learned from human preferences.",
        epilog="Relative paths are taken from the workspace ($RLHF_WORKSPACE or the repository); "
        "edit_song takes them from the current folder.",
    )
    version = {"action": "version", "version": f"rlhf_lib {__version__}"}
    top.add_argument("--version", **version)
    subparsers = top.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = subparsers.add_parser(
            command.run.__name__,
            prog=f"{program} {command.run.__name__}".strip(),
            help=command.about,
            description=command.about,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.set_defaults(run=command.run, refuse=sub.error)
        if command.run is commands.edit_song:  # a program of its own, too
            sub.add_argument("--version", **version)
        one = sub.add_mutually_exclusive_group(required=True) if command.one_of else sub
        for name, flag in command.flags.items():
            _add_flag(one if name in command.one_of else sub, name, flag)
    return top, subparsers.choices


def _add_flag(sub: argparse._ActionsContainer, name: str, flag: "Flag") -> None:
    if flag.default is False:
        sub.add_argument(f"--{name}", action="store_true", help=flag.about)
        return
    kind = flag.kind or type(flag.default)
    kind = _for_argparse(_KINDS.get(kind, kind))
    if flag.positional:
        optional = {} if flag.default is REQUIRED else {"nargs": "?", "default": flag.default}
        sub.add_argument(name, help=flag.about, type=kind, **optional)
        return
    needed = {"required": True} if flag.default is REQUIRED else {"default": flag.default}
    more = {"action": "extend"} if isinstance(flag.default, list) else {}
    sub.add_argument(f"--{name}", help=flag.about, type=kind, **needed, **more)


def _for_argparse(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a reader of a text whose reasons to refuse it argparse prints."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _given(text: str) -> str:
    """Refuse an empty text, as of a variable that is not set: it would be the current folder."""
    if not text:
        raise InputError("'' is empty; give a path")
    return text


def _path(text: str) -> Path:
    return Path(_given(text))


def _whole(text: str) -> int:
    """Read a whole number that is also valid as a random seed."""
    if not (text.isascii() and text.isdigit() and int(text[:20]) <= _LARGEST):
        raise InputError(f"{text!r} is not a whole number from 0 to {_LARGEST}")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{text!r} is not a number of 0 or more")
    return value


_KINDS = {int: _whole, float: _number, Path: _path}


class Flag(NamedTuple):
    """A flag of a command.

    Attributes
    ----------
    default
        A list for a flag that may be repeated, and whose kind returns a list.
    about : str
        Help text.
    kind : type or function of a text, optional
        Needed if the default does not show it.
    positional : bool
        Given by its place, without its name.
    """

    default: Any
    about: str
    kind: Callable[[str], Any] | None = None
    positional: bool = False


class Command(NamedTuple):
    """A command: the function that runs it, help text, flags by name; of some, one is needed."""

    run: Callable[[argparse.Namespace], None]
    about: str
    flags: Mapping[str, Flag]
    one_of: tuple[str, ...] = ()


_SEED = Flag(0, "random seed")
_SONGS_DIR = Flag("data/train_songs", "folder of songs, searched recursively")
_MODELS_DIR = Flag("models", "folder of the checkpoints")
_BEATS = Flag("own", "who estimates beats that no file gives: own or beat_this")
_DEVICE = Flag(None, "cpu or cuda; default: cuda if available", str)
_LOG = Flag(None, "also log the metrics with wandb or trackio, which must be installed", str)
_MANY = {
    "jobs": Flag(None, "number of processes; default: one per core", int),
    "scheduler": Flag(None, "address of a Dask scheduler; its workers are used instead", str),
}
_STUDY = {
    "study": Flag(REQUIRED, "the study file, such as rlhf_lib/web/example_study.yaml", Path, True),
    "manifest": Flag(None, "in place of the one that the file names", str),
    "feedback": Flag(None, "folder of the answers, in place of the one that the file names", str),
}

COMMANDS = (
    Command(
        commands.edit_song,
        "shorten a song, or every song of a folder, with a trained policy",
        {
            "source": Flag(REQUIRED, "a sound file, or a folder of them", Path, True),
            "output": Flag(
                None,
                "the edit (.wav, .flac, .ogg or .mp3), or a folder for it; default: NAME_short in "
                "the current folder, for a folder of songs the folder short",
                _given,
                True,
            ),
            "seconds": Flag(None, "length of the edit: 150, 2:30 or 2m30s", wishes.read_time),
            "keep": Flag(
                None, "length as a share of the song, 0.2 to 1: 0.8 or 80%%", wishes.read_share
            ),
            "policy": Flag(
                None,
                "checkpoint, or the name of a policy in models; default: the one trained last, "
                "else the one in the box",
                Path,
            ),
            "variants": Flag(1, "number of edits that differ, 1 to 99", wishes.read_variants),
            "protect": Flag(
                [],
                "passages that stay as they are: 0:30-1:10,2:00-2:20; may be repeated",
                wishes.read_passages,
            ),
            "must_start": Flag(
                "on", "on: the edit begins as the song does; or off", wishes.read_switch
            ),
            "must_end": Flag(
                "on", "on: the edit ends as the song does; or off", wishes.read_switch
            ),
            "spare_singing": Flag(
                "on",
                "on: cuts in sung lines cost more, as long as must_start and must_end are on; or "
                "off: the policy alone",
                wishes.read_switch,
            ),
            "cut_list": Flag(
                [],
                "cut lists beside the edit, separated by commas: txt, csv, otio, json",
                wishes.read_cut_lists,
            ),
            "overwrite": Flag(False, "replace files that exist"),
            "beats": _BEATS,
        },
        one_of=("seconds", "keep"),
    ),
    Command(
        commands.compose_songs,
        "compose demo songs",
        {
            "output_dir": Flag("data/train_songs", "folder for the songs"),
            "n_songs": Flag(12, "number of songs"),
            "seconds": Flag(120.0, "length of each in s"),
            "seed": _SEED,
        },
    ),
    Command(
        commands.train_initial,
        "train reward model v8 on synthetic pairs and policy v14 on its reward",
        {
            "songs_dir": _SONGS_DIR,
            "models_dir": _MODELS_DIR,
            "run_dir": Flag("runs/policy_v14", "folder for metrics and intermediate checkpoints"),
            "groups_per_song": Flag(12, "groups of four edits compared by synthetic raters"),
            "epochs": Flag(4, "epochs of the reward model"),
            "episodes": Flag(500, "episodes of PPO"),
            "device": _DEVICE,
            "log": _LOG,
            "seed": _SEED,
            "beats": _BEATS,
            **_MANY,
        },
    ),
    Command(
        commands.generate_eval_candidates,
        "edit every song at temperatures 0.1 … 0.9; write audio and manifest",
        {
            "songs_dir": Flag("data/test_songs", _SONGS_DIR.about),
            "output_dir": Flag("eval_outputs", "folder for audio and manifest"),
            "n_songs": Flag(10, "use at most this many songs"),
            "candidates_per_song": Flag(5, "above 5: more edits of the same lengths"),
            "policy": Flag("models/policy_final.pt", "checkpoint"),
            "format": Flag("wav", "of the audio: wav, or flac for the same samples in less space"),
            "seed": _SEED,
            "beats": _BEATS,
            **_MANY,
        },
    ),
    Command(
        commands.export_beats,
        "write the beats and bars of songs, to be corrected and put next to the songs",
        {
            "songs_dir": Flag("data/test_songs", "folder of songs, or one song"),
            "output_dir": Flag("runs/beats", "folder for the files, named after the songs"),
            "format": Flag("beats", "beats, or audacity: a label track"),
            "beats": _BEATS,
            **_MANY,
        },
    ),
    Command(
        commands.simulate_feedback,
        "answer the comparisons of a manifest by a simulated rater",
        {
            "manifest": Flag("eval_outputs/evaluation_manifest.json", "what to rate"),
            "feedback_dir": Flag("feedback", "folder of preferences.json"),
            "taste": Flag("smooth", "hidden taste"),
            "noise": Flag(0.5, "scale of the rater's noise"),
            "rater_id": Flag(None, "default: simulated_TASTE", str),
            "max_tasks": Flag(None, "stop after this many answers", int),
            "seed": _SEED,
        },
    ),
    Command(
        commands.serve_study,
        "serve a listening study as web pages",
        {
            **_STUDY,
            "host": Flag("127.0.0.1", "address to listen on; put a proxy in front for others"),
            "port": Flag(8866, "port to listen on"),
        },
    ),
    Command(
        commands.study_report,
        "print what the coordinator's page shows: raters, checks, agreement, pairs still needed",
        {**_STUDY, "output_dir": Flag(None, "also write all downloads into this folder", str)},
    ),
    Command(
        commands.study_links,
        "print sign-in links of raters",
        {
            **_STUDY,
            "raters": Flag(REQUIRED, "ids of raters, separated by commas", str),
            "address": Flag("http://127.0.0.1:8866", "address under which the study is served"),
        },
    ),
    Command(
        commands.simulate_study,
        "rehearse a study: simulated raters answer it by HTTP, into a folder of their own",
        {
            **_STUDY,
            "feedback": Flag("runs/rehearsal", "folder of the simulated answers"),
            "raters": Flag(10, "number of raters"),
            "taste": Flag("smooth", "hidden taste"),
            "noise": Flag(0.5, "scale of the raters' noise"),
            "behaviours": Flag(
                "", "some of careful,careless,side_biased,dropping_out,reloading; default: all"
            ),
            "seed": _SEED,
        },
    ),
    Command(
        commands.delete_rater,
        "delete all that is stored of a rater, and name the models trained on it",
        {
            **_STUDY,
            "rater_id": Flag(REQUIRED, "the id in the answers", str),
            "models_dir": _MODELS_DIR,
        },
    ),
    Command(
        commands.import_feedback,
        "add answers from another program's file: JSON, JSON lines, CSV, Label Studio",
        {
            "file": Flag(REQUIRED, "the file; FEEDBACK_DATA_FORMAT.md describes the formats", str),
            "feedback": Flag("feedback", "preferences.json or its folder"),
            "manifest": Flag("eval_outputs/evaluation_manifest.json", "what was rated"),
            "rater_id": Flag(None, "who answered, if the file does not give it", str),
            "rater_kind": Flag(None, "human or simulated, if the file does not give it", str),
            "strict": Flag(False, "refuse the whole file if any record is refused"),
        },
    ),
    Command(
        commands.export_feedback,
        "write all answers for a spreadsheet or another program, or as a data set",
        {
            "feedback": Flag("feedback", "preferences.json or its folder"),
            "output": Flag(
                "feedback/answers.csv",
                "a .csv, .jsonl or .json file; or a new folder, for a data set of the current "
                "answers with a card for the Hugging Face Hub",
            ),
            "license": Flag(None, "licence of the data set, such as cc-by-4.0", str),
        },
    ),
    Command(
        commands.export_tasks,
        "write the comparisons of a manifest, and their sounds, for rating in Label Studio",
        {
            "manifest": Flag("eval_outputs/evaluation_manifest.json", "what to rate"),
            "output_dir": Flag(
                "feedback/label_studio", "folder for tasks, sounds and labelling configuration"
            ),
            "audio_url": Flag(
                "/data/local-files/?d=", "address under which the output folder is served"
            ),
            "seed": _SEED,
        },
    ),
    Command(
        commands.check_feedback,
        "agreement, consistency, bias, failed checks: write quality_report.json",
        {
            "feedback": Flag("feedback", "preferences.json or its folder"),
            "plot": Flag(None, "also plot it into this .png or .svg file", str),
        },
    ),
    Command(
        commands.train_from_feedback,
        "fine-tune a reward model on feedback: v8 → v9 …",
        {
            "feedback": Flag("feedback/preferences.json", "preferences.json or its folder"),
            "pretrained": Flag("models/reward_model_v8.pt", "checkpoint to start from"),
            "candidates_dir": Flag("eval_outputs", "folder of the manifest's audio"),
            "models_dir": _MODELS_DIR,
            "epochs": Flag(20, "largest number of passes over the pairs"),
            "min_confidence": Flag(0.7, "leave out answers with a confidence not above this"),
            "exclude_raters": Flag("", "leave out these raters, separated by commas"),
            "max_failed_checks": Flag(None, "leave out raters with more failed checks", int),
            "device": _DEVICE,
            "log": _LOG,
            "seed": _SEED,
        },
    ),
    Command(
        commands.train_rlhf_stable,
        "fine-tune a policy by PPO on a reward model: v14 → v15 …",
        {
            "episodes": Flag(500, "total number of edits"),
            "reward_model": Flag("models/reward_model_v9_feedback_final.pt", "checkpoint"),
            "policy": Flag("models/policy_final.pt", "checkpoint to start from"),
            "songs_dir": _SONGS_DIR,
            "models_dir": _MODELS_DIR,
            "run_dir": Flag("runs", "folder for metrics and intermediate checkpoints"),
            "kl": Flag(0.02, "weight of the KL penalty"),
            "device": _DEVICE,
            "log": _LOG,
            "seed": _SEED,
            "beats": _BEATS,
            **_MANY,
        },
    ),
    Command(
        commands.export_model,
        "write a checkpoint as safetensors with a model card, for the Hugging Face Hub",
        {
            "model": Flag(REQUIRED, "a checkpoint: reward model or policy", str),
            "output_dir": Flag(None, "new folder; default: NAME_export beside the checkpoint", str),
            "license": Flag(None, "licence of the model, such as mit or cc-by-4.0", str),
        },
    ),
    Command(
        commands.evaluate_policies,
        "win rate of a new policy over an old one by a simulated taste",
        {
            "new": Flag("models/policy_final.pt", "checkpoint"),
            "old": Flag("models/policy_v14.pt", "checkpoint"),
            "songs_dir": Flag(
                "data/test_songs", "songs trained on are left out if there are others"
            ),
            "reward_model": Flag(None, "checkpoint; adds the best of 16 old edits", str),
            "taste": Flag("smooth", "taste of the simulated judge"),
            "noise": Flag(0.5, "scale of the noise in the judge's votes"),
            "output": Flag("runs/evaluation.csv", "the table"),
            "seed": _SEED,
            "beats": _BEATS,
            **_MANY,
        },
    ),
    Command(
        commands.select_pairs,
        "choose pairs to rate: at random, or by the uncertainty of the reward model",
        {
            "manifest": Flag("eval_outputs/evaluation_manifest.json", "pairs to choose from"),
            "reward_model": Flag("models/reward_model_v9_feedback_final.pt", "checkpoint"),
            "n_pairs": Flag(20, "number of pairs"),
            "rule": Flag("random", "random, disagreement or information"),
            "random_share": Flag(0.2, "share chosen at random, as unbiased test data"),
            "output": Flag(None, "default: selected_manifest.json next to the manifest", Path),
            "seed": _SEED,
        },
    ),
    Command(
        commands.demo,
        "the whole loop on composed songs with a simulated rater",
        {
            "run_dir": Flag(
                None, "a new folder for all files; default: runs/demo_ and the time", str
            ),
            "profile": Flag("full", "full or smoke"),
            "seed": _SEED,
        },
    ),
)
