"""Tags of a song in its edit: written by mutagen, read back by FFmpeg and libsndfile."""

import base64
import logging
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from mutagen import id3
from mutagen.aiff import AIFF
from mutagen.flac import FLAC, Picture
from mutagen.mp3 import MP3
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE
from sound_files import write_mp4

from rlhf_lib.analysis.audio import Audio, load_audio, save_audio
from rlhf_lib.analysis.tags import copy_tags
from rlhf_lib.errors import InputError

RATE = 44100
SOUND = Audio(0.3 * np.sin(np.arange(2 * RATE) / 30)[:, None], RATE)
COVER = b"\x89PNG" + bytes(range(256)) * 20
SUFFIXES = [".wav", ".flac", ".ogg", ".mp3"]
#: Name in FFmpeg → text, for all tags that the sources below have.
EXPECTED = {
    "title": "Título = 1",
    "artist": "An Artist",
    "album": "An Album",
    "album_artist": "Someone",
    "date": "2004-05-03",
    "genre": "Fado",
    "track": "3",
    "composer": "A Composer",
    "copyright": "2004 A Label",
    "comment": "a comment; 'quoted'",
    "my mood": "calm",
}
OF_THE_OLD_SOUND = {
    "replaygain_track_gain": "-3.2 dB",
    "REPLAYGAIN_ALBUM_PEAK": "0.9",
    "encoder": "Some encoder",
    "Acoustid Fingerprint": "AQAD",
    "ACOUSTID_ID": "4e1f",
    "MusicBrainz Track Id": "7c2a",
    "iTunSMPB": "00000000 00000210",
    "length": "123000",
}


def id3_frames():
    yield id3.TIT2(text=EXPECTED["title"])
    yield id3.TPE1(text=EXPECTED["artist"])
    yield id3.TALB(text=EXPECTED["album"])
    yield id3.TPE2(text=EXPECTED["album_artist"])
    yield id3.TDRC(text=EXPECTED["date"])
    yield id3.TCON(text=EXPECTED["genre"])
    yield id3.TRCK(text="3/12")
    yield id3.TCOM(text=EXPECTED["composer"])
    yield id3.TCOP(text=EXPECTED["copyright"])
    yield id3.COMM(lang="deu", desc="", text=EXPECTED["comment"])
    yield id3.TXXX(desc="My Mood", text="calm")
    yield id3.APIC(mime="image/png", type=3, desc="front", data=COVER)
    for name, text in OF_THE_OLD_SOUND.items():
        yield id3.TXXX(desc=name, text=text)
    yield id3.COMM(lang="eng", desc="iTunSMPB", text="00000000 00000210")
    yield id3.TLEN(text="123000")
    yield id3.TSSE(text="Some encoder")
    yield id3.TSRC(text="PTABC0400001")


def front_cover():
    picture = Picture()
    picture.type, picture.mime, picture.desc, picture.data = 3, "image/png", "front", COVER
    return picture


def vorbis_comments():
    texts = {"albumartist" if k == "album_artist" else k: v for k, v in EXPECTED.items()}
    del texts["track"]
    return texts | {"tracknumber": "3", "tracktotal": "12"} | OF_THE_OLD_SOUND


def source(folder, suffix):
    """Write a sound file with all tags, as mutagen writes them."""
    path = folder / f"source{suffix}"
    if suffix == ".m4a":
        return tagged_mp4(path)
    form, subtype = {
        ".wav": ("WAV", "PCM_16"),
        ".aiff": ("AIFF", "PCM_16"),
        ".mp3": ("MP3", "MPEG_LAYER_III"),
        ".flac": ("FLAC", "PCM_16"),
        ".ogg": ("OGG", "VORBIS"),
        ".opus": ("OGG", "OPUS"),
    }[suffix]
    rate = 48000 if suffix == ".opus" else RATE
    soundfile.write(path, SOUND.samples, rate, format=form, subtype=subtype)
    kinds = {".wav": WAVE, ".aiff": AIFF, ".mp3": MP3, ".flac": FLAC, ".ogg": OggVorbis}
    file = kinds.get(suffix, OggOpus)(path)
    if suffix in (".wav", ".aiff", ".mp3"):
        file.add_tags()
        for frame in id3_frames():
            file.tags.add(frame)
    else:
        file.update(vorbis_comments())
        if suffix == ".flac":
            file.add_picture(front_cover())
        else:
            file["metadata_block_picture"] = base64.b64encode(front_cover().write()).decode()
    file.save()
    return path


