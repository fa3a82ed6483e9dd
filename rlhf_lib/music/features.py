"""The 125 numbers of a beat: their table, and how to get them from audio."""

from rlhf_lib.music.feature_names import FEATURE_GROUPS, FEATURE_NAMES, FEATURE_TABLE, N_FEATURES

__all__ = ["FEATURE_GROUPS", "FEATURE_NAMES", "FEATURE_TABLE", "N_FEATURES"]
