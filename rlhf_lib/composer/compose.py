"""Demo songs with known beats, sections and flaws: the default data and the test material."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.bars import LONGEST_BAR
from rlhf_lib.composer.flaws import FLAW_GAIN, Flaw, plan_flaws, spoil_notes
from rlhf_lib.composer.score import Score, Section, write_score
from rlhf_lib.composer.singer import sing
from rlhf_lib.composer.style_book import STYLES
from rlhf_lib.composer.styles import in_bars_of
from rlhf_lib.composer.synth import SAMPLE_RATE, master, play
from rlhf_lib.composer.timing import TempoCurve, beat_edges, note_times
from rlhf_lib.composer.voice import SILENT, time_voice, write_voice
from rlhf_lib.errors import InputError
from rlhf_lib.paths import atomic_path, resolve

MIN_SECONDS, MAX_SECONDS = 10.0, 600.0
_SECTION_GAIN = {"intro": -1.0, "verse": -1.0, "chorus": 0.0, "bridge": -1.5, "outro": -0.5}  # dB
_TAIL = 0.6  # s after the last beat
_RAMP = 0.005  # s over which gains change, ending on the beat
_SUNG = 2 / 3  # share of songs that a voice sings


@dataclass(frozen=True, eq=False)
class ComposedSong:
    """A composed song and its ground truth.

    Parameters
    ----------
    audio : Audio
        Stereo, 44.1 kHz.
    beat_times : (n,) float64
        Where the beats start, s; the first is also the first downbeat.
    beats_per_bar : 3 or 4, unless another number was asked for
    sections : covering all beats, in order
    flaws : planted flaws, in order, never overlapping
    sung_lines, sung_notes : (n, 2) float64
        Start and end of what the voice sings, s, in order, never overlapping; n = 0 without a
        voice. What falls into a dead bar is not heard and is left out.
    title, style, key : for display
    bpm : mean tempo, beats per minute
    seed : the seed it was composed from
    """

    audio: Audio
    beat_times: np.ndarray
    beats_per_bar: int
    sections: tuple[Section, ...]
    flaws: tuple[Flaw, ...]
    sung_lines: np.ndarray
    sung_notes: np.ndarray
    title: str
    style: str
    key: str
    bpm: float
    seed: int

    def truth(self) -> dict:
        """Return everything but the audio and what is sung, ready for JSON."""
        return {
            "title": self.title,
            "style": self.style,
            "key": self.key,
            "bpm": self.bpm,
            "seed": self.seed,
            "duration": self.audio.duration,
            "beats_per_bar": self.beats_per_bar,
            "beat_times": self.beat_times.tolist(),
            "downbeats": list(range(0, len(self.beat_times), self.beats_per_bar)),
            "sections": [asdict(section) for section in self.sections],
            "flaws": [asdict(flaw) for flaw in self.flaws],
        }

    def sung(self) -> dict:
        """Return what the voice sings as in a file of sung lines, ready for JSON."""
        return {"lines": self.sung_lines.tolist(), "notes": self.sung_notes.tolist()}


def compose_song(
    seed: int,
    style: str | None = None,
    seconds: float = 120.0,
    tempo_curve: TempoCurve | None = None,
    flaws: bool = True,
    tonic: int | None = None,
    sung: bool | None = None,
    beats_per_bar: int | None = None,
) -> ComposedSong:
    """Compose one song.

    Parameters
    ----------
    seed : int ≥ 0
        The same arguments give identical samples.
    style : str, optional
        One of `STYLES`; drawn from the seed when left out.
    seconds : float
        Wanted duration, 10 to 600 s; met within half a bar.
    tempo_curve : function beat → bpm, or list of (beat, bpm), optional
        Beat i lasts ``60 / bpm(i)`` s. Points are joined by straight lines and extended
        flat. When left out, a constant tempo that suits the style.
    flaws : bool
        Plant about one flaw every 30 s. The song without flaws is otherwise the same, except for
        a slight change of the overall gain.
    tonic : int, optional
        Pitch class of the key, 0 (C) to 11 (B); drawn from the seed when left out.
    sung : bool, optional
        Whether a voice sings; drawn from the seed when left out, true of two songs in three. The
        song without the voice is otherwise the same, except for the overall gain.
    beats_per_bar : int, optional
        Beats of every bar, 2 to 12. In other bars than the style's, 3 or 4, its patterns begin
        anew with the bar, or are cut: seven beats of rock are four and three. Bars of changing
        length are not composed.

    Raises
    ------
    InputError
        For an unknown style, a duration, tempo, tonic or number of beats out of range.
    """
    _check_whole("seed", seed, 0)
    if not isinstance(seconds, Real) or not MIN_SECONDS <= seconds <= MAX_SECONDS:
        raise InputError(f"seconds is {seconds!r}; songs last {MIN_SECONDS:g} to {MAX_SECONDS:g} s")
    if style is not None and style not in STYLES:
        raise InputError(f"style is {style!r}; choose one of {', '.join(STYLES)}")
    if tonic is not None and tonic not in range(12):
        raise InputError(f"tonic is {tonic!r}; give a pitch class from 0 (C) to 11 (B)")
    if beats_per_bar not in (None, *range(2, LONGEST_BAR + 1)):
        raise InputError(f"beats_per_bar is {beats_per_bar!r}; give 2 to {LONGEST_BAR}")
    rng = np.random.default_rng(seed)
    # Separate random streams, so that the same song can be made with and without flaws and voice.
    writing, planning, spoiling, playing, singing = rng.spawn(5)
    drawn = str(rng.choice(list(STYLES)))
    name = drawn if style is None else style
    drawn_tonic = int(rng.integers(12))
    recipe = in_bars_of(STYLES[name], int(beats_per_bar or STYLES[name].beats_per_bar))
    bpm = float(rng.integers(recipe.bpm[0], recipe.bpm[1] + 1))
    lead_in = float(rng.uniform(0.05, 0.2))
    curve = [(0.0, bpm)] if tempo_curve is None else tempo_curve
    edges = beat_edges(curve, seconds - lead_in - _TAIL, recipe.beats_per_bar) + lead_in
    n_beats = len(edges) - 1
    score = write_score(
        recipe,
        n_beats // recipe.beats_per_bar,
        drawn_tonic if tonic is None else int(tonic),
        writing,
    )
    planted = plan_flaws(score.sections, recipe.beats_per_bar, seconds, planning) if flaws else ()
    notes = spoil_notes(score.notes, planted, spoiling)
    onsets, ends = note_times(notes, edges, recipe, playing)
    n_samples = round((edges[-1] + _TAIL) * SAMPLE_RATE)
    mix = play(notes, onsets, ends, score.programs, n_samples)
    drawn_sung = bool(singing.random() < _SUNG)
    voice = SILENT
    if drawn_sung if sung is None else sung:
        lines = write_voice(score, recipe.beats_per_bar, singing)
        voice = time_voice(lines, planted, edges, recipe, singing)
    if voice.notes:
        mix += sing(voice, n_samples)
    audio = master(mix, _envelope(score, planted, edges, n_samples))
    return ComposedSong(
        audio=audio,
        beat_times=edges[:-1],
        beats_per_bar=recipe.beats_per_bar,
        sections=tuple(score.sections),
        flaws=planted,
        sung_lines=voice.lines,
        sung_notes=voice.spans,
        title=_title(rng),
        style=name,
        key=score.key,
        bpm=round(60 * n_beats / float(edges[-1] - edges[0]), 6),
        seed=int(seed),
    )


def compose_songs(
    folder: str | Path, n_songs: int = 12, seed: int = 0, seconds: float = 120.0
) -> list[Path]:
    """Compose songs into a folder: ``song_001.flac``, ``song_001.truth.json`` and so on.

    A song with a voice also gets its file of sung lines, ``song_001.sung.json``.

    Styles and keys take turns in orders drawn from the seed, so that twelve songs have twelve
    styles and twelve keys. Song k does not depend on `n_songs`. Songs that this function
    wrote earlier are replaced, each file atomically; other files are never touched.

    Parameters
    ----------
    folder : made when missing; relative to the workspace
    n_songs : int ≥ 1
    seed : int ≥ 0
    seconds : float
        Duration of each song, 10 to 600 s.

    Returns
    -------
    list of Path
        The audio files.

    Raises
    ------
    InputError
        For a number out of range, or when a file of that name is not a composed song.
    """
    _check_whole("n_songs", n_songs, 1)
    _check_whole("seed", seed, 0)
    folder = resolve(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file; name a folder to compose songs into")
    paths = [folder / f"song_{k + 1:03d}.flac" for k in range(n_songs)]
    for path in paths:
        if path.exists() and not _truth_path(path).exists():
            raise InputError(
                f"{path} exists and is not a composed song (no {_truth_path(path).name} beside "
                "it); name another folder"
            )
    rng = np.random.default_rng(seed)
    styles, tonics = rng.permutation(list(STYLES)), rng.permutation(12)

    def compose(index: int) -> Path:
        own_seed = int(np.random.SeedSequence((int(seed), index)).generate_state(1)[0])
        style, tonic = str(styles[index % len(styles)]), int(tonics[index % 12])
        song = compose_song(own_seed, style, seconds, tonic=tonic)
        # The truth first: an interruption never leaves a song without the file that marks it.
        with atomic_path(_truth_path(paths[index])) as part:
            part.write_text(json.dumps(song.truth(), indent=1) + "\n")
        sung = paths[index].with_suffix(".sung.json")
        sung.unlink(missing_ok=True)  # of a song that is replaced
        if len(song.sung_lines):
            with atomic_path(sung) as part:
                part.write_text(json.dumps(song.sung()) + "\n")
        save_audio(paths[index], song.audio)
        return paths[index]

    with ThreadPoolExecutor(min(2, os.cpu_count() or 1)) as pool:
        work = pool.map(compose, range(n_songs))
        return list(tqdm(work, "composing", n_songs, unit="song", leave=False, delay=2))


def _check_whole(name: str, value: object, lowest: int) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < lowest:
        raise InputError(f"{name} is {value!r}; give a whole number from {lowest} up")


def _truth_path(path: Path) -> Path:
    return path.with_suffix(".truth.json")


def _envelope(
    score: Score, flaws: tuple[Flaw, ...], edges: np.ndarray, n_samples: int
) -> np.ndarray:
    """Return the gain over time, (n_samples,): sections, flaws and the closing fade."""
    decibels = np.zeros(len(edges) - 1)
    for section in score.sections:
        decibels[section.start_beat : section.end_beat] = _SECTION_GAIN[section.name]
    for flaw in flaws:
        decibels[flaw.start_beat : flaw.end_beat] += FLAW_GAIN.get(flaw.kind, 0.0)
    bounds = np.round(edges * SAMPLE_RATE).astype(int)
    envelope = np.repeat(10 ** (decibels / 20), np.diff(bounds)).astype(np.float32)
    envelope = np.pad(envelope, (bounds[0], n_samples - bounds[-1]), mode="edge")
    ramp = round(_RAMP * SAMPLE_RATE)
    for beat in np.flatnonzero(np.diff(decibels)) + 1:
        low = bounds[beat] - ramp
        envelope[low : bounds[beat]] = np.linspace(envelope[low], envelope[bounds[beat]], ramp)
    envelope[bounds[-1] :] *= np.linspace(1, 0, n_samples - bounds[-1], dtype=np.float32)
    return envelope


def _title(rng: np.random.Generator) -> str:
    first = "Paper Northern Golden Quiet Electric Velvet Broken Summer Hollow Copper Distant Amber"
    second = "Rivers Lanterns Streets Mornings Satellites Gardens Letters Harbour Sparrows Engines"
    return f"{rng.choice(first.split())} {rng.choice(second.split())}"
