"""Names, units and columns of the 125 features of a beat."""

from itertools import pairwise
from typing import NamedTuple


class Feature(NamedTuple):
    """One column of the beat features."""

    name: str
    unit: str
    description: str


_PITCHES = ("c", "cs", "d", "ds", "e", "f", "fs", "g", "gs", "a", "as", "b")
_CONTRAST_BANDS = ("0_200", "200_400", "400_800", "800_1600", "1600_3200", "3200_6400", "6400_up")
_TONNETZ = ("fifth_x", "fifth_y", "minor_x", "minor_y", "major_x", "major_y")
_SHAPE = (
    ("centroid", "Hz", "spectral centroid"),
    ("bandwidth", "Hz", "spread of the spectrum about its centroid"),
    ("rolloff", "Hz", "frequency below which 85 % of the magnitude lies"),
    ("flatness", "1", "geometric / arithmetic mean of the power spectrum"),
    ("zero_crossing", "1", "share of samples at which the waveform changes sign"),
)
#: Edges of the energy bands in Hz; the last band ends at the analysis' Nyquist frequency.
BAND_EDGES = (0, 100, 200, 400, 800, 1600, 3200, 6400, 11025)
#: Lags (beats) of the lag similarities.
LAGS = (-32, -16, -8, -4, 4, 8, 16, 32)
#: Numbers of skipped beats [first, last] among which the best join is sought.
JOIN_WINDOWS = ((1, 8), (9, 16), (17, 32), (33, 64), (65, 128))


def _mfcc(group: str, what: str, first: int, count: int) -> list[Feature]:
    return [Feature(f"{group}_{k}", "dB", f"MFCC {k}, {what}") for k in range(first, first + count)]


_GROUPS: dict[str, list[Feature]] = {
    "mfcc_mean": _mfcc("mfcc_mean", "mean over the beat", 0, 13),
    "mfcc_std": _mfcc("mfcc_std", "standard deviation over the beat", 0, 13),
    "chroma": [
        Feature(f"chroma_{p}", "1", f"share of pitch class {p.replace('s', '#').upper()}")
        for p in _PITCHES
    ],
    "contrast": [
        Feature(f"contrast_{b}", "dB", f"peak to valley of the spectrum, band {b} Hz")
        for b in _CONTRAST_BANDS
    ],
    "tonnetz": [
        Feature(f"tonnetz_{t}", "1", f"tonal centroid, {t.replace('_', ' axis, ')}")
        for t in _TONNETZ
    ],
    "shape_mean": [Feature(f"{n}_mean", u, f"{d}, mean over the beat") for n, u, d in _SHAPE],
    "shape_std": [
        Feature(f"{n}_std", u, f"{d}, standard deviation over the beat") for n, u, d in _SHAPE
    ],
    "rms": [
        Feature("rms_mean", "dBFS", "RMS level of the whole beat"),
        Feature("rms_std", "dB", "standard deviation of the frames' levels"),
        Feature("rms_start", "dBFS", "RMS level of the first 80 ms"),
        Feature("rms_end", "dBFS", "RMS level of the last 80 ms"),
    ],
    "onset": [
        Feature("onset_mean", "dB", "spectral flux, mean over the beat"),
        Feature("onset_max", "dB", "spectral flux, maximum in the beat"),
        Feature("onset_start", "dB", "spectral flux, maximum within 80 ms of the beat"),
        Feature("onset_place", "beats", "where in the beat the flux is largest, 0 … 1"),
    ],
    "bands": [
        Feature(f"band_{lo}_{hi}", "dBFS", f"energy between {lo} and {hi} Hz")
        for lo, hi in pairwise(BAND_EDGES)
    ],
    "edge_start": _mfcc("edge_start", "mean over the first 80 ms", 1, 5),
    "edge_end": _mfcc("edge_end", "mean over the last 80 ms", 1, 5),
    "metre": [
        # All four are 0 from the fifth beat of a bar on.
        *(Feature(f"bar_place_{k}", "0/1", f"the beat is number {k} of its bar") for k in range(4)),
        Feature("bar_sin", "1", "sine of the place in the bar, a turn per bar of any length"),
        Feature("bar_cos", "1", "cosine of the place in the bar"),
        # Phrases start anew where a given section begins.
        Feature("phrase_sin", "1", "sine of the place in the four-bar phrase, a quarter per bar"),
        Feature("phrase_cos", "1", "cosine of the place in the four-bar phrase"),
        Feature("triple", "0/1", "the bar has three beats"),
    ],
    "novelty": [
        Feature(f"novelty_{k}", "1", f"change of sound between the {k} beats before and after")
        for k in (4, 8, 16)
    ],
    "segment": [
        # The given sections, else those estimated from the sound.
        Feature("segment_since", "beats", "beats since the section began"),
        Feature("segment_left", "beats", "beats until the section ends, this one included"),
        Feature("segment_level", "dB", "level of the section relative to the song"),
    ],
    "repetition": [
        Feature("repetition", "1", "likeness of the best repeat of the eight beats around"),
        Feature("hook", "1", "repeated often and loud, 0 … 1"),
    ],
    "lag_similarity": [
        Feature(f"lag_{lag:+d}", "1", f"likeness to the beat {lag:+d} beats away; 0 outside")
        for lag in LAGS
    ],
    "best_join": [
        *(
            Feature(f"best_from_{a}_{b}", "1", f"least cost of skipping {a}-{b} beats after this")
            for a, b in JOIN_WINDOWS
        ),
        *(
            Feature(f"best_to_{a}_{b}", "1", f"least cost of skipping {a}-{b} beats before this")
            for a, b in JOIN_WINDOWS
        ),
    ],
    "offset": [
        Feature("beat_offset", "octaves", "log2 of the beat's length over the local period"),
        Feature("tempo_offset", "octaves", "log2 of the local period over the song's median"),
    ],
    "position": [Feature("position", "1", "time of the beat / length of the song")],
}

#: One row per column: name, unit, description.
FEATURE_TABLE: tuple[Feature, ...] = tuple(f for group in _GROUPS.values() for f in group)
FEATURE_NAMES: tuple[str, ...] = tuple(f.name for f in FEATURE_TABLE)
N_FEATURES = len(FEATURE_NAMES)


def _slices() -> dict[str, slice]:
    slices, start = {}, 0
    for name, group in _GROUPS.items():
        slices[name] = slice(start, start + len(group))
        start += len(group)
    return slices


#: Columns of each group, in order.
FEATURE_GROUPS: dict[str, slice] = _slices()
#: The first columns come from the sound alone, the rest from the song's structure.
N_SOUND = FEATURE_GROUPS["metre"].start
