"""Compare rendering with soundfile and numpy; time sets of candidates.

    python benchmarks/rendering.py [--write]
    python benchmarks/rendering.py --candidates [--jobs 2] [--write]

The peer joins the same segments with linear crossfades and writes them with soundfile. Ours adapts
each fade to the sound on its two sides, so that none clicks or swells, and writes 16 bits as in the
source. For a candidate it also measures loudness (the peer: pyloudnorm). With ``--candidates``, ten
composed songs of two minutes, which are analysed before, get five edits each.
"""

import shutil
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyloudnorm
import soundfile
import torch
from measuring import arguments, publish, ratio, side_by_side, spread

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.composer.compose import compose_song, compose_songs
from rlhf_lib.editing.edit import Action, Edit
from rlhf_lib.editing.loudness import loudness
from rlhf_lib.editing.render import render
from rlhf_lib.feedback.manifest import PolicyRef
from rlhf_lib.learning.policy.policy import Policy, PolicyConfig
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS
from rlhf_lib.steps.candidates import candidate_edits, generate_candidates

GOAL = 8.0
FADE = 0.012


def one_edit() -> tuple[Edit, Audio]:
    """Return a composed song of four minutes without every fourth bar."""
    made = compose_song(0, "rock", 240.0)
    features, metre, _ = beat_features(made.audio, made.beat_times)
    song = Song(
        "song",
        Path("song.flac"),
        "0" * 64,
        made.audio.sample_rate,
        made.audio.n_samples,
        made.beat_times,
        metre.downbeats,
        features,
    )
    actions = np.where(np.arange(song.n_beats) // 4 % 4 == 3, Action.CUT, Action.KEEP)
    return Edit(song, actions, 0.75), made.audio


def peer_render(edit: Edit, audio: Audio) -> np.ndarray:
    """Join the segments with linear crossfades of 12 ms."""
    half = round(FADE * audio.sample_rate / 2)
    rise = np.linspace(0, 1, 2 * half, dtype=np.float32)[:, None]
    bounds = edit.song.beat_bounds[edit.segments]
    out = np.concatenate([audio.samples[start:stop] for start, stop in bounds])
    place = 0
    for (start, stop), (onward, _) in pairwise(bounds):
        place += stop - start
        left = audio.samples[stop - half : stop + half]
        right = audio.samples[onward - half : onward + half]
        out[place - half : place + half] = left * (1 - rise) + right * rise
    return out


def compared(folder: Path, rounds: int) -> tuple[pd.DataFrame, str]:
    """Time rendering, writing and measuring against the peer."""
    edit, audio = one_edit()
    sound, rate = render(edit, audio), audio.sample_rate
    plain = peer_render(edit, audio)
    meter = pyloudnorm.Meter(rate)
    stages = {
        "render": (lambda: render(edit, audio), lambda: peer_render(edit, audio)),
        "write 16-bit WAV": (
            lambda: save_audio(folder / "ours.wav", sound),
            lambda: soundfile.write(folder / "peer.wav", plain, rate, subtype="PCM_16"),
        ),
        "loudness": (lambda: loudness(sound), lambda: meter.integrated_loudness(plain)),
    }
    times = {}
    for stage, (ours, peer) in stages.items():
        times[stage] = side_by_side({"ours": ours, "peer": peer}, rounds)
    times["all three"] = {
        side: sum(times[stage][side] for stage in stages) for side in ("ours", "peer")
    }
    rows = [
        {
            "stage": stage,
            "ours, ms": spread(1000 * both["ours"], ".0f"),
            "soundfile + numpy, ms": spread(1000 * both["peer"], ".0f"),
            "peer / ours": ratio(both["peer"], both["ours"]),
        }
        for stage, both in times.items()
    ]
    about = (
        f"An edit of {edit.duration:.0f} s with {len(edit.seams)} seams, 44.1 kHz, stereo, decoded "
        "before. Ours waits until the file is on the disk, the peer does not."
    )
    return pd.DataFrame(rows), about


def candidates(folder: Path, rounds: int, jobs: int) -> tuple[pd.DataFrame, str]:
    """Time five candidates of each of ten songs, in one process and in several."""
    compose_songs(folder / "songs", 10, seed=0)
    songs, _ = load_songs(folder / "songs", cache_dir=folder / "cache")
    torch.manual_seed(0)
    policy = Policy(PolicyConfig(), SYNTHETIC_WEIGHTS)
    ref = PolicyRef(name="policy_v14", sha256="0" * 64)

    def generate(jobs: int) -> None:
        shutil.rmtree(folder / "out", ignore_errors=True)
        songs, _ = load_songs(folder / "songs", cache_dir=folder / "cache")
        generate_candidates(songs, policy, ref, folder / "out", jobs=jobs)

    runs = {
        "planning alone": lambda: candidate_edits(policy, songs, 5, 0),
        "all, 1 process": lambda: generate(1),
        f"all, {jobs} processes": lambda: generate(jobs),
    }
    times = side_by_side(runs, rounds)
    rows = [{"candidates": name, "s": spread(some, ".1f")} for name, some in times.items()]
    best = np.median(times[f"all, {jobs} processes"])
    about = (
        f"Ten composed songs of two minutes in the cache, five edits each; the policy searches "
        f"and climbs for each. Goal on 2 cores: {GOAL:g} s, "
        f"{'reached' if best <= GOAL else 'not reached'}."
    )
    return pd.DataFrame(rows), about


def main() -> None:
    """Print the table; with ``--write``, write it too."""
    parser = arguments(__doc__)
    parser.add_argument("--candidates", action="store_true", help="time sets of candidates")
    parser.add_argument("--jobs", type=int, default=2, help="processes, with --candidates")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        if args.candidates:
            publish("candidates", *candidates(Path(folder), args.rounds, args.jobs), args.write)
        else:
            publish("rendering", *compared(Path(folder), args.rounds), args.write)


if __name__ == "__main__":
    main()
