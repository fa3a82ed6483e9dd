"""A song: its audio file, beat grid, metre and beat features."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from rlhf_lib.analysis import song_cache
from rlhf_lib.analysis.audio import find_audio, is_endless
from rlhf_lib.analysis.beats import beat_bounds, beat_file, estimate_beats, read_beats
from rlhf_lib.analysis.confidence import LEAST_CONFIDENCE, Confidence
from rlhf_lib.analysis.downmix import load_downmix
from rlhf_lib.analysis.feature_table import N_FEATURES
from rlhf_lib.analysis.features import beat_features
from rlhf_lib.analysis.joins import JoinCosts
from rlhf_lib.analysis.likeness import beat_points, kinds
from rlhf_lib.analysis.oddity import beat_oddity
from rlhf_lib.analysis.structure import hook_values
from rlhf_lib.errors import InputError
from rlhf_lib.parallel import run
from rlhf_lib.paths import cache_folder, file_sha256, resolve

#: A song must last this many seconds and have this many beats.
MIN_DURATION, MIN_BEATS = 10.0, 16
#: A song whose largest sample stays below this (−66 dB) counts as silent.
_SILENT_PEAK = 5e-4

#: From `_MANY_BEATS` on a policy decides at bar lines only; below `_FEW_BEATS` at every beat.
#: Coarser steps on shorter songs would miss the target keep ratio by more than 0.03.
_MANY_BEATS, _FEW_BEATS = 100, 50


@dataclass(frozen=True, eq=False)
class Song:
    """A song: everything but its samples.

    Parameters
    ----------
    song_id : str
        Unique within a data set.
    path : Path
        The audio file.
    sha256 : str
        Of the audio file's content.
    sample_rate, n_samples : int
        Of the audio file, per channel.
    beat_times : (n_beats,) float64 array
        Seconds, strictly increasing.
    beats_per_bar : int
        3 or 4.
    downbeat : int
        The first beat that begins a bar, 0 … beats_per_bar − 1.
    features : (n_beats, 125) float32 array
        See `rlhf_lib.analysis.feature_table.FEATURE_TABLE`.
    confidence : Confidence
        In what was estimated; 1 throughout by default.

    Raises
    ------
    InputError
        When the arrays do not fit each other or hold values that are not numbers.
    """

    song_id: str
    path: Path
    sha256: str
    sample_rate: int
    n_samples: int
    beat_times: np.ndarray
    beats_per_bar: int
    downbeat: int
    features: np.ndarray
    confidence: Confidence = field(default_factory=Confidence)

    def __post_init__(self):
        times = np.array(self.beat_times, dtype=np.float64)
        features = np.array(self.features, dtype=np.float32)
        where = f"song {self.song_id!r}"
        if times.ndim != 1 or len(times) < 2 or not np.all(np.diff(times) > 0):
            raise InputError(f"{where}: beat times must be two or more rising numbers of seconds")
        if features.shape != (len(times), N_FEATURES):
            raise InputError(
                f"{where}: features of shape {features.shape} for {len(times)} beats; "
                f"expected ({len(times)}, {N_FEATURES})"
            )
        if not (np.isfinite(times).all() and np.isfinite(features).all()):
            raise InputError(f"{where}: beat times or features hold values that are not numbers")
        if self.beats_per_bar not in (3, 4) or not 0 <= self.downbeat < self.beats_per_bar:
            raise InputError(
                f"{where}: downbeat {self.downbeat} of {self.beats_per_bar} beats to the bar; "
                "expected 3 or 4 beats and a downbeat among the first of them"
            )
        for name, array in (("beat_times", times), ("features", features)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def n_beats(self) -> int:
        """Number of beats."""
        return len(self.beat_times)

    @property
    def duration(self) -> float:
        """Length in s."""
        return self.n_samples / self.sample_rate

    @cached_property
    def beat_bounds(self) -> np.ndarray:
        """Sample bounds of the beats, (n_beats + 1,) int64: a partition of the file."""
        return _frozen(beat_bounds(self.beat_times, self.n_samples, self.sample_rate))

    @cached_property
    def beat_durations(self) -> np.ndarray:
        """Length of each beat in s, (n_beats,); they add up to the song's."""
        return _frozen(np.diff(self.beat_bounds) / self.sample_rate)

    @cached_property
    def decision_points(self) -> np.ndarray:
        """Beats at which a policy decides, (n_points,) int: 0 and bar lines, finer when short."""
        if self.n_beats >= _MANY_BEATS:
            step = self.beats_per_bar
        elif self.n_beats >= _FEW_BEATS and self.beats_per_bar == 4:
            step = 2
        else:
            step = 1
        return _frozen(np.union1d([0], np.arange(self.downbeat % step, self.n_beats, step)))

    @property
    def warning(self) -> str:
        """Which estimates are uncertain and what to do, in one sentence; empty when none is."""
        uncertain = self.confidence.uncertain()
        if not uncertain:
            return ""
        listed = ", ".join(f"{what} {value:.2f}" for what, value in uncertain.items())
        return (
            f"{self.song_id}: estimated with a confidence below {LEAST_CONFIDENCE}: {listed}. "
            "Listen to the beats and bars in notebook 00. Right beats can be given in "
            f"{self.path.stem}.beats, one time in s a line; in wrong bars seams fall inside bars"
        )

    @cached_property
    def joins(self) -> JoinCosts:
        """Costs of playing one beat right after another."""
        return JoinCosts(self.features, self.beat_times, self.beats_per_bar)

    @cached_property
    def hook_values(self) -> np.ndarray:
        """How much each beat belongs to the hook, (n_beats,) in 0 … 1; see `hook_values`."""
        return _frozen(hook_values(self.features))

    @cached_property
    def oddity(self) -> np.ndarray:
        """How much each beat sounds like a mistake, (n_beats,) in 0 … 1; see `beat_oddity`."""
        return _frozen(beat_oddity(self.features, self.beat_times, self.joins.periods))

    @cached_property
    def kinds(self) -> np.ndarray:
        """Which beats sound alike, (n_beats,) int; see `rlhf_lib.analysis.likeness.kinds`."""
        return _frozen(kinds(beat_points(self.features)))


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used as a song, and the reason."""

    path: Path
    reason: str


def load_song(path: str | Path, cache_dir: str | Path | None = None) -> Song:
    """Load a song: from the cache if it was analysed before, else by analysing its audio.

    A beat file next to the audio (``song.beats`` for ``song.mp3``, one time in s per line) is
    used instead of estimated beats.

    Parameters
    ----------
    path : path of an audio file
    cache_dir : path, optional
        Folder of the cache, by default ``songs`` in `rlhf_lib.paths.cache_folder`. A file's name
        is a hash of everything it depends on (audio, beat file, this package's code), so the files
        never go stale. They may be deleted at any time. A cache that cannot be read or written
        costs time and a warning.

    Returns
    -------
    Song
        Its ``song_id`` is the file's name without suffix.

    Raises
    ------
    InputError
        When the file cannot be read, lasts less than MIN_DURATION s, is silent, or has fewer
        than MIN_BEATS beats.
    """
    cache_dir = resolve(cache_dir or cache_folder() / "songs")
    song, problem = _load(resolve(path), cache_dir)
    if problem:
        song_cache.warn_once(cache_dir, problem)
    return song


def _load(path: Path, cache_dir: Path) -> tuple[Song, str | None]:
    """Return a song and why the cache does not work, None when it does; see `load_song`."""
    sha256, beats, entry = _identified(path, cache_dir)
    values, problem = None, None
    try:
        values = song_cache.read(entry)
    except InputError as error:
        problem = str(error)
    cached = values is not None
    values = values or _analyse(path, beats)
    confidence = Confidence(*map(float, values["confidence"]))
    song = Song(path.stem, path, sha256, **values | {"confidence": confidence})
    if not cached:
        if file_sha256(path) != sha256:
            raise InputError(f"{path} changed while it was read; load it again")
        try:
            song_cache.write(entry, values)
        except InputError as error:
            problem = problem or str(error)
    return song, problem


def _identified(path: Path, cache_dir: Path) -> tuple[str, Path | None, Path]:
    """Return the hash of a file, the beat file next to it, and the song's cache file."""
    if is_endless(path):
        raise InputError(f"cannot read {path}: it is a pipe or device; give an audio file")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the name {str(path)!r} is not UTF-8; rename the file") from error
    sha256 = file_sha256(path)
    beats = beat_file(path)
    beats_hash = file_sha256(beats) if beats else "estimated"
    return sha256, beats, song_cache.entry_path(cache_dir, sha256, beats_hash)


def load_songs(
    folder: str | Path,
    n_songs: int | None = None,
    cache_dir: str | Path | None = None,
    jobs: int | None = 1,
    scheduler: str | None = None,
) -> tuple[list[Song], list[Skipped]]:
    """Load the songs below a folder, sorted by path.

    Parameters
    ----------
    folder : path
        Searched recursively.
    n_songs : int, optional
        Stop after this many usable songs.
    cache_dir : path, optional
        See `load_song`.
    jobs, scheduler
        Where songs that are not in the cache are analysed, see `rlhf_lib.parallel.run`; by
        default in this process.

    Returns
    -------
    songs : list of Song
        Ids are file names without suffix. Where several files share one, the folder's name and,
        if needed, some digits of a hash of the path are appended.
    skipped : list of Skipped
        Files that cannot be used, or are copies of an earlier one, with the reason.

    Raises
    ------
    InputError
        When the folder is missing or none of its files can be used.
    """
    if n_songs is not None and n_songs < 1:
        raise InputError(f"n_songs is {n_songs}; ask for at least one song")
    folder = resolve(folder)
    paths = find_audio(folder)
    ids = _unique_ids(paths, folder)
    songs: list[Song] = []
    skipped: list[Skipped] = []
    seen: dict[str, Path] = {}
    while paths and len(songs) != n_songs:
        size = len(paths) if n_songs is None else n_songs - len(songs)  # no more than are needed
        batch, paths = paths[:size], paths[size:]
        for path, song in zip(batch, _loaded(batch, cache_dir, jobs, scheduler), strict=True):
            if isinstance(song, Skipped):
                skipped.append(song)
            elif song.sha256 in seen:
                skipped.append(Skipped(path, f"is an exact copy of {seen[song.sha256]}"))
            else:
                seen[song.sha256] = path
                songs.append(replace(song, song_id=ids[path]))
    if not songs:
        reasons = "".join(f"\n  {skip.path.name}: {skip.reason}" for skip in skipped)
        raise InputError(
            f"no usable song in {folder}"
            + (f"; all {len(skipped)} files were skipped:{reasons}" if skipped else "")
            + f"\nput audio files of at least {MIN_DURATION:.0f} s there"
        )
    return songs, skipped


def _loaded(
    paths: list[Path], cache_dir: str | Path | None, jobs: int | None, scheduler: str | None
) -> list[Song | Skipped]:
    cache_dir = resolve(cache_dir or cache_folder() / "songs")
    load = partial(_song_or_reason, cache_dir=cache_dir)
    found = {}
    if jobs != 1 and scheduler is None:  # starting processes takes longer than reading a cache
        found = {path: load(path) for path in paths if _is_cached(path, cache_dir)}
    others = [path for path in paths if path not in found]
    found |= zip(others, run(load, others, jobs, scheduler, "songs"), strict=True)
    for _, problem in found.values():
        if problem:
            song_cache.warn_once(cache_dir, problem)
    return [found[path][0] for path in paths]


def _is_cached(path: Path, cache_dir: Path) -> bool:
    try:
        return _identified(path, cache_dir)[2].is_file()
    except (InputError, OSError):
        return False


def _song_or_reason(path: Path, cache_dir: Path) -> tuple[Song | Skipped, str | None]:
    try:
        return _load(path, cache_dir)
    except InputError as error:
        return Skipped(path, str(error)), None


def _analyse(path: Path, beats: Path | None) -> dict[str, object]:
    """Return the fields of `Song` other than its id, path and hash."""
    audio = load_downmix(path)
    if audio.duration < MIN_DURATION:
        raise InputError(
            f"{path} lasts {audio.duration:.2f} s; give a song of at least {MIN_DURATION:.0f} s"
        )
    if audio.peak < _SILENT_PEAK:
        raise InputError(f"{path} is silent (peak {audio.peak:.1g}); export it again with sound")
    if beats is None:
        try:
            beat_times, tempo_confidence = estimate_beats(audio)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        remedy = f"write them into {path.with_suffix('.beats').name} if it has a beat"
    else:
        beat_times, tempo_confidence = read_beats(beats, audio.duration), 1.0
        remedy = f"add the missing ones to {beats.name}"
    if len(beat_times) < MIN_BEATS:
        raise InputError(
            f"{path} has {len(beat_times)} beats, at least {MIN_BEATS} are needed; {remedy}"
        )
    features, metre = beat_features(audio, beat_times)
    return {
        "sample_rate": audio.sample_rate,
        "n_samples": audio.n_samples,
        "beat_times": beat_times,
        "beats_per_bar": metre.beats_per_bar,
        "downbeat": metre.downbeat,
        "features": features,
        "confidence": np.array([tempo_confidence, metre.confidence, metre.bar_line_confidence]),
    }


def _unique_ids(paths: list[Path], folder: Path) -> dict[Path, str]:
    ids = {path: path.stem for path in paths}
    for addition in (
        lambda path: path.parent.name,
        lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()[:8],
    ):
        shared = Counter(ids.values())
        ids = {p: f"{i}_{addition(p)}" if shared[i] > 1 else i for p, i in ids.items()}
    return ids
