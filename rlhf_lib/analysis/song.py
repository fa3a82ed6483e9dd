"""A song: its audio file, beat grid, metre and beat features."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from rlhf_lib.analysis import song_cache
from rlhf_lib.analysis.analyse import MIN_DURATION, analyse
from rlhf_lib.analysis.audio import find_audio, is_endless
from rlhf_lib.analysis.bars import Bars, frozen
from rlhf_lib.analysis.beat_files import file_beside
from rlhf_lib.analysis.beats import beat_bounds
from rlhf_lib.analysis.confidence import LEAST_CONFIDENCE, Confidence
from rlhf_lib.analysis.feature_table import FEATURE_NAMES, N_FEATURES
from rlhf_lib.analysis.grid import check_tracker, grid_key
from rlhf_lib.analysis.joins import JoinCosts
from rlhf_lib.analysis.likeness import beat_points, kinds
from rlhf_lib.analysis.oddity import beat_oddity
from rlhf_lib.analysis.sections import Section
from rlhf_lib.analysis.singing import sung_bounds, voices
from rlhf_lib.analysis.structure import hook_values
from rlhf_lib.analysis.surroundings import Surroundings
from rlhf_lib.errors import InputError
from rlhf_lib.parallel import in_one_thread, run
from rlhf_lib.paths import cache_folder, file_sha256, resolve

_SINCE = FEATURE_NAMES.index("segment_since")
#: A section whose start was moved by more than this many beats is named.
_FAR = 0.5


@dataclass(frozen=True, eq=False, repr=False)
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
    downbeats : (n_bars,) int array
        The beats that begin a bar; see `rlhf_lib.analysis.bars.Bars`.
    features : (n_beats, 125) float32 array
        See `rlhf_lib.analysis.feature_table.FEATURE_TABLE`.
    confidence : Confidence
        In what was estimated; 1 throughout by default.
    sections : tuple of Section
        The sections that were given; empty when none were.
    beats_from : str
        "own" (our estimate), "beat_this" or "file".
    gain : float
        The factor by which `rlhf_lib.analysis.audio.load_audio` scales the samples of the file; 1
        unless they exceed full scale. All edits of the song have this level.

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
    downbeats: np.ndarray
    features: np.ndarray
    confidence: Confidence = field(default_factory=Confidence)
    sections: tuple[Section, ...] = ()
    beats_from: str = "own"
    gain: float = 1.0

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
        for name, array in (("beat_times", times), ("features", features)):
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        try:
            object.__setattr__(self, "downbeats", self._bars().downbeats)
        except InputError as error:
            raise InputError(f"{where}: {error}") from error

    def __repr__(self) -> str:
        return (
            f"Song({self.song_id!r}, {self.duration:.1f} s, {self.n_beats} beats, "
            f"{self.beats_per_bar} to the bar)"
        )

    def _bars(self) -> Bars:
        return Bars(self.downbeats, self.n_beats, [section.start for section in self.sections])

    @cached_property
    def bars(self) -> Bars:
        """The bars: length and place in the bar of each beat."""
        return self._bars()

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
        return frozen(beat_bounds(self.beat_times, self.n_samples, self.sample_rate))

    @cached_property
    def beat_durations(self) -> np.ndarray:
        """Length of each beat in s, (n_beats,); they add up to the song's."""
        return frozen(np.diff(self.beat_bounds) / self.sample_rate)

    @property
    def beats_per_bar(self) -> int:
        """The usual number of beats of a bar."""
        return self.bars.usual

    @property
    def decision_points(self) -> np.ndarray:
        """Beats at which a policy decides, (n_points,) int; see `Bars.decision_points`."""
        return self.bars.decision_points

    @property
    def section_starts(self) -> np.ndarray:
        """Beats at which a section begins, (n_sections,): of the given ones, else estimated."""
        return np.flatnonzero(self.features[:, _SINCE] == 0)

    @property
    def outline(self) -> list[tuple[float, str]]:
        """Start in s and name of each section; those without a given name are numbered from 1."""
        given = {section.start: section.label for section in self.sections}
        return [
            (float(self.beat_times[beat]), given.get(beat, str(number)))
            for number, beat in enumerate(self.section_starts.tolist(), 1)
        ]

    @property
    def warning(self) -> str:
        """What is uncertain in the analysis and what to do; empty when nothing is."""
        found = []
        uncertain = self.confidence.uncertain()
        if uncertain:
            listed = ", ".join(f"{what} {value:.2f}" for what, value in uncertain.items())
            found.append(
                f"estimated with a confidence below {LEAST_CONFIDENCE}: {listed}. Listen to the "
                "beats and bars in notebook 00. Right beats and bars can be given in "
                f"{self.path.stem}.beats: export_beats writes one to correct; in wrong bars seams "
                "fall inside bars"
            )
        far = _FAR * float(np.median(self.beat_durations))
        moved = [f"{s.label} by {s.moved:+.2f} s" for s in self.sections if abs(s.moved) > far]
        if moved:
            found.append(
                f"sections moved to the nearest bar line: {', '.join(moved)}. If the bars are "
                f"wrong, correct them in {self.path.stem}.beats"
            )
        return f"{self.song_id}: {'. '.join(found)}" if found else ""

    @cached_property
    def joins(self) -> JoinCosts:
        """Costs of playing one beat right after another."""
        return JoinCosts(self.features, self.beat_times, self.bars)

    @cached_property
    def surroundings(self) -> Surroundings:
        """How the seconds around the bounds of the beats sound."""
        return Surroundings(self.features, self.beat_durations)

    @cached_property
    def voices(self) -> np.ndarray:
        """How much each beat sounds like singing, (n_beats,); see `voices`."""
        return frozen(voices(self.features))

    @cached_property
    def sung_bounds(self) -> np.ndarray:
        """Probability that a sung line runs across each bound, (n_beats + 1,)."""
        return frozen(sung_bounds(self.features))

    @cached_property
    def hook_values(self) -> np.ndarray:
        """How much each beat belongs to the hook, (n_beats,) in 0 … 1; see `hook_values`."""
        return frozen(hook_values(self.features))

    @cached_property
    def oddity(self) -> np.ndarray:
        """How much each beat sounds like a mistake, (n_beats,) in 0 … 1; see `beat_oddity`."""
        return frozen(beat_oddity(self.features, self.beat_times, self.joins.periods))

    @cached_property
    def kinds(self) -> np.ndarray:
        """Which beats sound alike, (n_beats,) int; see `rlhf_lib.analysis.likeness.kinds`."""
        return frozen(kinds(beat_points(self.features)))


