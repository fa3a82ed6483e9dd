"""A stranger who takes part in a study, from the link to the end, in any browser page."""

import time

_SHOWS = "document.body.dataset.step === {step!r}"
_PATIENCE = 60.0  # s


def until(page, expression: str) -> None:
    """Wait until an expression is true on the page.

    The page's security policy forbids the evaluation of strings inside the page, which
    Playwright's own `wait_for_function` needs.
    """
    give_up = time.monotonic() + _PATIENCE
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < give_up, expression
        time.sleep(0.05)


def wait_for_step(page, step: str) -> None:
    """Wait until the page of a step is on."""
    until(page, _SHOWS.format(step=step))


def press(page, text: str) -> None:
    """Click the button that shows a text."""
    find = (
        f"[...document.querySelectorAll('button')].find((one) => one.innerText.trim() === {text!r})"
    )
    until(page, f"{find} && !{find}.disabled && !document.querySelector('main').inert")
    page.evaluate(f"{find}.click()")


def walk_to_the_pairs(page, look=lambda name: None) -> None:
    """Consent, instructions, background, level, headphones; `look` is called on each page."""
    wait_for_step(page, "consent")
    look("consent")
    press(page, "I have read this and agree to take part")
    wait_for_step(page, "instructions")
    look("instructions")
    press(page, "Continue")
    wait_for_step(page, "background")
    page.evaluate(
        "const field = document.querySelector('form select'); field.value = field.options[1].value;"
        " document.querySelector('form input').value = '<b>big</b> ones'"
    )
    look("background")
    press(page, "Continue")
    wait_for_step(page, "level")
    look("level")
    press(page, "The level is comfortable")
    wait_for_step(page, "headphones")
    check_headphones(page, look)


def check_headphones(page, look=lambda name: None) -> None:
    """Answer every trial of the headphone check with "First"."""
    trial = 0
    shown = "[...document.querySelectorAll('main p')].map((one) => one.textContent).join()"
    while page.evaluate(_SHOWS.format(step="headphones")):
        press(page, "Play the three sounds")
        until(page, "!document.querySelector('.row button')?.disabled")
        if not trial:
            look("headphones")
        before = page.evaluate(shown)
        press(page, "First")
        until(page, f"({shown}) !== {before!r}")
        trial += 1


def rate_pair(page, key: str = "4") -> None:
    """Listen to both edits of the pair on screen, answer by a key, and save."""
    until(page, "document.querySelectorAll('.rlhf-annotator .side:enabled').length === 3")
    page.evaluate("document.querySelector('.rlhf-annotator').focus()")
    for side in ("a", "b"):
        page.keyboard.press(side)
        until(
            page,
            f"/{side.upper()} (heard|gehört)/.test(document.querySelector('.hint').textContent)"
            " || !document.querySelector('.rlhf-annotator .answer').disabled",
        )
    until(page, "!document.querySelector('.rlhf-annotator .answer').disabled")
    page.keyboard.press(key)
    until(page, "!document.querySelector('.footer .main').disabled")
    before = page.evaluate("document.querySelector('.count').textContent")
    page.keyboard.press("Enter")
    until(page, f"document.querySelector('.count').textContent !== {before!r}")


def finish(page) -> None:
    """Go on from a sitting or a practice in which nothing is left."""
    until(page, "!document.querySelector('.finish').hidden")
    press(page, "Continue")
