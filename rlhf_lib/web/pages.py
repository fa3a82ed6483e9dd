"""The pages before and after the comparisons: which one a rater is on, and what is filled in."""

from typing import Any

import numpy as np

from rlhf_lib.feedback.validation import utc_now
from rlhf_lib.web import headphones
from rlhf_lib.web.keys import Keys
from rlhf_lib.web.records import HeadphoneAttempt, RaterRecord
from rlhf_lib.web.study import Study, in_language


class Refused(Exception):
    """What a rater sent is not accepted; the argument names the label that says why."""


class Pages:
    """The pages of a study, apart from the comparisons.

    Parameters
    ----------
    study : Study
    keys : Keys
    """

    def __init__(self, study: Study, keys: Keys):
        self._study, self._keys = study, keys

    def step(self, record: RaterRecord) -> str:
        """Return the name of the page that a rater is on; see ``steps`` among the labels."""
        study = self._study
        pending = {
            "turned away": record.turned_away is not None,
            "consent": study.consent is not None and record.agreed is None,
            "instructions": bool(study.instructions) and not record.instructed,
            "background": bool(study.background) and record.background is None,
            "level": study.level and not record.level_set,
            "headphones": study.headphones is not None and not self._headphones_done(record),
            "training": study.training_trials > 0 and not record.trained,
            "rate": not record.sittings or record.sittings[-1].ended is None,
            "pause": record.finished_sittings < study.tasks.sittings,
        }
        return next((name for name, is_pending in pending.items() if is_pending), "end")

    def content(self, record: RaterRecord) -> dict[str, Any]:
        """Return what the page shows besides its labels, in the rater's language."""
        study = self._study

        def text(value):
            return in_language(value, record.language)

        match self.step(record):
            case "consent":
                return {"text": text(study.consent)}
            case "instructions":
                shown = [{"text": text(p.text), "sound": p.sound} for p in study.instructions]
                return {"paragraphs": shown}
            case "background":
                return {
                    "questions": [
                        {
                            "name": one.name,
                            "text": text(one.text),
                            "options": [text(option) for option in one.options],
                            "required": one.required,
                        }
                        for one in study.background
                    ]
                }
            case "headphones":
                check = study.headphones
                number = len(self._attempt(record).answers) + 1
                again = any(one.passed is False for one in record.headphones)
                shown = {"method": check.method, "number": number, "total": check.trials}
                return shown | {"again": again}
            case "end":
                redirect = study.end.redirect
                if redirect is not None:
                    redirect = redirect.replace("{id}", record.rater_id)
                return {"text": text(study.end.text), "code": study.end.code, "redirect": redirect}
            case "turned away":
                return {"why": record.turned_away}
        return {}

    def filled(self, record: RaterRecord, given: dict[str, Any]) -> RaterRecord:
        """Return the record after the rater filled in the page that is on.

        Raises
        ------
        Refused
            When something that is required is missing, or is none of the options.
        """
        changes: dict[str, Any] = {}
        match self.step(record):
            case "consent":
                changes = {"agreed": utc_now()}
            case "instructions":
                changes = {"instructed": True}
            case "level":
                changes = {"level_set": True}
            case "background":
                changes = {"background": self._background(record, given)}
            case "headphones":
                changes = self._headphones(record, given)
        return record.model_copy(update=changes)

    def trial(self, record: RaterRecord) -> tuple[np.ndarray, int]:
        """Return the sound of the headphone trial that a rater is at, and the right answer."""
        number = len([one for one in record.headphones if one.passed is not None])
        place = (record.rater_id, number, len(self._attempt(record).answers))
        return headphones.trial(self._study.headphones.method, self._keys.draw("trial", *place))

    def _background(self, record: RaterRecord, given: dict[str, Any]) -> dict[str, str]:
        answers = {}
        for question in self._study.background:
            answer = str(given.get(question.name, ""))[:1000].strip()
            options = [in_language(one, record.language) for one in question.options]
            if (question.required and not answer) or (answer and options and answer not in options):
                raise Refused("incomplete")
            if answer and options:  # stored in the study's first language
                option = question.options[options.index(answer)]
                answer = in_language(option, self._study.languages[0])
            answers[question.name] = answer
        return answers

    def _headphones(self, record: RaterRecord, given: dict[str, Any]) -> dict[str, Any]:
        check, attempt = self._study.headphones, self._attempt(record)
        if given.get("number") != len(attempt.answers) + 1 or given.get("place") not in (0, 1, 2):
            return {}  # a second press for the trial before
        right = attempt.right + (given["place"] == self.trial(record)[1])
        answers = [*attempt.answers, given["place"]]
        passed = right >= check.needed if len(answers) == check.trials else None
        now = HeadphoneAttempt(answers=answers, right=right, passed=passed)
        before = [one for one in record.headphones if one.passed is not None]
        failed = passed is False and len(before) + 1 == check.attempts
        turned_away = "no headphones" if failed and check.on_failure == "end" else None
        return {"headphones": [*before, now], "turned_away": turned_away}

    @staticmethod
    def _attempt(record: RaterRecord) -> HeadphoneAttempt:
        """Return the attempt at the headphone check that goes on, or a new one."""
        going_on = record.headphones and record.headphones[-1].passed is None
        return record.headphones[-1] if going_on else HeadphoneAttempt()

    def _headphones_done(self, record: RaterRecord) -> bool:
        if not record.headphones or record.headphones[-1].passed is None:
            return False
        return record.headphones[-1].passed or (
            len(record.headphones) >= self._study.headphones.attempts
        )
