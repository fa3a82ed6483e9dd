"""Tags of sound files (title, artist, cover …): what an edit takes over from its song.

ID3 (in MP3, WAV and AIFF), Vorbis comments (in FLAC, Ogg and Opus), atoms (in MP4) and the INFO
texts of WAV are read into texts under the names of Vorbis comments, and pictures. The names of ID3
frames and of atoms for them are those of MusicBrainz Picard (https://picard-docs.musicbrainz.org,
"Tag Mapping").
"""

import base64
import io
import logging
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import soundfile
from mutagen import File, FileType, MutagenError, id3
from mutagen.aiff import AIFF
from mutagen.flac import FLAC, Picture
from mutagen.mp3 import MP3
from mutagen.mp4 import AtomDataType, MP4Tags
from mutagen.oggflac import OggFLAC
from mutagen.oggopus import OggOpus
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from rlhf_lib.errors import InputError

_log = logging.getLogger(__name__)

_KINDS: dict[str, type[FileType]] = {".wav": WAVE, ".flac": FLAC, ".ogg": OggVorbis, ".mp3": MP3}
_WITH_VORBIS_COMMENTS = (FLAC, OggVorbis, OggOpus, OggFLAC)
_FRAMES = {
    "title": "TIT2",
    "subtitle": "TIT3",
    "artist": "TPE1",
    "album": "TALB",
    "albumartist": "TPE2",
    "date": "TDRC",
    "originaldate": "TDOR",
    "genre": "TCON",
    "tracknumber": "TRCK",
    "discnumber": "TPOS",
    "composer": "TCOM",
    "lyricist": "TEXT",
    "conductor": "TPE3",
    "arranger": "TPE4",
    "copyright": "TCOP",
    "organization": "TPUB",
    "grouping": "TIT1",
    "language": "TLAN",
    "mood": "TMOO",
    "bpm": "TBPM",
    "key": "TKEY",
    "titlesort": "TSOT",
    "artistsort": "TSOP",
    "albumsort": "TSOA",
    "albumartistsort": "TSO2",
    "composersort": "TSOC",
}
_ATOMS = {
    "\xa9nam": "title",
    "\xa9ART": "artist",
    "\xa9alb": "album",
    "aART": "albumartist",
    "\xa9day": "date",
    "\xa9gen": "genre",
    "trkn": "tracknumber",
    "disk": "discnumber",
    "\xa9wrt": "composer",
    "\xa9cmt": "comment",
    "cprt": "copyright",
    "\xa9grp": "grouping",
    "tmpo": "bpm",
    "sonm": "titlesort",
    "soar": "artistsort",
    "soal": "albumsort",
    "soaa": "albumartistsort",
    "soco": "composersort",
}
_NAMES = {frame: name for name, frame in _FRAMES.items()}
_TOTALS = {"tracknumber": "tracktotal", "discnumber": "disctotal"}
_ALIASES = {
    "album artist": "albumartist",
    "album_artist": "albumartist",
    "year": "date",
    "totaltracks": "tracktotal",
    "totaldiscs": "disctotal",
}
#: What describes the sound of the source or how it was encoded, and so is wrong for an edit of it:
#: loudness, encoder and delay, length, fingerprints, ids and times of the recording. (Lyrics may
#: hold times too.)
_OF_THE_SOURCE = re.compile(
    r"replaygain_|r128_|mp3gain_|acoustid_|musicip_|fingerprint|musicbrainz_|isrc$|barcode$"
    r"|encod|software$|itun|length|tlen$|duration|gapless|accuraterip|md5|cue_?sheet|chapter"
    r"|(un)?sync(ed)?lyrics|lyrics|waveformatextensible|metadata_block_picture$|coverart"
)
#: What mutagen raises for damaged tags; it does not turn all of it into its own error.
_DAMAGED = (
    MutagenError,
    soundfile.LibsndfileError,
    ValueError,
    IndexError,
    struct.error,
)
_FLAC_BLOCK = (1 << 24) - 1  # bytes
_VORBIS_NAME = re.compile(r"[ -<>-}]+")

