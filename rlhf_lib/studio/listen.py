"""A player for one sound, which is sent to the browser but not kept in the notebook file."""

import html
from pathlib import Path
from typing import Literal

import ipywidgets as widgets
import numpy as np

from rlhf_lib.analysis import audio as audio_file
from rlhf_lib.analysis.audio import Audio, load_audio
from rlhf_lib.editing.edit import Edit
from rlhf_lib.editing.render import render
from rlhf_lib.errors import InputError
from rlhf_lib.paths import resolve


def listen(
    sound: Audio | Edit | str | Path, title: str = "", span: tuple[float, float] | None = None
) -> "Player":
    """Return a player; display it by making it the last line of a cell.

    Parameters
    ----------
    sound : Audio, Edit or path of an audio file
        An edit is rendered from its song's file.
    title : str
        Shown before the player.
    span : (start, stop) in s, optional
        Play only this part, as far as the sound goes.

    Raises
    ------
    InputError
        When the sound cannot be read, goes beyond full scale, or nothing of it lies within the
        span.
    """
    if isinstance(sound, Edit):
        sound = render(sound, load_audio(sound.song.path))
    elif not isinstance(sound, Audio):
        sound = load_audio(resolve(sound))
    if span is not None:
        start, stop = (round(max(0.0, second) * sound.sample_rate) for second in span)
        samples = sound.samples[start:stop]
        if len(samples) == 0:
            raise InputError(
                f"span {span} s holds none of the sound's {sound.duration:.1f} s; change it"
            )
        sound = Audio(samples, sound.sample_rate)
    return Player(sound, title)


class Player(widgets.HBox):
    """A title and the browser's own player; it starts on a click and plays once.

    A notebook file keeps only the line that `repr` returns.

    Parameters
    ----------
    audio : Audio
        Sent as FLAC, 16 bits.
    title : str
    """

    def __init__(self, audio: Audio, title: str = ""):
        self.title, self.duration = title, audio.duration
        label = widgets.HTML(html.escape(title), layout=widgets.Layout(flex="0 0 16em"))
        self.sound = widgets.Audio(
            value=encoded(audio),
            format="flac",
            autoplay=False,
            loop=False,
            layout=widgets.Layout(flex="1 1 auto", height="40px"),
        )
        super().__init__(
            [label, self.sound] if title else [self.sound],
            layout=widgets.Layout(max_width="880px", align_items="center"),
        )

    def __repr__(self) -> str:
        return f"▶ {self.title or 'sound'} ({self.duration:.1f} s; run the cell to listen)"


def encoded(audio: Audio, form: Literal["flac", "ogg"] = "flac") -> bytes:
    """Return a sound encoded for the browser: FLAC of 16 bits, or Vorbis in OGG.

    Raises
    ------
    InputError
        When a sample lies beyond full scale.
    """
    peak = float(np.abs(audio.samples).max())
    if not peak <= 1:
        raise InputError(
            f"the sound's peak {peak:.4g} is beyond full scale (1); scale the samples down first"
        )
    return audio_file.encoded(audio, f".{form}")