@dataclass(frozen=True)
class Skipped:
    """A file that cannot be used as a song, and the reason."""

    path: Path
    reason: str


def load_song(path: str | Path, cache_dir: str | Path | None = None, beats: str = "own") -> Song:
    """Load a song: from the cache if it was analysed before, else by analysing its audio.

    Files next to the audio are used instead of estimates: ``song.beats`` for ``song.mp3`` (see
    `read_beats`) and ``song.sections`` (see `read_sections`).

    Parameters
    ----------
    path : path of an audio file
    cache_dir : path, optional
        Folder of the cache, by default ``songs`` in `rlhf_lib.paths.cache_folder`. A file's name
        is a hash of everything it depends on (audio, files next to it, this package's code), so
        the files never go stale. They may be deleted at any time. A cache that cannot be read or
        written costs time and a warning.
    beats : str
        Who estimates the beats of a song without a beat file: "own", or "beat_this" (see
        `rlhf_lib.analysis.learned_beats`), whose bar lines are used too.

    Returns
    -------
    Song
        Its ``song_id`` is the file's name without suffix.

    Raises
    ------
    InputError
        When the file or one next to it cannot be read, it lasts less than MIN_DURATION s, is
        silent, has fewer than MIN_BEATS beats, or beat_this is asked for and missing.
    """
    cache_dir = resolve(cache_dir or cache_folder() / "songs")
    song, problem = _load(resolve(path), cache_dir, beats)
    if problem:
        song_cache.warn_once(cache_dir, problem)
    return song


