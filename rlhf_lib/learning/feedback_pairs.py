"""From annotations to comparisons: which answers are learned from, and why not the others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rlhf_lib.errors import InputError
from rlhf_lib.feedback.records import Annotation, Manifest
from rlhf_lib.learning.comparisons import Comparison
from rlhf_lib.music.edit import Edit
from rlhf_lib.music.song import Song

MIN_CONFIDENCE = 0.7
#: How much an answer counts by its strength (0 is a tie).
STRENGTH_WEIGHTS = (1.0, 0.5, 1.0, 1.5)


@dataclass(frozen=True)
class FeedbackPairs:
    """Comparisons from feedback and what was left out.

    Attributes
    ----------
    comparisons : list of Comparison
    excluded : dict
        Reason → number of answers.
    """

    comparisons: list[Comparison]
    excluded: dict[str, int]


def comparisons_from_feedback(
    annotations: Sequence[Annotation],
    manifests: Mapping[str, Manifest],
    songs: Mapping[str, Song],
    min_confidence: float = MIN_CONFIDENCE,
) -> FeedbackPairs:
    """Turn current annotations into comparisons.

    Left out are answers to obvious checks, answers "can't tell" and answers whose confidence is given and not above
    `min_confidence`.

    Parameters
    ----------
    annotations : sequence of Annotation
        Superseded ones already dropped (``PreferenceStore.current``).
    manifests : mapping
        manifest_id → Manifest.
    songs : mapping
        sha256 → Song.
    min_confidence : float
        0 … 1.

    Raises
    ------
    InputError
        When an annotation refers to a manifest or a song that isn't there.
    """
    if not 0 <= min_confidence <= 1:
        raise InputError(f"min_confidence {min_confidence!r} is outside 0 … 1")
    comparisons, excluded = [], Counter()
    for annotation in annotations:
        if annotation.is_check:
            excluded["the answer to an obvious check"] += 1
            continue
        if annotation.cant_tell:
            excluded["the rater could not tell"] += 1
            continue
        if annotation.confidence is not None and annotation.confidence <= min_confidence:
            excluded[f"confidence not above {min_confidence}"] += 1
            continue
        a, b = (
            _edit(annotation, candidate, manifests, songs)
            for candidate in (annotation.edit_a_id, annotation.edit_b_id)
        )
        answer = {"a": 1.0, "tie": 0.5, "b": 0.0}[annotation.preference]
        comparisons.append(Comparison(a, b, answer, STRENGTH_WEIGHTS[annotation.strength]))
    return FeedbackPairs(comparisons, dict(excluded))


def _edit(
    annotation: Annotation,
    candidate_id: str,
    manifests: Mapping[str, Manifest],
    songs: Mapping[str, Song],
) -> Edit:
    manifest = manifests.get(annotation.manifest_id or "")
    if manifest is None:
        raise InputError(
            f"annotation {annotation.annotation_id} refers to manifest "
            f"{annotation.manifest_id!r}, which is not among the kept ones; "
            "import the feedback together with its manifest"
        )
    entry = manifest.song(annotation.song_id)
    if entry.sha256 not in songs:
        raise InputError(
            f"song {annotation.song_id!r} of annotation {annotation.annotation_id} is not among "
            "the loaded songs; give the folder that holds the manifest and its audio"
        )
    return manifest.candidate(annotation.song_id, candidate_id).edit(songs[entry.sha256])
