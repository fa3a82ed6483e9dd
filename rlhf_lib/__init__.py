"""Learn how people like their music edited: beat-level edits, preferences, RLHF."""

__version__ = "0.1.0"
