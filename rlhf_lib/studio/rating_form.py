"""What a rater fills in about a pair of edits: the answer, how sure, which faults, notes."""

from collections.abc import Callable

import ipywidgets as widgets

from rlhf_lib.feedback.records import TAGS, Annotation

#: The seven-point row and the answer outside it: what the button says → (choice, strength).
ANSWERS = {
    "A strongly": ("left", 3),
    "A": ("left", 2),
    "A slightly": ("left", 1),
    "Tie": ("tie", 0),
    "B slightly": ("right", 1),
    "B": ("right", 2),
    "B strongly": ("right", 3),
    "Can't tell": ("can't tell", 0),
}
#: What the buttons say → the confidence stored.
CONFIDENCES = {"A guess": 0.25, "Unsure": 0.5, "Fairly sure": 0.75, "Sure": 1.0}

_HINTS = {"Tie": "Both are equally good", "Can't tell": "I cannot judge this pair"}


class RatingForm(widgets.VBox):
    """The fields of one comparison.

    Parameters
    ----------
    on_choice : callable
        Called without arguments whenever the choice changes.
    """

    def __init__(self, on_choice: Callable[[], None]):
        self._on_choice = on_choice
        self.chosen: str | None = None
        self.answers = {text: self._answer_button(text) for text in ANSWERS}
        self.confidence = widgets.ToggleButtons(
            options=list(CONFIDENCES),
            value=None,
            tooltips=[f"How sure I am: {text.lower()}" for text in CONFIDENCES],
            style=widgets.ToggleButtonsStyle(button_width="auto"),
        )
        self.tags = {
            tag: widgets.ToggleButton(
                description=tag,
                tooltip=f"The weaker edit has this fault: {tag}",
                layout=widgets.Layout(width="auto"),
            )
            for tag in TAGS
        }
        self.notes = widgets.Textarea(
            placeholder="Why? (optional)",
            tooltip="Notes on this comparison",
            layout=widgets.Layout(width="auto", height="4.5em"),
        )
        *row, cannot_tell = self.answers.values()
        cannot_tell.layout.flex = "0 0 auto"
        wrapped = widgets.Layout(flex_flow="row wrap")
        super().__init__(
            [
                _field(
                    "Which edit is better?",
                    widgets.HBox(row, layout=wrapped),
                    widgets.HBox([cannot_tell]),
                ),
                _field("How sure are you? (optional)", self.confidence),
                _field(
                    "What is wrong with the weaker one? (optional)",
                    widgets.HBox(list(self.tags.values()), layout=wrapped),
                ),
                self.notes,
            ],
            layout=widgets.Layout(width="100%", grid_gap="8px"),
        )

    @property
    def fields(self) -> dict:
        """What is filled in, as arguments of `AnnotationSession.answer`."""
        choice, strength = ANSWERS[self.chosen]
        return {
            "choice": choice,
            "strength": strength,
            "confidence": CONFIDENCES.get(self.confidence.value),
            "notes": self.notes.value.strip(),
            "tags": [tag for tag, button in self.tags.items() if button.value],
        }

    def fill_in(self, answer: tuple[str, int] | None, earlier: Annotation | None) -> None:
        """Show an earlier answer, (choice, strength) as shown and the rest, or an empty form."""
        self._choose({v: k for k, v in ANSWERS.items()}.get(answer))
        confidence = earlier and earlier.confidence
        self.confidence.value = {v: k for k, v in CONFIDENCES.items()}.get(confidence)
        for tag, button in self.tags.items():
            button.value = bool(earlier) and tag in earlier.tags
        self.notes.value = earlier.reasoning if earlier else ""

    def _answer_button(self, text: str) -> widgets.Button:
        button = widgets.Button(
            description=text,
            tooltip=_HINTS.get(text, f"I prefer {text}"),
            layout=widgets.Layout(flex="1 1 0%", width="auto", min_width="6.5em"),
        )
        button.on_click(lambda _: self._choose(text))
        return button

    def _choose(self, text: str | None) -> None:
        self.chosen = text
        for name, button in self.answers.items():
            button.button_style = "primary" if name == text else ""
        self._on_choice()


def _field(title: str, *content: widgets.Widget) -> widgets.Widget:
    return widgets.VBox([widgets.HTML(f"<p>{title}</p>"), *content])
