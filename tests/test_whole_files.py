"""Files load whole, or are refused with the true reason: headerless, joined, wrongly declared."""

import os

import numpy as np
import pytest
import soundfile
from sound_files import (
    MP3_DELAY,
    RATE,
    encoded,
    flac_of_unknown_length,
    id3,
    loaded,
    mp3,
    music,
    wav_declaring,
    without_header,
    written,
)

from rlhf_lib.analysis.audio import find_audio, load_audio
from rlhf_lib.analysis.song import load_song
from rlhf_lib.errors import InputError

SONGS = os.environ.get("RLHF_RECORDED_SONGS")  # a folder


def quiet_then_loud(seconds=6.0):
    """Return sound whose first half needs few bits in a file of variable bit rate."""
    wave = music(seconds, channels=2)
    wave[: len(wave) // 2] *= 1e-4
    return wave


# MP3


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_an_mp3_is_decoded_as_by_libsndfile(tmp_path, rate, channels, mode):
    wave = music(3.0, rate, channels)
    path = written(tmp_path / "a.mp3", mp3(wave, rate, mode))
    audio = loaded(path)
    reference, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert audio.samples.shape == reference.shape == wave.shape
    np.testing.assert_allclose(audio.samples, reference, atol=2e-5)


@pytest.mark.parametrize("loud_first", [False, True])
def test_an_mp3_of_variable_bit_rate_without_header_is_whole(tmp_path, loud_first):
    wave = quiet_then_loud()[:: -1 if loud_first else 1]
    tagged = mp3(wave, mode="VARIABLE")
    bare, n_frames = without_header(tagged)
    path = written(tmp_path / "a.mp3", bare)
    with soundfile.SoundFile(path) as handle:  # its estimate is far off
        assert abs(handle.frames - n_frames * 1152) > RATE
    audio = loaded(path)
    assert audio.n_samples == n_frames * 1152
    whole = load_audio(written(tmp_path / "b.mp3", tagged)).samples
    again = audio.samples[MP3_DELAY:][: len(whole)]
    np.testing.assert_allclose(again[2000:], whole[2000:], atol=2e-5)


def test_a_large_tag_is_not_counted_as_sound(tmp_path):
    bare, n_frames = without_header(mp3(music(4.0)))
    path = written(tmp_path / "a.mp3", id3(300_000) + bare)
    assert loaded(path).n_samples == n_frames * 1152


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_what_follows_the_last_frame_is_no_sound(tmp_path, mode):
    bare, n_frames = without_header(mp3(music(4.0), mode=mode))
    ape = b"APETAGEX" + (2000).to_bytes(4, "little") + (5000).to_bytes(4, "little")
    ape += b"\1\0\0\0" + b"\0\0\0\xa0" + bytes(8) + b"\xff\xfb\x90\xc4" * 1250
    for end in (b"TAG" + bytes(125), ape, ape + b"TAG" + bytes(125), b"garbage" * 3000, bytes(900)):
        path = written(tmp_path / "a.mp3", bare + end)
        assert loaded(path).n_samples == n_frames * 1152


@pytest.mark.parametrize("loud_first", [False, True])
def test_a_cut_mp3_is_found_with_and_without_header(tmp_path, loud_first):
    wave = quiet_then_loud()[:: -1 if loud_first else 1]
    tagged = mp3(wave, mode="VARIABLE")
    bare, _ = without_header(tagged)
    for data in (tagged, bare, id3(9000) + bare, mp3(wave), tagged + tagged, bare + tagged):
        for share in (0.6, 0.75, 0.9):
            path = written(tmp_path / "a.mp3", data[: int(len(data) * share)])
            with pytest.raises(InputError, match=r"a\.mp3 is cut short"):
                load_audio(path)


def test_an_mp3_that_is_cut_in_its_first_frames_is_refused(tmp_path):
    data = mp3(music(1.0))
    for length in range(1, 1500):
        with pytest.raises(InputError, match=r"a\.mp3"):
            load_audio(written(tmp_path / "a.mp3", data[:length]))


def test_a_table_that_was_never_filled_in_is_no_length(tmp_path):
    data = bytearray(mp3(music(3.0)))
    at = data.index(b"Info") + 8
    n_frames = int.from_bytes(data[at : at + 4], "big")
    data[at : at + 4] = bytes(4)
    assert loaded(written(tmp_path / "a.mp3", data)).n_samples == n_frames * 1152 - MP3_DELAY
    with pytest.raises(InputError, match="cut short"):
        load_audio(written(tmp_path / "a.mp3", data[: len(data) * 3 // 4]))


def test_a_hole_in_an_mp3_is_found_with_and_without_header(tmp_path):
    tagged = mp3(music(4.0))
    for data in (tagged, without_header(tagged)[0]):
        middle = slice(len(data) // 3, len(data) * 2 // 3)
        holed = data[: middle.start] + bytes(middle.stop - middle.start) + data[middle.stop :]
        for hole in (holed, data[: middle.start] + bytes(len(data) - middle.start)):
            with pytest.raises(InputError, match=r"a\.mp3 is (cut short|damaged)"):
                load_audio(written(tmp_path / "a.mp3", hole))


def test_joined_mp3_files_are_one_after_the_other(tmp_path):
    first, second = music(3.0, seed=1), music(2.0, seed=2)
    parts = [mp3(first), mp3(second, mode="VARIABLE")]
    alone = [load_audio(written(tmp_path / "p.mp3", part)).samples for part in parts]
    for between in (b"", id3(50_000), b"TAG" + bytes(125)):
        path = written(tmp_path / "a.mp3", parts[0] + between + parts[1])
        np.testing.assert_array_equal(loaded(path).samples, np.concatenate(alone))
    bare = [without_header(part) for part in parts]
    path = written(tmp_path / "b.mp3", bare[0][0] + bare[1][0])
    assert loaded(path).n_samples == (bare[0][1] + bare[1][1]) * 1152


@pytest.mark.parametrize(
    ("rate", "channels", "words"),
    [(44100, 2, "44100 Hz mono to 44100 Hz stereo"), (48000, 1, "44100 Hz mono to 48000 Hz mono")],
)
def test_parts_of_different_form_are_refused(tmp_path, rate, channels, words):
    for form, subtype in (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("FLAC", "PCM_16")):
        data = encoded(music(2.0), RATE, form, subtype)
        data += encoded(music(1.0, rate, channels), rate, form, subtype)
        path = written(tmp_path / f"a.{form.lower()}", data)
        with pytest.raises(InputError, match=rf"a\.\w+ changes from {words} after 2\.0 s"):
            load_audio(path)


# Ogg and FLAC


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_chained_ogg_is_one_link_after_the_other(tmp_path, subtype):
    parts = [
        encoded(music(seconds, 48000, 2, seed), 48000, "OGG", subtype)
        for seed, seconds in enumerate((2.0, 3.0, 1.0))
    ]
    alone = [load_audio(written(tmp_path / "p.ogg", part)).samples for part in parts]
    assert [len(samples) for samples in alone] == [96000, 144000, 48000]
    audio = loaded(written(tmp_path / "a.ogg", b"".join(parts)))
    peak = max(1.0, *(np.abs(samples).max() for samples in alone))
    np.testing.assert_allclose(audio.samples, np.concatenate(alone) / peak, atol=1e-6)


@pytest.mark.parametrize("cut", [0, 1])
def test_a_cut_link_of_a_chained_ogg_is_found(tmp_path, cut):
    parts = [encoded(music(4.0, seed=seed), RATE, "OGG", "VORBIS") for seed in range(2)]
    parts[cut] = parts[cut][: len(parts[cut]) * 3 // 4]
    with pytest.raises(InputError, match=rf"cut short: the last page of part {cut + 1} is missing"):
        load_audio(written(tmp_path / "a.ogg", b"".join(parts)))


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
def test_flac_of_unknown_length_is_whole(tmp_path, subtype, channels):
    wave = music(3.1, 48000, channels)
    known = written(tmp_path / "known.flac", encoded(wave, 48000, "FLAC", subtype))
    data = flac_of_unknown_length(wave, 48000, subtype)
    for end in (b"", b"TAG" + bytes(125)):
        audio = loaded(written(tmp_path / "a.flac", data + end))
        assert audio.n_samples == 148_800
        np.testing.assert_array_equal(audio.samples, load_audio(known).samples)
    for share in (0.5, 0.75, 0.9):
        path = written(tmp_path / "cut.flac", data[: int(len(data) * share)])
        with pytest.raises(InputError, match=r"cut\.flac is cut short or damaged"):
            load_audio(path)


@pytest.mark.parametrize("make", [flac_of_unknown_length, lambda w: encoded(w, RATE, "FLAC", None)])
def test_joined_flac_files_are_one_after_the_other(tmp_path, make):
    first, second = music(2.0, seed=1), music(3.0, seed=2)
    path = written(tmp_path / "a.flac", make(first) + make(second))
    audio = loaded(path)
    expected = np.concatenate([first, second])
    np.testing.assert_allclose(audio.samples, expected, atol=1 / 32768)


# WAV and its kin


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFF000])
def test_a_piped_wav_is_read_to_its_end(tmp_path, size):
    wave = music(2.0, channels=2)
    path = written(tmp_path / "a.wav", wav_declaring(wave, size))
    np.testing.assert_allclose(loaded(path).samples, wave, atol=1 / 32768)


def test_a_wav_that_declares_less_than_it_holds_is_refused(tmp_path):
    path = written(tmp_path / "a.wav", wav_declaring(music(4.0), RATE * 2))
    with pytest.raises(InputError, match=r"declares 88200 bytes of sound, but 264600 bytes more"):
        load_audio(path)


def test_a_wav_over_four_gib_is_refused(tmp_path):
    size = 2**32 + 20 * RATE * 4
    path = written(tmp_path / "a.wav", wav_declaring(music(1.0, channels=2), size % 2**32))
    with path.open("rb+") as handle:
        handle.truncate(44 + size)  # sparse: takes no room on the disk
    with pytest.raises(
        InputError, match=r"declares 3528000 bytes .*, but 4294967296 bytes more.*RF64"
    ):
        load_audio(path)
    with path.open("rb+") as handle:
        handle.seek(40)
        handle.write(b"\xff\xff\xff\xff")
    with pytest.raises(InputError, match=r"a\.wav declares .* bytes more.*RF64"):
        load_audio(path)


@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64", "AIFF", "AU"])
def test_joined_files_with_sizes_in_their_headers_are_refused(tmp_path, form):
    data = encoded(music(2.0), RATE, form, "PCM_16")
    path = written(tmp_path / "a.wav", data)
    assert loaded(path).n_samples == 2 * RATE
    with pytest.raises(InputError, match=r"a\.wav declares 17640\d bytes .*, but \d+ bytes more"):
        load_audio(written(path, data + data))


@pytest.mark.parametrize("n_bytes", [2, 100_001, 1_000_000])
def test_chunks_and_tags_after_the_sound_of_a_wav_are_no_sound(tmp_path, n_bytes):
    data = encoded(music(2.0), RATE, "WAV", "PCM_16")
    for name in (b"LIST", b"id3 ", b"bext", b"ID3\4"):
        chunk = name + n_bytes.to_bytes(4, "little") + b"\xff" * n_bytes
        assert loaded(written(tmp_path / "a.wav", data + chunk)).n_samples == 2 * RATE
        if n_bytes % 2 == 0:
            assert loaded(written(tmp_path / "a.wav", data + chunk * 2)).n_samples == 2 * RATE


@pytest.mark.parametrize("padded", [False, True])
def test_an_odd_number_of_bytes_is_followed_by_chunks(tmp_path, padded):
    data = encoded(music(2.0)[: RATE + 1], RATE, "WAV", "PCM_U8")[: 44 + RATE + 1]
    chunk = b"LIST" + (100_000).to_bytes(4, "little") + bytes(100_000)
    path = written(tmp_path / "a.wav", data + bytes(padded) + chunk)
    assert loaded(path).n_samples == RATE + 1


# Songs


def test_a_song_has_as_many_samples_as_its_sound(workspace):
    clicks = music(12.0, seed=3)
    clicks[np.arange(len(clicks)) % 22050 > 2000] *= 0.01
    bare, n_frames = without_header(mp3(clicks))
    path = written(workspace / "a.mp3", bare + mp3(clicks))
    song = load_song(path)
    assert song.n_samples == load_audio(path).n_samples
    assert song.n_samples == n_frames * 1152 + len(clicks)


@pytest.mark.skipif(not SONGS, reason="needs RLHF_RECORDED_SONGS, a folder of recorded songs")
def test_recorded_songs_are_whole():
    paths = [path for path in find_audio(SONGS) if path.suffix in (".mp3", ".ogg")]
    assert paths
    for path in paths:
        audio = load_audio(path)
        reference, rate = soundfile.read(path, dtype="int16")
        assert (audio.n_samples, audio.sample_rate) == (len(reference), rate), path.name
