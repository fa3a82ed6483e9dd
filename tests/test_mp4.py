"""Sound in MP4 (M4A, videos) is read whole and at its place, or refused; FFmpeg wrote it."""

import random

import numpy as np
import pytest
from mutagen.mp4 import MP4
from mutations import damaged, read_or_refuse
from sound_files import RATE, loaded, music, write_mp4

from rlhf_lib.analysis.audio import find_audio, load_audio
from rlhf_lib.analysis.decode import source_bits, source_rate
from rlhf_lib.errors import InputError


def tone_with_click(rate, channels=1, seconds=2.0):
    """Return a tone with a click at its middle, (n, channels), and the click's sample."""
    n = int(rate * seconds)
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)
    tone[n // 2 : n // 2 + 8] += 0.7
    return np.repeat(tone[:, None], channels, axis=1), n // 2


@pytest.mark.parametrize("rate", [16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("video", [False, True])
def test_aac_has_the_length_and_the_place_of_what_was_encoded(tmp_path, rate, channels, video):
    wave, click = tone_with_click(rate, channels)
    path = write_mp4(tmp_path / "a.m4a", wave, rate, video=video)
    audio = loaded(path)
    assert (audio.n_samples, audio.n_channels) == (len(wave), channels)
    assert (audio.sample_rate, source_rate(path), source_bits(path)) == (rate, rate, 16)
    found = np.abs(np.diff(audio.samples[:, 0])).argmax() + 1
    assert abs(found - click) <= 0.001 * rate
    level, wanted = (np.sqrt((one**2).mean()) for one in (audio.samples, wave))
    assert level == pytest.approx(wanted, rel=0.05)


def test_the_delay_that_itunes_states_is_left_out(tmp_path):
    wave, click = tone_with_click(RATE)
    path = write_mp4(tmp_path / "a.m4a", wave, use_editlist="0")
    shift = np.abs(np.diff(load_audio(path).samples[:, 0])).argmax() + 1 - click
    assert shift == 1024  # the encoder's: nothing in this file says so
    tags = MP4(path)
    numbers = f" 00000000 00000400 00000200 {len(wave):016X}" + 8 * " 00000000"
    tags["----:com.apple.iTunes:iTunSMPB"] = numbers.encode()
    tags.save()
    audio = load_audio(path)
    assert np.abs(np.diff(audio.samples[:, 0])).argmax() + 1 - click == 0
    assert 0 <= audio.n_samples - len(wave) <= 1024


@pytest.mark.parametrize(("codec", "bits"), [("alac", 16), ("alac24", 24)])
def test_apple_lossless_is_read_bit_for_bit(tmp_path, codec, bits):
    wave = music(2.0, 44100, 2).clip(-1, 1)
    whole = np.rint(wave * 2 ** (bits - 1)) / 2 ** (bits - 1)
    path = write_mp4(tmp_path / "a.m4a", whole, codec=codec)
    np.testing.assert_array_equal(load_audio(path).samples, whole.astype(np.float32))
    assert source_bits(path) == bits


@pytest.mark.parametrize("codec", ["aac", "alac"])
@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_a_cut_mp4_is_no_shorter_song(tmp_path, codec, movflags):
    options = {"movflags": movflags} if movflags else {}
    path = write_mp4(tmp_path / "a.m4a", music(8.0, 44100, 2), codec=codec, **options)
    whole = path.read_bytes()
    for share in (0.2, 0.5, 0.75, 0.95):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"a\.m4a (is cut short|holds no sound)"):
            load_audio(path)


@pytest.mark.parametrize("codec", ["aac", "alac"])
@pytest.mark.parametrize("movflags", ["", "faststart"])
def test_a_damaged_mp4_is_refused_or_whole(tmp_path, codec, movflags):
    options = {"movflags": movflags} if movflags else {}
    path = write_mp4(tmp_path / "a.m4a", music(1.0, 16000, 2), 16000, codec=codec, **options)
    data = path.read_bytes()

    def check(audio):
        assert np.isfinite(audio.samples).all() and np.abs(audio.samples).max() <= 1
        assert abs(audio.n_samples - 16000) <= 1024  # a damaged edit list shows the delay

    read = 0
    for seed in range(100):
        path.write_bytes(damaged(data, random.Random(f"{codec} {movflags} {seed}")))
        read += read_or_refuse(path, load_audio, check)
    assert read < 50


def test_what_holds_no_song_is_refused(tmp_path):
    path = write_mp4(tmp_path / "six.mp4", music(1.0, 44100, 6))
    with pytest.raises(InputError, match="6 channels; mix it down"):
        load_audio(path)
    (tmp_path / "text.m4a").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"cannot decode .*convert it to WAV or FLAC"):
        load_audio(tmp_path / "text.m4a")


def test_files_of_other_formats_in_a_folder_are_named(tmp_path, caplog):
    for name in ("a.m4a", "v.MOV", "b.wma", "sub/c.MKV", "notes.txt", ".hidden.wma"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in find_audio(tmp_path)] == ["a.m4a", "v.MOV"]
    first, second = sorted(record.getMessage() for record in caplog.records)
    assert str(tmp_path / "sub/c.MKV") in second
    why = "is left out: .wma is not supported; convert it to WAV or FLAC"
    assert first == f"{tmp_path / 'b.wma'} {why}"