Texts = dict[str, list[str]]


def copy_tags(source: str | Path, target: str | Path) -> None:
    """Copy the tags of one sound file into another.

    Copied are title, artist, album, album artist, date, genre, track and disc number, composer,
    copyright, comment, cover art, and other texts that both formats have a name for. What
    describes the sound of the source is left out: loudness (ReplayGain, R128), encoder and
    encoder delay, length, fingerprints, ids of the recording, cue sheets, lyrics.

    Tags that cannot be read or written give a warning, and `target` stays as it is.

    Parameters
    ----------
    source : path of a WAV, AIFF, FLAC, OGG, Opus, MP3 or MP4 (M4A) file
        Other files have no tags.
    target : path of a .wav, .flac, .ogg or .mp3 file

    Raises
    ------
    InputError
        When `target` has another suffix.
    """
    source, target = Path(source), Path(target)
    kind = _KINDS.get(target.suffix.lower())
    if kind is None:
        raise InputError(f"cannot tag {target.name}: its suffix is not one of {', '.join(_KINDS)}")
    try:
        texts, pictures = _read(source)
        if not texts and not pictures:
            return
        if kind is FLAC:
            pictures = [one for one in pictures if _fits_flac(one, source)]
        content = _with_tags(target.read_bytes(), kind, texts, pictures)
    except _DAMAGED as error:
        reason = str(error) or type(error).__name__
        _log.warning("%s: its tags cannot be copied (%s); the edit has none", source, reason)
        return
    target.write_bytes(content)


def _read(source: Path) -> tuple[Texts, list[Picture]]:
    file = File(source)
    tags = None if file is None else file.tags
    pairs, pictures = [], []
    if isinstance(tags, id3.ID3):
        pairs, pictures = [*_id3_texts(tags)], [*_id3_pictures(tags)]
    elif isinstance(file, _WITH_VORBIS_COMMENTS) and tags is not None:
        pairs = [*tags]
        pictures = [*getattr(file, "pictures", []), *_coded_pictures(pairs, source)]
    elif isinstance(tags, MP4Tags):
        pairs, pictures = [*_mp4_texts(tags)], [*_mp4_pictures(tags)]
    if not pairs and isinstance(file, (WAVE, AIFF)):
        pairs = [*_info_texts(source)]
    return _sorted(pairs), pictures


def _id3_texts(tags: id3.ID3) -> Iterator[tuple[str, str]]:
    for frame in tags.values():
        if isinstance(frame, id3.COMM) and not frame.desc.lower().startswith("itun"):
            name = "comment"
        elif isinstance(frame, id3.TXXX):
            name = frame.desc
        elif frame.FrameID in _NAMES:
            name = _NAMES[frame.FrameID]
        else:
            continue
        for text in frame.genres if isinstance(frame, id3.TCON) else frame.text:
            yield name, str(text)


def _id3_pictures(tags: id3.ID3) -> Iterator[Picture]:
    for frame in tags.getall("APIC"):
        if frame.mime != "-->":  # which means a link
            picture = Picture()
            picture.type, picture.mime = frame.type, frame.mime
            picture.desc, picture.data = frame.desc.strip(), frame.data
            yield picture


def _mp4_texts(tags: MP4Tags) -> Iterator[tuple[str, str]]:
    for atom, values in tags.items():
        if atom in ("trkn", "disk"):
            values = ["/".join(str(number) for number in pair if number) for pair in values]
        if atom.startswith("----:"):  # a name of one's own
            values = [value.decode("utf-8", "replace") for value in values]
            yield from ((atom.rpartition(":")[2], value) for value in values)
        elif atom in _ATOMS:
            yield from ((_ATOMS[atom], str(value)) for value in values)