def tagged_mp4(path):
    tags = MP4(write_mp4(path, SOUND.samples, RATE))
    atoms = {"title": "nam", "artist": "ART", "album": "alb", "genre": "gen", "date": "day"}
    atoms |= {"composer": "wrt", "comment": "cmt"}
    for name, atom in atoms.items():
        tags[f"\xa9{atom}"] = EXPECTED[name]
    tags["aART"], tags["cprt"] = EXPECTED["album_artist"], EXPECTED["copyright"]
    tags["trkn"] = [(3, 12)]
    tags["covr"] = [MP4Cover(COVER, MP4Cover.FORMAT_PNG)]
    for name, text in (OF_THE_OLD_SOUND | {"My Mood": "calm"}).items():
        tags[f"----:com.apple.iTunes:{name}"] = text.encode()
    tags.save()
    return path


def by_ffmpeg(path):
    """Return the texts and pictures of a file."""
    with av.open(str(path)) as container:
        texts = {**container.metadata, **container.streams.audio[0].metadata}
        covers = container.streams.video
        pictures = [bytes(one) for one in container.demux(covers) if one.size] if covers else []
    return {name.lower(): text for name, text in texts.items()}, pictures


@pytest.mark.parametrize("target", SUFFIXES)
@pytest.mark.parametrize("suffix", [*SUFFIXES, ".aiff", ".opus", ".m4a"])
def test_tags_are_those_of_the_source_without_what_describes_its_sound(tmp_path, suffix, target):
    path = tmp_path / f"edit{target}"
    plain = tmp_path / f"plain{target}"
    save_audio(plain, SOUND)
    save_audio(path, SOUND, tags_from=source(tmp_path, suffix))
    texts, pictures = by_ffmpeg(path)
    total = texts.pop("tracktotal", None)
    if target in (".wav", ".mp3"):
        assert texts["track"] == "3/12"
        texts["track"] = "3"
    else:
        assert total == "12"
    own = by_ffmpeg(plain)[0]  # what libsndfile writes of itself
    assert dict(texts.items() - own.items()) == EXPECTED
    assert pictures == [COVER]
    np.testing.assert_array_equal(load_audio(path).samples, load_audio(plain).samples)


def test_libsndfile_reads_the_tags_too(tmp_path):
    save_audio(tmp_path / "edit.flac", SOUND, tags_from=source(tmp_path, ".mp3"))
    with soundfile.SoundFile(tmp_path / "edit.flac") as handle:
        assert (handle.title, handle.artist) == (EXPECTED["title"], EXPECTED["artist"])


def test_info_texts_of_a_wav_are_copied(tmp_path):
    with soundfile.SoundFile(tmp_path / "source.wav", "w", RATE, 1) as handle:
        handle.title, handle.artist, handle.software = "A title", "Someone", "A program"
        handle.write(SOUND.samples)
    save_audio(tmp_path / "edit.mp3", SOUND, tags_from=tmp_path / "source.wav")
    texts, _ = by_ffmpeg(tmp_path / "edit.mp3")
    assert (texts["title"], texts["artist"]) == ("A title", "Someone")
    assert "A program" not in str(texts)


def test_several_values_and_odd_names_survive_or_are_left_out(tmp_path):
    file = FLAC(source(tmp_path, ".flac"))
    file["artist"] = ["One", "Two"]
    file["date"] = "spring 2004"
    file.save()
    save_audio(tmp_path / "there.mp3", SOUND, tags_from=tmp_path / "source.flac")
    tags = MP3(tmp_path / "there.mp3").tags
    assert tags["TPE1"].text == ["One", "Two"]
    assert tags["TXXX:date"].text == ["spring 2004"] and "TDRC" not in tags
    tags.add(id3.TXXX(desc="Näme=", text="no name of a Vorbis comment"))
    tags.save(tmp_path / "there.mp3")
    save_audio(tmp_path / "back.flac", SOUND, tags_from=tmp_path / "there.mp3")
    back = FLAC(tmp_path / "back.flac")
    assert back["artist"] == ["One", "Two"] and back["date"] == ["spring 2004"]
    assert "no name" not in str(back.tags)


