"""Single notes from a SoundFont 2 file: the samples that a player mixes into music.

Follows the SoundFont Technical Specification 2.04 (Creative Technology, 2006): presets and
instruments of key zones, looped samples, the volume envelope, attenuation and pan. Filters,
low-frequency oscillators and modulators are left out; demo songs do not need them.

No library is used: symusic 0.5.8 loops samples at the wrong places, so that held notes of most
instruments go out of tune, and ignores velocity; other players need system libraries.
"""

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

# Records of the file's "pdta" list (section 7 of the specification).
_RECORDS = {
    b"phdr": [("name", "S20"), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("_", "V12")],
    b"pbag": [("gen", "<u2"), ("mod", "<u2")],
    b"pgen": [("oper", "<u2"), ("amount", "<i2")],
    b"inst": [("name", "S20"), ("bag", "<u2")],
    b"ibag": [("gen", "<u2"), ("mod", "<u2")],
    b"igen": [("oper", "<u2"), ("amount", "<i2")],
    b"shdr": [
        ("name", "S20"),
        ("start", "<u4"),
        ("end", "<u4"),
        ("loop_start", "<u4"),
        ("loop_end", "<u4"),
        ("rate", "<u4"),
        ("root", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ],
}
# Generators (section 8.1.2) and their default values.
_PAN, _DELAY, _ATTACK, _HOLD, _DECAY, _SUSTAIN = 17, 33, 34, 35, 36, 37
_INSTRUMENT, _KEYS, _VELOCITIES, _ATTENUATION = 41, 43, 44, 48
_COARSE, _FINE, _SAMPLE, _MODES, _SCALE, _ROOT = 51, 52, 53, 54, 56, 58
_DEFAULTS = {_DELAY: -12000, _ATTACK: -12000, _HOLD: -12000, _DECAY: -12000}
_DEFAULTS |= {_SCALE: 100, _ROOT: -1}
#: Generators that a preset may not add to (section 8.5).
_INSTRUMENT_ONLY = {0, 1, 2, 3, 4, 12, 45, 46, 47, 50, _SAMPLE, _MODES, 57, _ROOT}
#: (fine, coarse) generators that move a sample's start, end, loop start and loop end.
_OFFSETS = {"start": (0, 4), "end": (1, 12), "loop_start": (2, 45), "loop_end": (3, 50)}


def general_midi() -> "SoundFont":
    """Return the General MIDI soundfont that the pretty_midi package ships, read once."""
    spec = importlib.util.find_spec("pretty_midi")
    return _read(Path(spec.origin).parent / "TimGM6mb.sf2")


@lru_cache(maxsize=1)
def _read(path: Path) -> "SoundFont":
    data = path.read_bytes()
    chunks = dict(_chunks(data, 12, len(data)))
    tables = {
        name.decode(): np.frombuffer(chunks[name], dtype=layout)
        for name, layout in _RECORDS.items()
    }
    wave = np.frombuffer(chunks[b"smpl"], "<i2").astype(np.float32) / 32768
    return SoundFont(wave, tables)


def _chunks(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the chunks of a RIFF file (name, content), those inside lists included."""
    while start + 8 <= stop:
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        if data[start : start + 4] == b"LIST":
            yield from _chunks(data, start + 12, start + 8 + size)
        else:
            yield data[start : start + 4], data[start + 8 : start + 8 + size]
        start += 8 + size + size % 2


@dataclass(frozen=True, eq=False)
class SoundFont:
    """A soundfont in memory.

    Parameters
    ----------
    wave : (n,) float32
        All samples, one after the other.
    tables : dict
        Name of a "pdta" chunk → its records.
    """

    wave: np.ndarray
    tables: dict[str, np.ndarray]

    def tone(
        self, program: int, pitch: int, seconds: float, sample_rate: int, drum: bool = False
    ) -> np.ndarray:
        """Return the sound of one key, held throughout.

        Parameters
        ----------
        program : General MIDI program, 0-127
        pitch : MIDI key, 0-127
        seconds : float
            How long to hold it.
        sample_rate : int
            Hz.
        drum : bool
            Take the percussion bank (128) instead of the melodic one.

        Returns
        -------
        (2, n) float32
            Left and right; shorter than `seconds` where the sample ends before.

        Raises
        ------
        KeyError
            When the soundfont has no sound for this key.
        """
        size = round(seconds * sample_rate)
        sound = np.zeros((2, size), np.float32)
        length = 0
        for zone in self._zones(program, 128 if drum else 0, pitch):
            mono = self._play(zone, pitch, size, sample_rate)
            angle = (np.clip(zone.get(_PAN, 0) / 500, -1, 1) + 1) * np.pi / 4
            sound[0, : len(mono)] += np.float32(np.cos(angle)) * mono
            sound[1, : len(mono)] += np.float32(np.sin(angle)) * mono
            length = max(length, len(mono))
        if length == 0:
            raise KeyError(f"the soundfont has no sound at key {pitch} of program {program}")
        return sound[:, :length]

    def _zones(self, program: int, bank: int, pitch: int) -> Iterator[dict[int, int]]:
        """Yield the sample zones of a key: generator → value, defaults filled in."""
        presets = self.tables["phdr"]
        found = np.flatnonzero((presets["program"] == program) & (presets["bank"] == bank))
        if len(found) == 0:
            raise KeyError(f"the soundfont has no program {program} in bank {bank}")
        for preset in self._bags("p", presets, int(found[0]), _INSTRUMENT, pitch):
            added = {k: v for k, v in preset.items() if k not in _INSTRUMENT_ONLY}
            for zone in self._bags("i", self.tables["inst"], preset[_INSTRUMENT], _SAMPLE, pitch):
                whole = _DEFAULTS | zone
                for oper, amount in added.items():
                    whole[oper] = whole.get(oper, 0) + amount
                yield whole

    def _bags(
        self, kind: str, owners: np.ndarray, index: int, last: int, pitch: int
    ) -> Iterator[dict[int, int]]:
        """Yield the zones of a preset or instrument for `pitch` at velocity 100.

        The first zone holds defaults for the others if it does not end in generator `last`.
        """
        bags, gens = self.tables[kind + "bag"]["gen"], self.tables[kind + "gen"]
        common: dict[int, int] = {}
        for bag in range(int(owners["bag"][index]), int(owners["bag"][index + 1])):
            rows = gens[int(bags[bag]) : int(bags[bag + 1])]
            zone = dict(zip(rows["oper"].tolist(), rows["amount"].tolist(), strict=True))
            if last not in zone:
                common = zone
                continue
            zone = common | zone
            ranges = [(zone.pop(_KEYS, 127 << 8), pitch), (zone.pop(_VELOCITIES, 127 << 8), 100)]
            if all((limits & 0xFF) <= value <= (limits >> 8 & 0xFF) for limits, value in ranges):
                yield zone

    def _play(self, zone: dict[int, int], pitch: int, size: int, sample_rate: int) -> np.ndarray:
        """Return the sound of one zone, (≤ size,) float32."""
        header = self.tables["shdr"][zone[_SAMPLE]]
        start, end, loop_start, loop_end = (
            int(header[name]) + zone.get(fine, 0) + 32768 * zone.get(coarse, 0)
            for name, (fine, coarse) in _OFFSETS.items()
        )
        root = zone[_ROOT] if zone[_ROOT] >= 0 else int(header["root"])
        cents = (pitch - root) * zone[_SCALE] + 100 * zone.get(_COARSE, 0) + zone.get(_FINE, 0)
        cents += int(header["correction"])
        step = header["rate"] / sample_rate * 2 ** (cents / 1200)
        place = np.arange(size) * step
        looped = zone.get(_MODES, 0) & 1 and loop_end > loop_start
        if looped:
            first = int(np.searchsorted(place, loop_end - start))
            loop = loop_end - loop_start
            place[first:] = (place[first:] - (loop_start - start)) % loop + (loop_start - start)
        else:
            place = place[: np.searchsorted(place, end - start - 1)]
        whole = place.astype(np.int64)
        part = (place - whole).astype(np.float32)
        before = self.wave[start + whole]
        # One past its end, the loop repeats its start, as the specification requires.
        sound = before + part * (self.wave[start + whole + 1] - before)
        return sound * _envelope(zone, len(sound), sample_rate)


def _envelope(zone: dict[int, int], size: int, sample_rate: int) -> np.ndarray:
    """Return the gain of a held key over time, (size,) float32 (section 8.1.2, 33-37 and 48)."""
    delay, attack, hold, decay = (
        np.float32(2 ** (zone[generator] / 1200)) for generator in (_DELAY, _ATTACK, _HOLD, _DECAY)
    )
    sustain = min(max(zone.get(_SUSTAIN, 0) / 10, 0), 100)  # dB below the peak
    time = np.arange(size, dtype=np.float32) / np.float32(sample_rate) - delay
    rise = np.clip(time / attack, 0, 1)
    fall = np.clip((time - attack - hold) * (100 / decay), 0, sustain)  # 100 dB in `decay` s
    fall += np.float32(zone.get(_ATTENUATION, 0) / 10)
    return rise * np.exp(fall * np.float32(-np.log(10) / 20))
