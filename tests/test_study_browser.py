"""A study's pages in real browsers: from link to finish code, dead networks, phones, markup."""

import os
import signal
from contextlib import contextmanager

import pytest
import yaml
from browsing import browser_page, free_port, need_browser, started
from firefox import FIREFOX, firefox_page
from stranger import check_headphones, finish, press, rate_pair, until, wait_for_step
from study_material import small_study

from rlhf_lib.feedback.store import PreferenceStore
from rlhf_lib.listening.task_order import presentations
from rlhf_lib.web.keys import Keys

need_browser()

TASKS = {"per_sitting": 3, "overlap": 1.0, "check_share": 0.0, "repeat_share": 0.0}
TASKS |= {"min_seconds": 0.5}
SCREENS = {
    "consent": {"en": "Do you agree?", "de": "Einverstanden?"},
    "instructions": [{"text": "Listen.", "sound": "original"}],
    "background": [{"name": "devices", "text": "What with?"}],
    "level": True,
    "headphones": {"method": "huggins", "trials": 1, "needed": 1, "attempts": 1},
    "training_trials": 1,
}
SOUNDS = "document.querySelectorAll('.rlhf-annotator .side:enabled').length === 3"
COUNT = "document.querySelector('.rlhf-annotator .count').textContent"


class Site:
    """A study on a server of its own, which can be killed and started again."""

    def __init__(self, folder, **changes):
        self.folder, self.port = folder, free_port()
        self.study = small_study(folder, tasks=TASKS, both_bad=True, **changes)
        self.file = folder / "study.yaml"
        self.file.write_text(yaml.safe_dump(self.study.model_dump(exclude_none=True)))
        self.start()

    def start(self):
        command = ("rlhf_lib", "serve_study", str(self.file), "--port", "{port}")
        self.process = started(self.folder, self.port, *command)

    def kill(self):
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def address(self, rater, path="/"):
        return f"http://127.0.0.1:{self.port}{path}?PROLIFIC_PID={rater}"

    def answers(self, rater):
        stored = PreferenceStore(self.folder / "feedback").load()
        return [answer for answer in stored if answer.rater_id == rater]


