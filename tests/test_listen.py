"""The player: the sound sent to the browser, and the text kept in the notebook file."""

import io

import numpy as np
import pytest
import soundfile

from rlhf_lib.analysis.audio import Audio, save_audio
from rlhf_lib.analysis.song import load_song
from rlhf_lib.composer.compose import compose_song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.studio.listen import listen


@pytest.fixture
def noise() -> Audio:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (16000, 2))
    return Audio((np.rint(samples * 32768) / 32768).astype(np.float32), 8000)


def heard(player) -> tuple[np.ndarray, int]:
    return soundfile.read(io.BytesIO(player.sound.value), dtype="float32", always_2d=True)


def test_sixteen_bit_sound_is_sent_exactly_and_does_not_autoplay(noise):
    player = listen(noise, "noise")
    samples, rate = heard(player)
    assert rate == 8000
    np.testing.assert_array_equal(samples, noise.samples)
    assert bytes(player.sound.value[:4]) == b"fLaC"
    assert (player.sound.autoplay, player.sound.loop, player.sound.format) == (False, False, "flac")


def test_a_file_and_a_span_of_it(noise, workspace):
    save_audio(workspace / "noise.wav", noise)
    samples, _ = heard(listen("noise.wav", span=(-1.0, 0.5)))
    np.testing.assert_array_equal(samples, noise.samples[:4000])
    samples, _ = heard(listen("noise.wav", span=(1.5, 9.0)))
    np.testing.assert_array_equal(samples, noise.samples[12000:])
    with pytest.raises(InputError, match=r"none of the sound's 2\.0 s"):
        listen(noise, span=(2.0, 3.0))


def test_an_edit_is_rendered_from_its_song(workspace):
    save_audio(workspace / "song.flac", compose_song(3, seconds=20.0).audio)
    song = load_song("song.flac")
    actions = np.zeros(song.n_beats, dtype=int)
    actions[4:12] = 1
    edit = Edit(song, actions, 0.8)
    samples, rate = heard(listen(edit, "edit"))
    assert len(samples) / rate == pytest.approx(edit.duration, abs=1e-6)


def test_the_notebook_file_keeps_one_line(noise):
    player = listen(noise, "a <b> & c")
    bundle = player._repr_mimebundle_()
    assert bundle["text/plain"] == "▶ a <b> & c (2.0 s; run the cell to listen)"
    assert len(str(bundle)) < 500
    assert player.children[0].value == "a &lt;b&gt; &amp; c"


def test_too_loud_a_sound_is_refused():
    with pytest.raises(InputError, match=r"peak 1\.5"):
        listen(Audio(np.full((4000, 1), 1.5, dtype=np.float32), 8000))