def _mp4_pictures(tags: MP4Tags) -> Iterator[Picture]:
    for cover in tags.get("covr", []):
        picture = Picture()
        picture.type, picture.data = id3.PictureType.COVER_FRONT, bytes(cover)
        png = cover.imageformat == AtomDataType.PNG
        picture.mime = "image/png" if png else "image/jpeg"
        yield picture


def _coded_pictures(pairs: list[tuple[str, str]], source: Path) -> Iterator[Picture]:
    for name, value in pairs:
        if name.lower() == "metadata_block_picture":
            try:
                yield Picture(base64.b64decode(value))
            except _DAMAGED as error:
                _log.warning("%s: a picture in its tags is damaged (%s); left out", source, error)


def _info_texts(source: Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of the INFO chunk of WAV and its like in AIFF."""
    with soundfile.SoundFile(source) as handle:
        for name, text in handle.copy_metadata().items():
            if "\ufffd" not in text:  # which stands for bytes that are not UTF-8
                yield name, text


def _sorted(pairs: list[tuple[str, str]]) -> Texts:
    """Return texts by name, without those of `_OF_THE_SOURCE`; "3/12" becomes number and total."""
    texts: Texts = {}
    spelled: dict[str, str] = {}
    for name, text in pairs:
        key = _ALIASES.get(name.lower(), name.lower())
        if _OF_THE_SOURCE.match(key.replace(" ", "_")):
            continue
        parts = {key: text}
        if key in _TOTALS:
            number, _, total = text.partition("/")
            parts = {key: number, _TOTALS[key]: total}
        for one, value in parts.items():
            # Names without a meaning of ours keep their capitals.
            spelling = spelled.setdefault(one, name if one == name.lower() else one)
            spelling = one if one in _FRAMES else spelling
            value = value.strip("\0 ")
            if value and value not in texts.get(spelling, []):
                texts.setdefault(spelling, []).append(value)
    return texts


def _fits_flac(picture: Picture, source: Path) -> bool:
    size = len(picture.write())
    if size > _FLAC_BLOCK:
        _log.warning(
            "%s: a picture in its tags has %d MB, FLAC holds 16; left out", source, size / 1e6
        )
    return size <= _FLAC_BLOCK


def _with_tags(
    content: bytes, kind: type[FileType], texts: Texts, pictures: list[Picture]
) -> bytes:
    buffer = io.BytesIO(content)
    file = kind(buffer)
    if file.tags is None:
        file.add_tags()
    if isinstance(file.tags, id3.ID3):
        _fill_id3(file.tags, texts, pictures)
    else:
        for name, values in texts.items():
            if _VORBIS_NAME.fullmatch(name):
                file.tags[name.upper() if name in _FRAMES else name] = values
        if isinstance(file, FLAC):
            for picture in pictures:
                file.add_picture(picture)
        elif pictures:
            coded = [base64.b64encode(picture.write()).decode() for picture in pictures]
            file.tags["METADATA_BLOCK_PICTURE"] = coded
    buffer.seek(0)
    file.save(buffer)
    return buffer.getvalue()


def _fill_id3(tags: id3.ID3, texts: Texts, pictures: list[Picture]) -> None:
    texts = dict(texts)
    for name, total in _TOTALS.items():
        if name in texts and total in texts:
            texts[name] = [f"{texts[name][0]}/{texts.pop(total)[0]}"]
    for name, values in texts.items():
        frame = _FRAMES.get(name)
        if name == "comment":
            tags.add(id3.COMM(encoding=3, lang="eng", desc="", text=values))
        elif frame is None or (
            # A time that ID3 cannot express, such as "spring 2004".
            name.endswith("date") and not all(str(id3.ID3TimeStamp(value)) for value in values)
        ):
            tags.add(id3.TXXX(encoding=3, desc=name, text=values))
        else:
            tags.add(getattr(id3, frame)(encoding=3, text=values))
    for picture in pictures:
        image = id3.APIC(
            encoding=3, mime=picture.mime, type=picture.type, desc=picture.desc, data=picture.data
        )
        while image.HashKey in tags:  # descriptions must differ
            image.desc += " "
        tags.add(image)