def _load(path: Path, cache_dir: Path, beats: str) -> tuple[Song, str | None]:
    """Return a song and why the cache does not work, None when it does; see `load_song`."""
    sha256, entry = _identified(path, cache_dir, beats)
    values, problem = None, None
    try:
        values = song_cache.read(entry)
    except InputError as error:
        problem = str(error)
    cached = values is not None
    values = values or in_one_thread(analyse, path, beats)
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


def _identified(path: Path, cache_dir: Path, beats: str) -> tuple[str, Path]:
    """Return the hash of a file, and the song's cache file."""
    if is_endless(path):
        raise InputError(f"cannot read {path}: it is a pipe or device; give an audio file")
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the name {str(path)!r} is not UTF-8; rename the file") from error
    sha256 = file_sha256(path)
    sections = file_beside(path, ".sections")
    sections_key = file_sha256(sections) if sections else "estimated"
    return sha256, song_cache.entry_path(cache_dir, sha256, grid_key(path, beats), sections_key)


def load_songs(
    folder: str | Path,
    n_songs: int | None = None,
    cache_dir: str | Path | None = None,
    jobs: int | None = 1,
    scheduler: str | None = None,
    beats: str = "own",
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
    beats : str
        See `load_song`.

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
        When the folder is missing, none of its files can be used, or beat_this is missing.
    """
    if n_songs is not None and n_songs < 1:
        raise InputError(f"n_songs is {n_songs}; ask for at least one song")
    folder = resolve(folder)
    check_tracker(beats)
    paths = find_audio(folder)
    ids = _unique_ids(paths, folder)
    songs: list[Song] = []
    skipped: list[Skipped] = []
    seen: dict[str, Path] = {}
    while paths and len(songs) != n_songs:
        size = len(paths) if n_songs is None else n_songs - len(songs)  # no more than are needed
        batch, paths = paths[:size], paths[size:]
        for path, song in zip(
            batch, _loaded(batch, cache_dir, jobs, scheduler, beats), strict=True
        ):
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
    paths: list[Path],
    cache_dir: str | Path | None,
    jobs: int | None,
    scheduler: str | None,
    beats: str,
) -> list[Song | Skipped]:
    cache_dir = resolve(cache_dir or cache_folder() / "songs")
    load = partial(_song_or_reason, cache_dir=cache_dir, beats=beats)
    found = {}
    if jobs != 1 and scheduler is None:  # starting processes takes longer than reading a cache
        found = {path: load(path) for path in paths if _is_cached(path, cache_dir, beats)}
    others = [path for path in paths if path not in found]
    found |= zip(others, run(load, others, jobs, scheduler, "songs"), strict=True)
    for _, problem in found.values():
        if problem:
            song_cache.warn_once(cache_dir, problem)
    return [found[path][0] for path in paths]


def _is_cached(path: Path, cache_dir: Path, beats: str) -> bool:
    try:
        return _identified(path, cache_dir, beats)[1].is_file()
    except (InputError, OSError):
        return False


def _song_or_reason(path: Path, cache_dir: Path, beats: str) -> tuple[Song | Skipped, str | None]:
    try:
        return _load(path, cache_dir, beats)
    except InputError as error:
        return Skipped(path, str(error)), None


def _unique_ids(paths: list[Path], folder: Path) -> dict[Path, str]:
    ids = {path: path.stem for path in paths}
    for addition in (
        lambda path: path.parent.name,
        lambda path: hashlib.sha256(path.relative_to(folder).as_posix().encode()).hexdigest()[:8],
    ):
        shared = Counter(ids.values())
        ids = {p: f"{i}_{addition(p)}" if shared[i] > 1 else i for p, i in ids.items()}
    return ids
