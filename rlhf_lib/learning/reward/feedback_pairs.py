"""Turn annotations into comparisons; answers left out are counted with the reason."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A, Annotation
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.quality.agreement import by_pair
from rlhf_lib.feedback.quality.checks import failed_checks
from rlhf_lib.learning.reward.comparisons import Comparison

# `teaches_little` warns from this many comparisons, and from this share on one side.
_LEAST, _ONE_SIDED = 10, 0.95


@dataclass(frozen=True)
class AnswerSelection:
    """Which answers are used for training.

    Attributes
    ----------
    min_confidence : float
        0 … 1; answers whose confidence is given and not above it are left out.
    exclude_raters : collection of str
        Raters whose answers are left out.
    max_failed_checks : int, optional
        Raters who failed more obvious checks than this are left out.

    Raises
    ------
    InputError
        When a number is out of range.
    """

    min_confidence: float = 0.7
    exclude_raters: Collection[str] = ()
    max_failed_checks: int | None = None

    def __post_init__(self):
        if not 0 <= self.min_confidence <= 1:
            raise InputError(f"min_confidence {self.min_confidence!r} is outside 0 … 1")
        if self.max_failed_checks is not None and self.max_failed_checks < 0:
            raise InputError(f"max_failed_checks is {self.max_failed_checks}; give 0 or more")


@dataclass(frozen=True)
class FeedbackPairs:
    """Comparisons from feedback, and the answers left out.

    Attributes
    ----------
    comparisons : list of Comparison
    excluded : dict
        Reason → number of answers.
    n_answers, n_pairs : int
        The answers that the comparisons come from, and the different pairs they are about.
    """

    comparisons: list[Comparison]
    excluded: dict[str, int]
    n_answers: int
    n_pairs: int


def comparisons_from_feedback(
    annotations: Sequence[Annotation],
    manifests: Mapping[str, Manifest],
    songs: Mapping[str, Song],
    selection: AnswerSelection | None = None,
) -> FeedbackPairs:
    """Turn current annotations into comparisons.

    Answers to obvious checks, answers "can't tell", answers whose confidence is given and not
    above ``min_confidence``, and all answers of excluded raters are left out.

    Each rater has one vote on a pair; repeated answers share it. Equal answers of several raters
    become one comparison whose weight is the sum of their votes; different answers to a pair
    become separate comparisons. The order in which the two edits were presented does not matter.

    Parameters
    ----------
    annotations : sequence of Annotation
        The current ones (``PreferenceStore.current``), without superseded ones.
    manifests : mapping
        manifest_id → Manifest.
    songs : mapping
        sha256 → Song.
    selection : AnswerSelection, optional

    Raises
    ------
    InputError
        When an annotation refers to a manifest or a song that is missing, or a rater to
        exclude gave no answer.
    """
    selection = selection or AnswerSelection()
    distrusted, least = _distrusted(annotations, selection), selection.min_confidence
    used, excluded = [], Counter()
    for annotation in annotations:
        if annotation.is_check:
            excluded["the answer to an obvious check"] += 1
        elif annotation.rater_id in distrusted:
            excluded[distrusted[annotation.rater_id]] += 1
        elif annotation.cant_tell:
            excluded["the rater could not tell"] += 1
        elif annotation.confidence is not None and annotation.confidence <= least:
            excluded[f"confidence not above {least}"] += 1
        else:
            used.append(annotation)
    pairs = by_pair(used).values()
    comparisons = [one for answers in pairs for one in _of_pair(answers, manifests, songs)]
    return FeedbackPairs(comparisons, dict(excluded), len(used), len(pairs))


def teaches_little(comparisons: Sequence[Comparison]) -> list[str]:
    """Return warnings about comparisons that a reward model can learn little from.

    There are three: no comparison is decided; nearly all of at least 10 decided ones prefer the
    same side; or on most of at least 10 pairs with several raters, the votes for both sides are
    equal.

    Parameters
    ----------
    comparisons : sequence of Comparison
        From `comparisons_from_feedback`: the weights on a pair add up to its number of raters.
    """
    decided = [one for one in comparisons if one.preference != 0.5]
    warnings = []
    if comparisons and not decided:
        warnings.append(
            f"all {len(comparisons)} comparisons are ties, so no preference can be learned: rate "
            "pairs that differ more, and answer with a tie only where both edits are equally good"
        )
    for_a = sum(one.preference > 0.5 for one in decided)
    most = max(for_a, len(decided) - for_a)
    if len(decided) >= _LEAST and most >= _ONE_SIDED * len(decided):
        side = "a" if most == for_a else "b"
        warnings.append(
            f"edit {side} was preferred in {most} of {len(decided)} decided comparisons, so always "
            f"answering {side} is as accurate as any model. Where temperatures differ, edit a is "
            "the one with the lower temperature, the longer one: rate pairs of equal length "
            "(--candidates_per_song 20), and leave out raters who do not listen (check_feedback, "
            "--exclude_raters)"
        )
    shared = [votes for votes in _votes(comparisons) if sum(votes.values()) > 1.5]
    cancelled = sum(votes[1.0] > 0 and abs(votes[1.0] - votes[0.0]) < 1e-6 for votes in shared)
    if len(shared) >= _LEAST and cancelled > len(shared) / 2:
        warnings.append(
            f"raters contradict each other on {cancelled} of the {len(shared)} pairs that several "
            "rated, so that their answers cancel out: see who disagrees with check_feedback, and "
            "train on one group of raters at a time (--exclude_raters)"
        )
    return warnings


def _votes(comparisons: Sequence[Comparison]) -> list[Counter]:
    """Return for each pair the votes by preference, 1 for its first edit."""
    pairs: dict[frozenset, Counter] = defaultdict(Counter)
    for one in comparisons:
        a, b = ((e.song.sha256, e.target, e.actions.tobytes()) for e in one.edits)
        preference = one.preference if a <= b else 1 - one.preference
        pairs[frozenset((a, b))][preference] += one.weight
    return list(pairs.values())


def _distrusted(annotations: Sequence[Annotation], selection: AnswerSelection) -> dict[str, str]:
    """Return the raters to leave out, and why."""
    raters = {annotation.rater_id for annotation in annotations}
    for rater in selection.exclude_raters:
        if rater not in raters:
            raise InputError(
                f"rater {rater!r} to exclude gave no answer; the raters are "
                f"{', '.join(map(repr, sorted(raters)))}"
            )
    reasons = {rater: f"rater {rater!r} is excluded" for rater in selection.exclude_raters}
    if selection.max_failed_checks is not None:
        for rater, failed in failed_checks(annotations).items():
            if failed > selection.max_failed_checks:
                reasons.setdefault(rater, f"rater {rater!r} failed {failed} obvious checks")
    return reasons


def _of_pair(
    answers: list[Annotation], manifests: Mapping[str, Manifest], songs: Mapping[str, Song]
) -> list[Comparison]:
    first = answers[0]
    a, b = (_edit(first, name, manifests, songs) for name in (first.edit_a_id, first.edit_b_id))
    repeats = Counter(answer.rater_id for answer in answers)
    votes: dict[tuple[float, int], float] = defaultdict(float)
    for answer in answers:
        preference = VOTE_FOR_A[answer.preference]
        if answer.edit_a_id != first.edit_a_id:
            preference = 1 - preference
        votes[preference, answer.strength] += 1 / repeats[answer.rater_id]
    return [
        Comparison(a, b, preference, weight, strength)
        for (preference, strength), weight in votes.items()
    ]


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
