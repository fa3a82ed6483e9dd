"""The study file: what it accepts and what it refuses, its texts and labels."""

import re
from pathlib import Path

import pytest
import yaml

from rlhf_lib.errors import InputError
from rlhf_lib.web.study import SHIPPED, Study, all_labels, in_language

WEB = Path(__file__).resolve().parent.parent / "rlhf_lib/web"
EXAMPLE = WEB / "example_study.yaml"


def places(labels, start=""):
    if not isinstance(labels, dict):
        return {start}
    return {one for name, value in labels.items() for one in places(value, f"{start}/{name}")}


def load(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return Study.load(path)


def changed(tmp_path, **changes):
    return load(tmp_path, yaml.safe_dump(yaml.safe_load(EXAMPLE.read_text("utf-8")) | changes))


def test_the_example_has_every_field_and_every_text():
    study = Study.load(EXAMPLE)
    fields = yaml.safe_load(EXAMPLE.read_text("utf-8")).keys()
    assert Study.model_fields.keys() - fields == {"labels"}
    for _, text in study.texts():
        assert {in_language(text, language) for language in study.languages} - {""}


def test_every_label_is_in_every_language_with_the_same_gaps():
    english, german = (all_labels(language) for language in SHIPPED)
    assert places(english) == places(german)

    def gaps(labels):
        if isinstance(labels, str):
            return set(re.findall(r"\{\w+\}", labels))
        values = labels.values() if isinstance(labels, dict) else labels
        return {gap for value in values for gap in gaps(value)}

    for name in english:
        assert gaps(english[name]) == gaps(german[name]), name


def test_labels_speak_to_raters():
    """Raters know no kernel, no cell and no log."""

    def texts(labels):
        if isinstance(labels, str):
            yield labels
        else:
            for value in labels.values() if isinstance(labels, dict) else labels:
                yield from texts(value)

    for language in SHIPPED:
        for text in texts(all_labels(language)):
            assert not re.search(r"\b(kernel|cell|log|zelle|notebook|server)\b", text, re.I), text


def test_every_label_is_shown_by_some_page():
    code = "".join(
        path.read_text("utf-8")
        for folder in (WEB / "page", WEB, WEB.parent / "studio")
        for path in folder.iterdir()
        if path.suffix in (".js", ".py")
    )
    labels = all_labels("en")
    for name in labels | labels["annotator"]:
        assert re.search(rf"[\"'.]{re.escape(name)}\b|\b{re.escape(name)}\b\"?:", code), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"titel": "x"}, "'titel'.* is not a known field"),
        ({"title": {"en": "x"}}, "title lacks a text in de; add it"),
        ({"end": {"text": {"en": "x"}}}, r"end\.text lacks a text in de"),
        ({"sign_in": "password"}, "sign_in.*'password'"),
        ({"tasks": {"overlap": 2}}, r"tasks\.overlap"),
        ({"tasks": {"per_sitting": 0}}, r"tasks\.per_sitting"),
        ({"headphones": {"method": "huggins", "trials": 3, "needed": 4}}, "4 right answers of 3"),
        ({"headphones": {"method": "beats"}}, r"headphones\.method.*'beats'"),
        ({"end": {"text": "x", "redirect": "javascript:alert(1)"}}, r"end\.redirect"),
        ({"ids_from_url": ["a b"]}, "ids_from_url"),
        ({"background": [{"name": "a", "text": "x"}] * 2}, "share a name"),
        ({"languages": ["fr"]}, "lacks a text in fr"),
        ({"labels": {"en": {"colour": "x"}}}, r"labels\.en has colour, which no page shows"),
        ({"most_raters": float("nan")}, "most_raters"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        changed(tmp_path, **changes)


@pytest.mark.parametrize(
    "text", ["", "- 1", "title: [", "\x00", "1: 2", "a: !!python/name:os.system"]
)
def test_what_is_no_study_is_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"study\.yaml"):
        load(tmp_path, text)


def test_another_language_needs_every_label(tmp_path):
    french = {"title": "Titre", "languages": ["fr"], "end": {"text": "Merci"}}
    with pytest.raises(InputError, match=r"labels\.fr lacks .*; translate all"):
        load(tmp_path, yaml.safe_dump(french))
    study = load(tmp_path, yaml.safe_dump(french | {"labels": {"fr": all_labels("en")}}))
    assert study.page_labels("fr") == all_labels("en")


def test_own_labels_replace_those_that_ship(tmp_path):
    study = changed(tmp_path, labels={"en": {"annotator": {"sides": {"O": "The song"}}}})
    labels = study.page_labels("en")
    assert labels["annotator"]["sides"] == {"O": "The song", "A": "A", "B": "B"}
    assert labels["continue"] == all_labels("en")["continue"]
