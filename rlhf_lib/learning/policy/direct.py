"""Direct preference optimisation (Rafailov et al., 2023) over plans: a baseline without a reward.

The distribution over plans (`policy.stage`) that PPO trains on a reward model is trained here on
the answers themselves. Both plans of a question are drawn from it, so that it knows how likely it
makes each.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from rlhf_lib.analysis.song import Song
from rlhf_lib.editing.edit import Edit
from rlhf_lib.errors import InputError
from rlhf_lib.feedback.annotation import VOTE_FOR_A
from rlhf_lib.learning.planning.search import whole_edits
from rlhf_lib.learning.policy.plan_network import PlanNetwork
from rlhf_lib.learning.policy.policy import CUTTING_TARGETS, Policy
from rlhf_lib.learning.policy.stage import situations
from rlhf_lib.raters.rater import Rater

#: Pairs that are drawn for a question until two edits differ.
_DRAWS = 10


@dataclass(frozen=True)
class DirectTraining:
    """Hyper-parameters, chosen on validation songs (docs/results.md).

    Attributes
    ----------
    beta : float
        How strongly the start is kept to; the β of the paper.
    steps : int
        Passes over all answers.
    lr : float
        Adam's learning rate.
    """

    beta: float = 0.3
    steps: int = 30
    lr: float = 1e-2


@dataclass
class PlanPairs:
    """B pairs of drawn plans, each of one song and one length.

    Attributes
    ----------
    situations : (B, 6) float32
    numbers : (B, 2, N_PLAN) float32
        Plan numbers of both.
    edits : list of (Edit, Edit)
    """

    situations: torch.Tensor
    numbers: torch.Tensor
    edits: list[tuple[Edit, Edit]]


@torch.no_grad()
def draw_pairs(
    network: PlanNetwork,
    songs: Sequence[Song],
    count: int,
    generator: torch.Generator,
    targets: Sequence[float] = CUTTING_TARGETS,
) -> PlanPairs:
    """Draw songs, lengths, and two plans for each; a pair of equal edits is drawn again."""
    device, rows = generator.device, []
    for _ in tqdm(range(count), "drawing pairs", unit="pair", leave=False):
        for _ in range(_DRAWS):
            place, goal = (
                int(torch.randint(len(of), (), generator=generator, device=device))
                for of in (songs, targets)
            )
            x = torch.from_numpy(situations([songs[place]], [targets[goal]])).to(device)
            over = network(x)
            noise = torch.randn(2, over.mean.shape[1], generator=generator, device=device)
            numbers = over.mean + over.stddev * noise
            drawn = network.stage.plan_weights(numbers.double().cpu().numpy())
            a, b = whole_edits(songs[place], drawn, targets[goal])
            if not np.array_equal(a.actions, b.actions):
                break
        rows.append((x, numbers, (a, b)))
    x, numbers, edits = zip(*rows, strict=True)
    return PlanPairs(torch.cat(x), torch.stack(numbers), list(edits))


def direct_child(
    policy: Policy, songs: Sequence[Song], rater: Rater, count: int, seed: int = 0
) -> tuple[Policy, list[float]]:
    """Return a child of a policy that is trained on a rater's answers to draws of its own.

    Its distribution over plans starts anew around the plan under the policy's own reward.

    Parameters
    ----------
    songs : sequence of Song
        Of the draws.
    rater : Rater
        Compares `count` pairs of drawn edits.
    seed : int
        Of the network and the draws.

    Returns
    -------
    child : Policy
    losses : list of float
        The loss before each step, nats per answer.
    """
    child = policy.child(policy.last.reward())
    network = PlanNetwork.of(child, seed)
    pairs = draw_pairs(network, songs, count, torch.Generator().manual_seed(seed))
    votes = [VOTE_FOR_A[rater.compare(a.song, a, b).preference] for a, b in pairs.edits]
    return child, train_directly(network, pairs, votes)


def direct_loss(
    network: PlanNetwork,
    start: PlanNetwork,
    pairs: PlanPairs,
    preferences: torch.Tensor,
    beta: float,
) -> torch.Tensor:
    """Return the loss of each answer in nats, (B,).

    −log σ(β (r(winner) − r(loser))), where r is log π − log π of the start; a tie counts half for
    each side.
    """

    def log_probs(of: PlanNetwork) -> torch.Tensor:
        over = of(pairs.situations)
        each = torch.distributions.Normal(over.mean[:, None], over.stddev[:, None])
        return each.log_prob(pairs.numbers).sum(-1)

    with torch.no_grad():
        before = log_probs(start)
    gains = log_probs(network) - before
    gap = beta * (gains[:, 0] - gains[:, 1])
    return F.binary_cross_entropy_with_logits(gap, preferences, reduction="none")


def train_directly(
    network: PlanNetwork,
    pairs: PlanPairs,
    preferences: Sequence[float],
    training: DirectTraining | None = None,
) -> list[float]:
    """Train a stage on answers about its own draws; return the loss before each step.

    Parameters
    ----------
    network : PlanNetwork
        Of the stage.
    preferences : sequence of float
        1, ½ or 0 for each pair: the first edit is preferred, neither, the second.

    Raises
    ------
    InputError
        When the numbers of pairs and answers differ, or are 0.
    """
    training = training or DirectTraining()
    if not len(pairs.edits) or len(preferences) != len(pairs.edits):
        raise InputError(
            f"{len(preferences)} answers for {len(pairs.edits)} pairs; give one for each, and at "
            "least one"
        )
    start = copy.deepcopy(network).requires_grad_(False)
    given = torch.tensor(preferences, dtype=torch.float32, device=pairs.numbers.device)
    optimizer = torch.optim.Adam(network.parameters(), lr=training.lr, eps=1e-5)
    losses = []
    for _ in range(training.steps):
        loss = direct_loss(network, start, pairs, given, training.beta).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        network.keep_in_bounds()
        losses.append(loss.item())
    network.store()
    return losses
