"""What networks read of a song as a whole."""

import numpy as np

from rlhf_lib.analysis.feature_table import FEATURE_GROUPS
from rlhf_lib.analysis.song import Song

N_GLOBAL = 5


def song_globals(song: Song) -> np.ndarray:
    """Return the numbers of the state that describe a song as a whole, (5,) float32."""
    period = song.duration / song.n_beats
    level = song.features[:, FEATURE_GROUPS["rms"].start]
    return np.array(
        [
            np.log2(period / 0.5),
            np.log10(song.n_beats) - 2,
            song.hook_values.mean(),
            level.std() / 10.0,
            float(song.beats_per_bar == 3),
        ],
        dtype=np.float32,
    )
