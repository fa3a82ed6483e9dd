"""The sounds of a study, encoded once and served under names that tell nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from rlhf_lib.analysis.audio import Audio, encoded, load_audio
from rlhf_lib.editing.edit import output_order, seam_places
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.manifest import CHECK_ID, Candidate, Manifest, SongEntry
from rlhf_lib.feedback.validation import inside
from rlhf_lib.paths import atomic_path, cache_folder
from rlhf_lib.studio.timeline import timeline
from rlhf_lib.web.keys import Keys

#: Seconds of an example in the instructions.
_EXAMPLE = 10.0


class StudySounds:
    """The sounds of a manifest, as FLAC or Vorbis.

    They are encoded before the study begins and kept in the cache under a hash of their place,
    size and time, so that a restart takes no time.

    Parameters
    ----------
    manifest : Manifest
    folder : Path
        The folder that the manifest's paths start from.
    keys : Keys
    form : "flac" or "ogg"

    Raises
    ------
    InputError
        When a sound is missing or cannot be read.
    """

    def __init__(self, manifest: Manifest, folder: Path, keys: Keys, form: Literal["flac", "ogg"]):
        self._manifest, self._keys, self.form = manifest, keys, form
        self._folder = folder.resolve()
        self._files: dict[Path, Path] = {}
        entries = [one for song in manifest.songs for one in (song, *song.candidates)]
        for entry in tqdm(entries, desc="sounds", unit="sound"):
            source = inside(folder, entry.path)
            self._files[source] = self._prepared(source)
        self._examples: dict[str, bytes | None] = {}  # made when they are first asked for

    def name(self, rater_id: str, source: Path) -> str:
        """Return the name of a sound for one rater; raters cannot compare names."""
        return self._keys.name("sound", rater_id, source.relative_to(self._folder))

    def names(self, rater_id: str) -> dict[str, Path]:
        """Return the files of all sounds by their names for one rater."""
        return {self.name(rater_id, source): made for source, made in self._files.items()}

    def example(self, name: str) -> bytes | None:
        """Return the example "original", "seam" or "chopped"; None when there is none."""
        if name not in ("original", "seam", "chopped"):
            return None
        if name not in self._examples:
            self._examples[name] = self._example(name)
        return self._examples[name]

    def _prepared(self, source: Path) -> Path:
        try:
            state = source.stat()
        except OSError as error:
            raise InputError(
                f"{source}: {error.strerror}; put the file back, or generate the candidates again"
            ) from error
        key = f"{source} {state.st_size} {state.st_mtime_ns}".encode()
        path = cache_folder() / "study_sounds" / f"{hashlib.sha256(key).hexdigest()}.{self.form}"
        if not path.exists():
            with atomic_path(path) as part:
                part.write_bytes(encoded(load_audio(source), f".{self.form}"))
        return path

    def _example(self, name: str) -> bytes | None:
        for song, candidate, middle in self._places(name):
            audio = load_audio(inside(self._folder, (candidate or song).path))
            start = round(max(0.0, middle - _EXAMPLE / 2) * audio.sample_rate)
            stop = start + round(_EXAMPLE * audio.sample_rate)
            return encoded(Audio(audio.samples[start:stop], audio.sample_rate), ".flac")
        return None

    def _places(self, name: str) -> Iterator[tuple[SongEntry, Candidate | None, float]]:
        """Yield songs, edits and moments (s) that show what the name says."""
        for song in self._manifest.songs:
            if name == "original":
                yield song, None, min(30.0, song.duration / 2)
                continue
            for one in song.candidates:
                seams = seam_places(output_order(np.array(one.actions)))
                if len(seams) and (one.id == CHECK_ID) == (name == "chopped"):
                    starts = timeline(song, self._folder, one)["starts"]
                    yield song, one, starts[int(seams[len(seams) // 2])]
