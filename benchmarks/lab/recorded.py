"""The material of `real_songs.py`: edits of recorded songs, and how raters from outside like them.

Every song is tested by models fitted on the other half of the songs, and every half by the other.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from lab.material import AGREEMENT, SIZES, Material, utilities
from rlhf_lib.analysis.song import Song, load_songs
from rlhf_lib.editing.descriptors import N_ADDITIVE
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.learning.planning.constraints import Constraints
from rlhf_lib.learning.planning.plans import exact, plans
from rlhf_lib.learning.planning.search import alternatives
from rlhf_lib.learning.planning.stretch import stretches
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy
from rlhf_lib.learning.policy.shorten import shorten, sparing_singing
from rlhf_lib.learning.reward.comparisons import Comparison
from rlhf_lib.learning.reward.pair_data import PairData
from rlhf_lib.learning.reward.synthetic import SYNTHETIC_WEIGHTS, random_cuts
from rlhf_lib.paths import atomic_path, resolve
from rlhf_lib.raters.lyrics import line_table, sung_file
from rlhf_lib.raters.outside import OUTSIDE_TASTES, judges
from rlhf_lib.raters.simulated import noise_for_agreement
from rlhf_lib.steps.candidates import candidate_edits
from rlhf_lib.steps.checkpoints import load_policy, load_reward_model

V8, V14 = "models/reward_model_v8.pt", "models/policy_v14.pt"
#: Candidates of each song; plans of each song and length among which the ceiling is searched.
CANDIDATES, POOL = 25, 6
#: Draws of random bar cuts for each edit of v14.
DRAWS = 8
#: Weight of the true lines in the reward of v14 that knows them.
LINES_WEIGHT = 1.0
#: The policies that know the true lines.
LINES = ("v14 and lines", "lines alone")
#: v14 with the song's own beginning and end, as `edit_song` uses it: alone, and sparing singing.
WITH_ENDS = ("with ends", "sparing singing")


@dataclass
class Recorded:
    """Songs, their edits, and the utility of each edit.

    Attributes
    ----------
    songs : list of Song
    edits : list of dict
        For each song: name of a policy → its edits. `candidates` are those that raters compare;
        the others have one edit for each length (`random` DRAWS, `pool` POOL of them, length by
        length).
    utility : list of dict
        For each song: (taste, policy) → (n_edits,) array, for the tastes that can judge it.
    pairs : (n_pairs, 3) int array
        Song, and the two candidates: all pairs of different edits of one length.
    data : PairData
        The differences of these pairs.
    """

    songs: list[Song]
    edits: list[dict[str, list[Edit]]]
    utility: list[dict[tuple[str, str], np.ndarray]]
    pairs: np.ndarray
    data: PairData

    def judged(self, taste: str) -> list[int]:
        """Return the places of the songs that a taste can judge."""
        return [k for k, song in enumerate(self.songs) if judges(taste, song)]

    def gaps(self, taste: str, places: np.ndarray) -> np.ndarray:
        """Return the utility difference of the pairs at `places`."""
        liked = [self.utility[k][taste, "candidates"][[i, j]] for k, i, j in self.pairs[places]]
        return np.subtract(*np.reshape(liked, (-1, 2)).T)

    def best(self, taste: str, song: int, target: float) -> float:
        """Return the highest known utility of an edit of a song to a length."""
        return max(
            utility
            for (name, policy), values in self.utility[song].items()
            if name == taste
            for edit, utility in zip(self.edits[song][policy], values, strict=True)
            if edit.target == target
        )


def prepare_recorded(folder: Path, output_dir: Path, jobs: int) -> Recorded:
    """Return the material; cached in `output_dir`.

    Raises
    ------
    InputError
        When there are fewer than 4 songs.
    """
    cache = output_dir / "recorded.pickle"
    if not cache.is_file():
        songs, skipped = load_songs(folder)
        for skip in skipped:
            print(f"skipped: {skip.path.name}, {skip.reason}")
        if len(songs) < 4:
            raise InputError(f"{folder} holds {len(songs)} songs; at least 4 are needed")
        edits = _edits(songs)
        utility = Parallel(jobs)(delayed(_utility)(each) for each in edits)
        pairs = [
            (k, i, j) for k, each in enumerate(edits) for i, j in equal_pairs(each["candidates"])
        ]
        compared = [
            Comparison(edits[k]["candidates"][i], edits[k]["candidates"][j], 0.5)
            for k, i, j in pairs
        ]
        data = PairData(compared, load_reward_model(resolve(V8))[0])
        with atomic_path(cache) as part:
            part.write_bytes(pickle.dumps(Recorded(songs, edits, utility, np.array(pairs), data)))
    return pickle.loads(cache.read_bytes())


def _edits(songs: list[Song]) -> list[dict[str, list[Edit]]]:
    policy, _ = load_policy(resolve(V14))
    additive = policy.weights[:N_ADDITIVE]
    candidates = candidate_edits(policy, songs, CANDIDATES, 0)
    own, rng = policy.edits(songs), np.random.default_rng(0)
    pool = alternatives(songs, SYNTHETIC_WEIGHTS, CUTTING_TARGETS, POOL, 1.0, rng)
    rng, out = np.random.default_rng(0), []
    for k, song in enumerate(songs):
        ours = own[k * len(CUTTING_TARGETS) :][: len(CUTTING_TARGETS)]
        edits = {
            "candidates": [one.edit for one in candidates[k]],
            "v14": ours,
            "random": [
                random_cuts(song, e.target, max(1, len(e.seams)), rng)
                for e in ours
                for _ in range(DRAWS)
            ],
            "pool": [edit for target in CUTTING_TARGETS for edit in pool[song.sha256][target]],
            **{
                name: _with_ends(song, one)
                for name, one in zip(WITH_ENDS, (policy, sparing_singing(policy)), strict=True)
            },
        }
        if sung_file(song).is_file():
            table = line_table(song)
            both, alone = (additive, LINES_WEIGHT * table), (np.zeros(N_ADDITIVE), table)
            edits |= {
                name: _planned(song, *reward)
                for name, reward in zip(LINES, (both, alone), strict=True)
            }
        out.append(edits)
    return out


def _with_ends(song: Song, policy: Policy) -> list[Edit]:
    """Return the edits that `edit_song` makes with a policy, one for each length."""
    ends = Constraints(song, must_start=True, must_end=True)
    return [shorten(policy, ends, target)[0] for target in CUTTING_TARGETS]


def _planned(song: Song, weights: np.ndarray, extra: np.ndarray) -> list[Edit]:
    """Return the exact optimum under additive weights and a table of steps, for each length."""
    parts = [
        stretch.actions(plans(stretch, exact(weights), CUTTING_TARGETS, table)[0])
        for stretch in stretches(song)
        for table in [extra[np.ix_(*stretch.steps)]]
    ]
    rows = np.concatenate(parts, axis=1)
    return [Edit(song, row, target) for row, target in zip(rows, CUTTING_TARGETS, strict=True)]


def _utility(edits: dict[str, list[Edit]]) -> dict[tuple[str, str], np.ndarray]:
    song = edits["v14"][0].song
    judged = ("candidates", "v14", "pool", *WITH_ENDS)
    return {
        (name, policy): utilities(name, edits[policy])
        for name in OUTSIDE_TASTES
        if judges(name, song)
        for policy in (*judged, *(LINES if name == "lyrics" else ()))
    }


def equal_pairs(edits: Sequence[Edit]) -> list[tuple[int, int]]:
    """Return the pairs of different edits of one length."""
    return [
        (i, j)
        for i, j in combinations(range(len(edits)), 2)
        if edits[i].target == edits[j].target
        and not np.array_equal(edits[i].actions, edits[j].actions)
    ]


def halves(recorded: Recorded, taste: str) -> list[Material]:
    """Return the two halves of the songs that a taste can judge, each once to learn from."""
    places = np.random.default_rng(0).permutation(recorded.judged(taste))
    parts = [_part(recorded, taste, np.sort(places[start::2])) for start in (0, 1)]
    return [
        Material(
            SIZES["full"],
            songs={"train": train[0], "test": test[0]},
            pairs={"train": train[1], "test": test[1]},
            pair_data={"train": train[2], "test": test[2]},
            utility={taste: {"train": train[3], "test": test[3]}},
            noise={taste: noise_for_agreement(train[3], AGREEMENT)},
            v8_path=resolve(V8),
            v14_path=resolve(V14),
        )
        for train, test in (parts, parts[::-1])
    ]


def _part(recorded: Recorded, taste: str, songs: np.ndarray) -> tuple:
    """Return songs, pairs, their data, and the utility difference of each pair."""
    places = np.flatnonzero(np.isin(recorded.pairs[:, 0], songs))
    pairs = [
        (recorded.edits[k]["candidates"][i], recorded.edits[k]["candidates"][j])
        for k, i, j in recorded.pairs[places]
    ]
    unanswered = np.zeros(len(places))
    data = recorded.data.answered(places, unanswered, unanswered)
    return [recorded.songs[k] for k in songs], pairs, data, recorded.gaps(taste, places)
