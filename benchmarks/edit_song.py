"""Time the command edit_song as a user waits for it: whole processes, from start to exit.

    python benchmarks/edit_song.py [--seconds 180] [--rounds 5] [--write]

A composed song is shortened to two thirds, not analysed before (no cache) and analysed before. The
start of Python with PyTorch alone is timed in the same rounds, and the call of the function in a
Python that runs already.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pandas as pd
from measuring import arguments, publish, ratio, side_by_side, spread

from rlhf_lib.composer.compose import compose_songs
from rlhf_lib.steps.edit_song import edit_song

GOALS = {"WAV, song not analysed before": 5.0, "WAV": 1.5, "WAV, called in a running Python": 1.5}


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="length of the song in s")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["RLHF_WORKSPACE"] = name
        (song,) = compose_songs(folder, 1, 0, args.seconds)

        def edit(output: str, *flags: str, known: bool = True) -> None:
            if not known:
                for entry in (folder / ".cache/songs").glob("*.song"):
                    entry.unlink()
            length = ("--seconds", str(round(args.seconds * 2 / 3)), "--overwrite")
            _run(["-m", "rlhf_lib", "edit_song", song, folder / output, *length, *flags])

        def call() -> None:
            edit_song(song, folder / "y.wav", seconds=args.seconds * 2 / 3, overwrite=True)

        runs = {
            "Python with PyTorch": lambda: _run(["-c", "import torch"]),
            "WAV, song not analysed before": lambda: edit("x.wav", known=False),
            "WAV": lambda: edit("x.wav"),
            "WAV, called in a running Python": call,
            "FLAC": lambda: edit("x.flac"),
            "OGG": lambda: edit("x.ogg"),
            "MP3": lambda: edit("x.mp3"),
            "WAV, three variants": lambda: edit("x.wav", "--variants", "3"),
            "WAV and four cut lists": lambda: edit("x.wav", "--cut_list", "txt,csv,otio,json"),
        }
        times = side_by_side(runs, args.rounds)
    rows = [
        {
            "output": what,
            "s": spread(times[what]),
            "/ PyTorch alone": ratio(times[what], times["Python with PyTorch"]),
            "goal, s": GOALS.get(what, ""),
        }
        for what in runs
    ]
    about = f"A composed song of {args.seconds:.0f} s, stereo at 44.1 kHz, shortened to two thirds."
    del os.environ["RLHF_WORKSPACE"]
    publish("edit_song", pd.DataFrame(rows), about, args.write)


def _run(arguments: list) -> None:
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
