"""Music retargeting: edit songs beat by beat as people prefer, learned from their comparisons."""

__version__ = "0.1.0"
