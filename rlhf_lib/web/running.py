"""A study while it runs: lets raters in, deals tasks, stores what raters send."""

import secrets
import threading
import time
from pathlib import Path
from typing import Any

from rlhf_lib.analysis.audio import Audio, encoded
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.carry_over import CarryOver
from rlhf_lib.feedback.manifest import Manifest
from rlhf_lib.feedback.quality.checks import failed_checks
from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.feedback.validation import utc_now
from rlhf_lib.listening.session import AnnotationSession
from rlhf_lib.paths import resolve
from rlhf_lib.studio.desk import Desk
from rlhf_lib.web import headphones
from rlhf_lib.web.keys import Keys, same
from rlhf_lib.web.pages import Pages, Refused
from rlhf_lib.web.practice import is_right, practice
from rlhf_lib.web.records import RaterRecord, Records, Sitting
from rlhf_lib.web.sounds import StudySounds
from rlhf_lib.web.study import Study

#: Raters who sent nothing for this many s are dropped from memory; what is stored stays.
_IDLE = 3600.0
#: The most raters in memory who have not agreed yet.
_VISITORS = 10_000


class RunningStudy:
    """Takes raters through the pages of a study; one call at a time.

    Parameters
    ----------
    study : Study

    Raises
    ------
    InputError
        When the manifest, a sound or a file of the study cannot be read, or does not fit.
    """

    def __init__(self, study: Study):
        #: The study, its manifest, the store of the answers and the records of the raters.
        self.parts = read_study(study)
        self.study, self._manifest, self._store, self._records = self.parts
        self._store.load()  # a damaged file is named now, not at the first answer
        folder = study_folder(study)
        self.keys = Keys(folder)
        self._audio = resolve(study.manifest).parent
        self.sounds = StudySounds(self._manifest, self._audio, self.keys, study.sound)
        self._pages = Pages(study, self.keys)
        self._practice = practice(self._manifest, study.training_trials)
        self._practice_store = PreferenceStore(folder / "practice")
        self._carry_over = CarryOver(self._manifest, self._store.find_manifest)
        self._visitors: dict[str, RaterRecord] = {}
        self._desks: dict[tuple[str, str], Desk] = {}
        self._names: dict[str, dict[str, Path]] = {}
        self._last_seen: dict[str, float] = {}
        self._lock = threading.RLock()

    def begin(self, sent: dict[str, Any]) -> dict[str, Any]:
        """Let a rater in, by the link or by what the browser kept; return the key and the page.

        Parameters
        ----------
        sent : dict
            ``query`` (parameters of the link), ``rater`` and ``key`` that the browser kept,
            ``language``, and ``simulation``, the key of simulated raters.

        Raises
        ------
        Refused
            When the study is full, by invitation only, or the link is not right.
        """
        with self._lock:
            if sent["simulation"] and not same(sent["simulation"], self.keys.simulation):
                raise Refused("no link")
            rater_id, key = self._who(sent)
            record = self._records.get(rater_id) or self._visitors.get(rater_id)
            languages = self.study.languages
            language = sent["language"] if sent["language"] in languages else languages[0]
            if record is None:
                if len(self._records) >= self.study.most_raters:
                    raise Refused("full")
                names = [name for name in self.study.ids_from_url if name in sent["query"]]
                ids = {name: sent["query"][name] for name in names}
                kind = "simulated" if sent["simulation"] else "human"
                try:
                    record = RaterRecord.new(rater_id, kind, language, ids)
                except InputError:
                    raise Refused("no link") from None
            elif sent["language"] in languages:
                record = record.model_copy(update={"language": language})
            self._keep(record)
            return {"rater": rater_id, "key": key, **self.page(rater_id)}

    def admits(self, rater_id: str, key: str) -> bool:
        """Return whether a key is that of a rater."""
        return same(key, self.keys.of_rater(rater_id))

    def page(self, rater_id: str) -> dict[str, Any]:
        """Return the page that a rater is on, ready for JSON."""
        with self._lock:
            record = self._record(rater_id)
            step = self._pages.step(record)
            page = {"step": step, "language": record.language}
            if step in ("training", "rate"):
                return page | self._screen(record, step)
            return page | self._pages.content(record)

    def fill(self, rater_id: str, step: str, given: dict[str, Any]) -> dict[str, Any]:
        """Take what was filled in on a page and return the next one.

        A page that is no longer on changes nothing.
        """
        with self._lock:
            record = self._record(rater_id)
            if step == self._pages.step(record):
                if step in ("training", "rate"):
                    record = self._finished(record, step)
                elif step == "pause":
                    record = self._next_sitting(record)
                else:
                    record = self._pages.filled(record, given)
                self._keep(record)
            return self.page(rater_id)

    def act(self, rater_id: str, message: dict[str, Any], key: str) -> dict[str, Any]:
        """Do what the annotator asks; return the page, and whether an answer is stored.

        The key becomes the annotation's id, so an answer that comes twice is stored once.

        Raises
        ------
        InputError
            When an answer cannot be stored at the moment: the disk is full, or a notebook has a
            sitting of this rater.
        """
        with self._lock:
            record = self._record(rater_id)
            step = self._pages.step(record)
            store = self._practice_store if step == "training" else self._store
            stored = _holds(store, key)
            if step in ("training", "rate") and not stored:
                try:
                    stored = self._desk(record, step).act(message, key or None)
                except InputError:
                    self._desks.pop((rater_id, step), None)  # the next try begins a new sitting
                    raise
                self._turn_away_if_careless(record)
            return {"stored": stored, **self.page(rater_id)}

    def sound(self, rater_id: str, name: str) -> Path | None:
        """Return the file of a sound by its name for a rater."""
        with self._lock:
            if rater_id not in self._names:
                self._names[rater_id] = self.sounds.names(rater_id)
            return self._names[rater_id].get(name)

    def trial(self, rater_id: str) -> bytes | None:
        """Return the headphone trial that a rater is at, as FLAC; None on other pages."""
        with self._lock:
            record = self._record(rater_id)
            if self._pages.step(record) != "headphones":
                return None
            samples, _ = self._pages.trial(record)
        return encoded(Audio(samples, headphones.RATE), ".flac")

    def _screen(self, record: RaterRecord, step: str) -> dict[str, Any]:
        """Return the annotator's screen, the names of its sounds, and a label to show above it."""
        desk = self._desk(record, step)
        screen = desk.screen() | {"rater": ""}
        notice = ""
        if step == "training":
            screen["minutes_left"] = 0
            if desk.session.past:
                _, latest = desk.session.past[-1]
                notice = "training right" if is_right(latest) else "training wrong"
            if screen["stage"] == "done":
                screen["cover"] = "training last"
        else:
            sitting = self._record(record.rater_id).sittings[-1]
            done = screen["progress"][0] - sitting.before
            screen["progress"] = [done, max(sitting.planned, done)]
        names = {
            serial: {
                side: self.sounds.name(record.rater_id, desk.sound(serial, side)) for side in "OAB"
            }
            for serial in filter(None, (screen["serial"], screen["next"]))
        }
        return {"screen": screen, "sounds": names, "notice": notice}

    def _desk(self, record: RaterRecord, step: str) -> Desk:
        place = record.rater_id, step
        if place in self._desks:
            return self._desks[place]
        if step == "training":
            session = AnnotationSession(
                self._practice,
                self._practice_store,
                record.rater_id,
                record.rater_kind,
                overlap=1.0,
                repeat_share=0.0,
                check_share=0.0,
            )
        else:
            if not record.sittings:
                record = self._next_sitting(record)
                self._keep(record)
            session = self._session(record, record.sittings[-1].before + self._per_sitting)
        self._desks[place] = Desk(
            session,
            self._audio,
            self.keys.secret,
            self.study.tasks.min_seconds,
            maps=self.study.maps,
            both_bad=self.study.both_bad,
        )
        return self._desks[place]

    def _session(self, record: RaterRecord, most_answers: int | None) -> AnnotationSession:
        return AnnotationSession(
            self._manifest,
            self._store,
            record.rater_id,
            record.rater_kind,
            self.study.tasks.seed,
            most_answers=most_answers,
            carry_over=self._carry_over,
            **self.study.tasks.shares,
        )

    @property
    def _per_sitting(self) -> int:
        return self.study.tasks.per_sitting

    def _next_sitting(self, record: RaterRecord) -> RaterRecord:
        done, total = self._session(record, None).progress
        planned = min(total - done, self._per_sitting)
        new = Sitting(started=utc_now(), planned=planned, before=done)
        return record.model_copy(update={"sittings": [*record.sittings, new]})

    def _finished(self, record: RaterRecord, step: str) -> RaterRecord:
        """Return the record after the practice or a sitting, if nothing is left in it."""
        session = self._desk(record, step).session
        if not session.finished:
            return record
        session.close()
        del self._desks[record.rater_id, step]
        if step == "training":
            return record.model_copy(update={"trained": True})
        *before, last = record.sittings
        ended = last.model_copy(update={"ended": utc_now()})
        return record.model_copy(update={"sittings": [*before, ended]})

    def _turn_away_if_careless(self, record: RaterRecord) -> None:
        if self.study.checks.beyond == "end":
            own = [one for one in self._store.current() if one.rater_id == record.rater_id]
            if failed_checks(own).get(record.rater_id, 0) > self.study.checks.allowed:
                self._desks.pop((record.rater_id, "rate"), None)
                self._keep(record.model_copy(update={"turned_away": "too many failed"}))

    def _who(self, sent: dict[str, Any]) -> tuple[str, str]:
        """Return the id and the key of who comes, by the link or by what the browser kept."""
        query = sent["query"]
        if self.study.sign_in == "links":
            linked = query.get("rater", "")
            if linked and self.admits(linked, query.get("key", "")):
                return linked, query["key"]
        else:
            found = [query[name] for name in self.study.ids_from_url if query.get(name)]
            if found:
                return found[0], self.keys.of_rater(found[0])
        if sent["rater"] and self.admits(sent["rater"], sent["key"]):
            return sent["rater"], sent["key"]
        if self.study.sign_in == "links":
            raise Refused("no link")
        rater_id = f"rater_{secrets.token_hex(4)}"
        return rater_id, self.keys.of_rater(rater_id)

    def _record(self, rater_id: str) -> RaterRecord:
        now = time.monotonic()
        self._last_seen[rater_id] = now
        for idle in [one for one, seen in self._last_seen.items() if seen < now - _IDLE]:
            self._forget(idle)
        record = self._records.get(rater_id) or self._visitors.get(rater_id)
        if record is None:
            raise Refused("not there")
        return record

    def _forget(self, rater_id: str) -> None:
        for known in (self._last_seen, self._names, self._visitors):
            known.pop(rater_id, None)
        for step in ("training", "rate"):
            self._desks.pop((rater_id, step), None)

    def _keep(self, record: RaterRecord) -> None:
        """Store a record that changed; before the consent it is kept in memory only."""
        if record.agreed is None and self.study.consent is not None:
            self._visitors[record.rater_id] = record
            while len(self._visitors) > _VISITORS:
                del self._visitors[next(iter(self._visitors))]
            return
        self._visitors.pop(record.rater_id, None)
        if self._records.get(record.rater_id) != record:
            self._records.store(record)


def read_study(study: Study) -> tuple[Study, Manifest, PreferenceStore, Records]:
    """Return what is stored of a study, whether it runs or not."""
    store = PreferenceStore(study.feedback)
    records = Records(study_folder(study) / "raters")
    return study, Manifest.load(resolve(study.manifest)), store, records


def study_folder(study: Study) -> Path:
    """Return the folder of all that a study keeps besides the answers."""
    return PreferenceStore(study.feedback).folder / "study"


def _holds(store: PreferenceStore, key: str) -> bool:
    """Return whether an answer with this id is stored."""
    return bool(key) and any(one.annotation_id == key for one in reversed(store.load()))