def test_pictures_with_the_same_description_are_kept(tmp_path):
    file = FLAC(source(tmp_path, ".flac"))
    back = front_cover()
    back.type, back.data = 4, b"\x89PNGback"
    file.add_picture(back)
    file.save()
    save_audio(tmp_path / "edit.mp3", SOUND, tags_from=tmp_path / "source.flac")
    pictures = MP3(tmp_path / "edit.mp3").tags.getall("APIC")
    assert sorted((one.type, one.data) for one in pictures) == [(3, COVER), (4, b"\x89PNGback")]


def test_a_source_without_tags_gives_none(tmp_path, caplog):
    for name in ("plain.wav", "plain.w64", "plain.au", "plain.mp3"):
        soundfile.write(tmp_path / name, SOUND.samples, RATE)
        save_audio(tmp_path / "edit.mp3", SOUND, tags_from=tmp_path / name)
        assert MP3(tmp_path / "edit.mp3").tags is None
    assert not caplog.records


def test_damaged_tags_are_said_and_the_sound_is_written(tmp_path, caplog):
    path = source(tmp_path, ".mp3")
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff\xff\xff\xff"  # the size of the tag, seven bits a byte
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        save_audio(tmp_path / "edit.flac", SOUND, tags_from=path)
    (record,) = caplog.records
    assert "source.mp3" in record.getMessage() and "cannot be copied" in record.getMessage()
    assert load_audio(tmp_path / "edit.flac").n_samples == SOUND.n_samples


def test_a_damaged_picture_does_not_cost_the_texts(tmp_path, caplog):
    file = OggVorbis(source(tmp_path, ".ogg"))
    file["metadata_block_picture"] = "no base64 ä"
    file.save()
    save_audio(tmp_path / "edit.flac", SOUND, tags_from=tmp_path / "source.ogg")
    assert "a picture in its tags is damaged" in caplog.text
    assert FLAC(tmp_path / "edit.flac")["title"] == [EXPECTED["title"]]


def test_a_picture_too_large_for_flac_is_left_out(tmp_path, caplog):
    file = MP3(source(tmp_path, ".mp3"))
    file.tags.add(id3.APIC(mime="image/png", type=4, desc="back", data=bytes(1 << 24)))
    file.save()
    save_audio(tmp_path / "edit.flac", SOUND, tags_from=tmp_path / "source.mp3")
    assert "a picture in its tags has 16 MB" in caplog.text
    edit = FLAC(tmp_path / "edit.flac")
    assert [one.data for one in edit.pictures] == [COVER]
    assert edit["title"] == [EXPECTED["title"]]


def test_a_file_appears_with_its_tags_or_not_at_all(tmp_path, monkeypatch):
    path, writes = source(tmp_path, ".mp3"), []
    write_bytes = Path.write_bytes

    def full_at_the_second_write(self, data):
        writes.append((self.name, (tmp_path / "edit.mp3").exists()))
        if len(writes) == 2:
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    monkeypatch.setattr(Path, "write_bytes", full_at_the_second_write)
    with pytest.raises(InputError, match="No space left"):
        save_audio(tmp_path / "edit.mp3", SOUND, tags_from=path)
    assert [one.name for one in tmp_path.iterdir()] == ["source.mp3"]
    assert len(writes) == 2 and not any(existed for _, existed in writes)


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".aiff", ".opus", ".m4a"])
def test_no_damage_to_a_source_stops_the_sound(tmp_path, suffix):
    """Sixty copies with up to 30 wrong bytes near the start or the end, some cut short."""
    chance = np.random.default_rng(SUFFIXES.index(suffix) if suffix in SUFFIXES else 9)
    whole = source(tmp_path, suffix).read_bytes()
    short = Audio(SOUND.samples[:500], RATE)
    damaged = tmp_path / f"damaged{suffix}"
    for turn in range(60):
        data = bytearray(whole)
        reach = min(len(data), 3000)
        first = 0 if chance.random() < 0.7 else len(data) - reach
        for place in chance.integers(first, first + reach, chance.integers(1, 31)):
            data[place] = chance.integers(256)
        damaged.write_bytes(data if turn % 5 else data[: chance.integers(1, len(data))])
        path = tmp_path / f"edit{SUFFIXES[turn % 4]}"
        save_audio(path, short, tags_from=damaged)
        assert load_audio(path).n_samples == 500


def test_tags_go_into_four_kinds_of_files_only(tmp_path):
    with pytest.raises(InputError, match=r"edit\.aiff"):
        copy_tags(source(tmp_path, ".mp3"), tmp_path / "edit.aiff")