@contextmanager
def running(folder, **changes):
    site = Site(folder, **changes)
    try:
        yield site
    finally:
        site.process.terminate()
        site.process.wait()


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    """A study with all screens."""
    with running(tmp_path_factory.mktemp("strangers"), **SCREENS) as site:
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A study that begins with the comparisons."""
    with running(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def page():
    with browser_page(recording=False) as page:
        yield page


def open_pairs(page, site, rater):
    page.goto(site.address(rater))
    wait_for_step(page, "rate")
    until(page, SOUNDS)


def answer_and_save(page):
    """Answer the pair on screen, without waiting for the next one."""
    page.evaluate("document.querySelector('.rlhf-annotator').focus()")
    for key in "ab":
        page.keyboard.press(key)
        page.wait_for_timeout(900)
    until(page, "!document.querySelector('.rlhf-annotator .answer').disabled")
    page.keyboard.press("2")
    page.keyboard.press("Enter")


#: Where a run must test in browsers, the test fails without Firefox.
WITHOUT_FIREFOX = pytest.mark.skipif(
    not FIREFOX and not os.environ.get("RLHF_NEEDS_BROWSER"),
    reason="no Firefox found: install it (Debian: apt install firefox-esr) or name it in $FIREFOX",
)


@pytest.mark.parametrize("browser", ["chromium", pytest.param("firefox", marks=WITHOUT_FIREFOX)])
def test_a_stranger_goes_from_link_to_finish_code(strangers, browser):
    rater = f"stranger_{browser}"
    with browser_page(recording=False) if browser == "chromium" else firefox_page() as page:
        page.goto(strangers.address(rater) + "&lang=en")
        wait_for_step(page, "consent")
        assert page.evaluate("document.querySelector('main p').textContent") == "Do you agree?"
        press(page, "I have read this and agree to take part")
        wait_for_step(page, "instructions")
        press(page, "Continue")
        wait_for_step(page, "background")
        page.evaluate("document.querySelector('form input').value = '<b>big</b> ones'")
        press(page, "Continue")
        wait_for_step(page, "level")
        press(page, "The level is comfortable")
        wait_for_step(page, "headphones")
        check_headphones(page)
        wait_for_step(page, "training")
        rate_pair(page, "1")
        until(page, "/chopped/.test(document.querySelector('.notice').textContent)")
        finish(page)
        wait_for_step(page, "rate")
        for key in ("2", "9", "0"):
            rate_pair(page, key)
        finish(page)
        wait_for_step(page, "end")
        assert page.evaluate("document.querySelector('#code').textContent") == "C0DE"
    answers = strangers.answers(rater)
    shares = {name: value for name, value in TASKS.items() if name.endswith("share")}
    plan = presentations_of(strangers, rater, overlap=1.0, **shares)[:3]
    assert [a.task_id for a in answers] == [item.task.task_id for item in plan]
    assert [a.shown_first for a in answers] == [item.shown_first for item in plan]
    assert [(a.strength, a.tags, a.cant_tell) for a in answers] == [
        (2, [], False),
        (0, ["both bad"], False),
        (0, [], True),
    ]
    assert answers[0].preference == answers[0].shown_first
    assert all(0.5 <= answer.listening.seconds_a < 20 for answer in answers)


def presentations_of(site, rater, **shares):
    manifest = PreferenceStore(site.folder / "feedback").manifests()
    ours = [one for one in manifest.values() if len(one.tasks) == 9]
    return presentations(ours[0], rater, **shares)


def test_an_answer_waits_for_a_killed_server(site, page):
    open_pairs(page, site, "anna")
    site.kill()
    answer_and_save(page)
    until(page, "/No connection/.test(document.querySelector('#message').textContent)")
    assert site.answers("anna") == []
    site.start()
    until(page, f"{COUNT}.startsWith('1 of 3')")
    assert len(site.answers("anna")) == 1
    until(page, SOUNDS)
    rate_pair(page)
    assert len(site.answers("anna")) == 2


def test_an_answer_survives_a_closed_tab(site, page):
    open_pairs(page, site, "bert")
    page.route("**/act", lambda route: route.abort())
    answer_and_save(page)
    until(page, "JSON.parse(localStorage['rlhf-study']).pending?.path === '/act'")
    page.goto("about:blank")
    page.unroute("**/act")
    assert site.answers("bert") == []
    page.goto(site.address("bert"))
    until(page, f"document.querySelector('.count') && {COUNT}.startsWith('1 of 3')")
    assert len(site.answers("bert")) == 1
    assert page.evaluate("JSON.parse(localStorage['rlhf-study']).pending") is None


def test_an_answer_whose_receipt_was_lost_is_stored_once(site, page):
    open_pairs(page, site, "carl")
    lost = []

    def lose_the_first(route):
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch())  # it reaches the server, its response not the page
            route.abort()

    page.route("**/act", lose_the_first)
    answer_and_save(page)
    until(page, f"{COUNT}.startsWith('1 of 3')")
    assert len(site.answers("carl")) == 1


def test_a_sound_that_does_not_play_can_be_passed(site, page):
    page.route("**/sound/*", lambda route: route.abort())
    page.goto(site.address("dora"))
    until(page, "document.querySelector('.footer .message.error')")
    message = page.evaluate("document.querySelector('.footer .message').textContent")
    assert "Try again, or skip this pair" in message
    page.unroute("**/sound/*")
    press(page, "Skip this pair")
    until(page, f"{COUNT}.startsWith('1 of 3')")
    (answer,) = site.answers("dora")
    assert (answer.tags, answer.cant_tell) == (["sound did not play"], True)
    until(page, SOUNDS)


def test_what_is_still_to_be_heard_is_counted(site, page):
    open_pairs(page, site, "emil")
    hint = "document.querySelector('.hint').textContent"
    assert page.evaluate(hint).endswith("A 0 of 1 s, B 0 of 1 s")
    page.evaluate("document.querySelector('.rlhf-annotator').focus()")
    page.keyboard.press("b")
    until(page, f"{hint}.endsWith('A 0 of 1 s, B heard')")
    # Neither maps nor places give the lengths away.
    assert page.evaluate(
        "[...document.querySelectorAll('.map path')].every((p) => !p.getAttribute('d'))"
    )
    assert page.evaluate("document.querySelector('.place').hidden")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone(strangers, scheme):
    options = {"color_scheme": scheme, "has_touch": True, "is_mobile": True}
    with browser_page(390, 780, recording=False, **options) as page:
        page.goto(strangers.address(f"phone_{scheme}") + "&lang=de")
        narrow = "document.documentElement.scrollWidth <= 390"
        wait_for_step(page, "consent")
        assert page.evaluate(narrow)
        press(page, "Ich habe das gelesen und bin einverstanden")
        for step, button in (
            ("instructions", "Weiter"),
            ("background", "Weiter"),
            ("level", "Die Lautstärke ist angenehm"),
        ):
            wait_for_step(page, step)
            assert page.evaluate(narrow), step
            press(page, button)
        wait_for_step(page, "headphones")
        press(page, "Die drei Klänge abspielen")
        press(page, "Zweiter")
        wait_for_step(page, "training")
        until(page, SOUNDS)
        assert page.evaluate(narrow)
        small = page.evaluate(
            "[...document.querySelectorAll('.rlhf-annotator button')].filter((one) => "
            "one.offsetParent && one.getBoundingClientRect().height < 40).length"
        )
        assert small == 0
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == {"light": "rgb(246, 247, 249)", "dark": "rgb(17, 20, 24)"}[scheme]


def test_a_chosen_language_is_kept(strangers, page):
    page.goto(strangers.address("ida") + "&lang=en")
    wait_for_step(page, "consent")
    page.get_by_label("Language").select_option("de")
    until(page, "document.querySelector('main p').textContent === 'Einverstanden?'")
    page.reload()
    until(page, "document.documentElement.lang === 'de'")


def test_every_control_has_a_name_and_the_keys_suffice(site, page):
    open_pairs(page, site, "fred")
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, textarea, select, progress, [role=slider]')]"
        ".filter((one) => !one.getAttribute('aria-label') && !one.labels?.length && !one.innerText)"
        ".map((one) => one.outerHTML)"
    )
    assert unnamed == []
    rate_pair(page, "6")
    page.keyboard.press("u")
    until(page, "!document.querySelector('.footer button:nth-of-type(2)').hidden")
    answers = site.answers("fred")
    assert [a.strength for a in answers] == [2]


def test_notes_and_names_are_no_markup(site, page):
    open_pairs(page, site, "gina")
    page.get_by_label("Notes on this comparison").fill("<img src=x onerror=alert(1)>")
    answer_and_save(page)
    until(page, f"{COUNT}.startsWith('1 of 3')")
    page.keyboard.press("u")
    until(page, "document.querySelector('textarea').value === '<img src=x onerror=alert(1)>'")
    page.goto(site.address("%3Cimg%20src%3Dx%3E"))
    until(page, f"document.querySelector('.count') && {COUNT}.startsWith('0 of 3')")
    key = Keys(site.folder / "feedback/study").coordinator
    page.goto(f"http://127.0.0.1:{site.port}/coordinator#{key}")
    until(page, "document.querySelector('tbody').textContent.includes('<img src=x>')")
    assert page.evaluate("document.images.length") == 0
    summary = page.evaluate("document.querySelector('#summary').textContent")
    assert "pairs have an answer" in summary
    with page.expect_download() as waiting:
        page.get_by_role("button", name="answers.csv").click()
    assert "gina" in waiting.value.path().read_text(encoding="utf-8-sig")


def test_nothing_is_loaded_from_elsewhere_and_the_policy_holds(site, page):
    elsewhere, complaints = [], []
    here = f"127.0.0.1:{site.port}"
    page.on("request", lambda r: here in r.url or r.url.startswith("data:") or elsewhere.append(r))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_pairs(page, site, "hans")
    rate_pair(page)
    assert (elsewhere, complaints) == ([], [])
