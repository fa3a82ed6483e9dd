"""Answer the tasks of a session with a program, such as a simulated rater."""

from collections.abc import Mapping

from rlhf_lib.analysis.song import Song
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import Annotation
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.raters.rater import Rater


def run_rater(
    session: AnnotationSession, rater: Rater, songs_by_id: Mapping[str, Song]
) -> list[Annotation]:
    """Let a rater answer every task that is left in a session.

    Parameters
    ----------
    session : AnnotationSession
        The session of this rater.
    rater : Rater
    songs_by_id : mapping
        From the manifest's song ids to the loaded songs.

    Returns
    -------
    list of Annotation
        The new answers, as stored.

    Raises
    ------
    InputError
        When session and rater differ, or a song is missing or has another number of beats.
    """
    expected, got = (session.rater_id, session.rater_kind), (rater.rater_id, rater.rater_kind)
    if expected != got:
        raise InputError(
            f"the session is for rater {expected}, not for {got}; open one for that rater"
        )
    answers = []
    while session.task is not None:
        shown = session.task
        song_id = shown.task.song_id
        if song_id not in songs_by_id:
            raise InputError(f"song {song_id!r} of the manifest is not among the loaded songs")
        song = songs_by_id[song_id]
        left, right = (
            session.manifest.candidate(song_id, candidate_id).edit(song)
            for candidate_id in (shown.left_id, shown.right_id)
        )
        answer = rater.compare(song, left, right)
        answers.append(
            session.answer(
                {"a": "left", "b": "right", "tie": "tie"}[answer.preference],
                answer.strength,
                confidence=answer.confidence,
                notes=answer.reasoning,
            )
        )
    return answers
