"""Numbers made of ratings: those that the papers print, and what must hold of all."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.rubrics.measures.bias import Evenness, evenness, mean_evenness
from curate.rubrics.measures.both_orders import both_orders_loss
from curate.rubrics.measures.captions import clip_s, length_term, refclip_s
from curate.rubrics.measures.confidence import elliptical_weight, listener_reward, uncertainty_weight
from curate.rubrics.measures.magicmirror import fault_reward
from curate.rubrics.measures.moments import TaskMoments
from curate.rubrics.measures.srum import Box, reward_map
from curate.rubrics.measures.thurstone import comparative_probabilities, fidelity, preference, ranking_rewards

FIRST = (3.0, 3.2, 3.1, 2.9, 3.3, 3.1)
SECOND = (2.5, 2.7, 2.6, 2.4, 2.8, 2.6)


def close(expected: object, places: float = 1e-5) -> object:
    return pytest.approx(expected, abs=places)


def test_thurstone_as_printed() -> None:
    probabilities = comparative_probabilities(FIRST, SECOND)
    assert probabilities == close((0.977249, 0.99865, 0.99379, 0.93319, 0.999767, 0.99379))
    better = [fidelity(probability, 1) for probability in probabilities]
    assert better == close([0.989559, 1.000325, 0.997891, 0.967018, 1.000884, 0.997891])
    equal = [fidelity(probability, 0.5) for probability in probabilities]
    assert equal == close([0.805679, 0.732631, 0.760641, 0.865851, 0.717857, 0.760641])


def test_rewards_of_a_batch_are_means_over_the_others() -> None:
    third = (1.0, 1.1, 0.9)
    first, second, _ = ranking_rewards([FIRST, SECOND, third], [3.0, 2.0, 1.0])
    with_second = [fidelity(one, 1) for one in comparative_probabilities(FIRST, SECOND)]
    with_third = [fidelity(one, 1) for one in comparative_probabilities(FIRST, third)]
    assert first == close([(one + other) / 2 for one, other in zip(with_second, with_third, strict=True)])
    assert len(second) == len(SECOND)


def test_thurstone_needs_two_ratings_and_two_pictures() -> None:
    with pytest.raises(statistics.StatisticsError):
        comparative_probabilities([3.0], SECOND)
    with pytest.raises(ValueError, match="two or more"):
        ranking_rewards([FIRST], [3.0])
    with pytest.raises(ValueError, match="both need the same"):
        ranking_rewards([FIRST, SECOND], [3.0])


RATINGS = st.lists(st.floats(1, 5), min_size=2, max_size=6)


@settings(derandomize=True)
@given(RATINGS, RATINGS)
def test_thurstone_is_even_handed(ratings: list[float], others: list[float]) -> None:
    probabilities = comparative_probabilities(ratings, others)
    assert all(0 <= one <= 1 for one in probabilities)
    turned = comparative_probabilities([6 - one for one in ratings], [6 - one for one in others])
    assert [1 - one for one in turned] == pytest.approx(list(probabilities), abs=1e-6)
    assert preference(ratings[0], others[0]) + preference(others[0], ratings[0]) == 1


def test_faults_as_printed() -> None:
    assert fault_reward({"A": ["x", "y"], "B": []}, {"A": ["x"], "C": ["z"]}) == close(12.0)
    assert fault_reward({"A": ["x", "y"]}, {"A": ["x"]}) == close(14.3)


@pytest.mark.parametrize(
    ("truth", "said", "reward"),
    [
        ({}, None, 0.0),
        ({"A": ["x"]}, None, 0.0),
        ({}, {}, 12.0),
        ({}, {"A": ["x"]}, 8.0),
        ({"A": ["x"]}, {}, 8.0),
        ({"A": ["x"]}, {"A": ["x"]}, 15.0),
        ({"A": ["x"]}, {"A": ["y"]}, 14.0),
        ({"A": ["x", "y"], "B": []}, {"A": ["y", "x"], "B": []}, 15.0),
        ({"B": []}, {"B": []}, 14.0),
        ({"A": ["x"], "B": []}, {"A": ["x"]}, 13.6),
    ],
)
def test_faults(truth: dict[str, list[str]], said: dict[str, list[str]] | None, reward: float) -> None:
    assert fault_reward(truth, said) == close(reward)


FAULTS = st.dictionaries(st.sampled_from("ABC"), st.sets(st.sampled_from("xyz")), max_size=3)


@settings(derandomize=True)
@given(FAULTS, FAULTS)
def test_nothing_is_better_than_the_truth(truth: dict[str, set[str]], said: dict[str, set[str]]) -> None:
    assert 8 <= fault_reward(truth, said) <= fault_reward(truth, truth) <= 15


BOXES: list[Box] = [(0, 0, 2, 2), (2, 2, 4, 4)]


def test_reward_maps_as_printed() -> None:
    assigned = reward_map(BOXES, [1, -1], layout=0.5, width=4, height=5)
    assert assigned.shape == (5, 4)
    assert assigned.dtype == np.float32
    assert [assigned[0, 0], assigned[3, 3], assigned[0, 3]] == close([0.75, 0, 0.375])
    released = reward_map(BOXES, [1, -1], layout=0.5, width=4, height=5, mode="max")
    assert [released[0, 0], released[3, 3], released[0, 3]] == close([0.75, 0.375, 0.375])


def test_where_regions_overlap_the_highest_counts() -> None:
    boxes: list[Box] = [(0, 0, 3, 3), (1, 1, 4, 4)]
    for order in (1, -1):
        weights = reward_map(boxes[::order], [-0.5, -1][::order], layout=1, width=4, height=4)
        assert [weights[0, 0], weights[1, 1], weights[3, 3], weights[0, 3]] == close([0.25, 0.25, 0, 0.5])


def test_boxes_are_cut_at_the_borders() -> None:
    weights = reward_map([(-5, -5, 2, 99), (50, 50, 60, 60)], [1, -1], layout=1, width=4, height=4)
    assert weights[:, :2].tolist() == [[1, 1]] * 4
    assert weights[:, 2:].tolist() == [[0.5, 0.5]] * 4
    assert reward_map([], [], layout=-1, width=2, height=2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(("scores", "layout"), [([1.1, 0], 0), ([0, -1.1], 0), ([0, 0], 2), ([0], 0), ([math.nan, 0], 0)])
def test_scores_of_regions_that_are_none(scores: list[float], layout: float) -> None:
    with pytest.raises(ValueError, match="score"):
        reward_map(BOXES, scores, layout=layout, width=4, height=4)


def test_weights_of_what_is_not_sure_as_printed() -> None:
    assert 0.5 * uncertainty_weight(0.2) + 0.2 == close(0.609365)
    assert [elliptical_weight(norm) for norm in (0, 10, 14, 100)] == close([2.013753, 1.221403, 1, 1])
    assert listener_reward(well_formed=1, correct=1, confidence=0.73) == close(1.865)


def test_weights_of_what_cannot_be() -> None:
    for weight in (uncertainty_weight, elliptical_weight):
        for wrong in (-1, math.nan):
            with pytest.raises(ValueError, match="cannot be|is not"):
                weight(wrong)


def test_captions_as_printed() -> None:
    assert clip_s(0.3) == close(0.75)
    assert refclip_s(0.3, 0.8) == close(0.774194)
    assert [length_term(tokens) for tokens in (0, 2048, 2560, 3072, 9999)] == [1, 1, 0.5, 0, 0]


def test_captions_that_fit_nothing() -> None:
    assert clip_s(-0.3) == 0
    assert refclip_s(-0.3, 0.8) == refclip_s(0.3, -0.8) == 0


def test_moments_as_printed() -> None:
    task = TaskMoments()
    for rewards in ((0, 1, 1, 0), (1, 1, 1, 0)):
        task.update(rewards)
    assert task.moments == close((0.01245, 0.01245))
    assert task.deviation == close(0.110883)
    assert task.advantages((1, 0, 0, 0)) == close((5, -0.25 / 0.110883, -0.25 / 0.110883, -0.25 / 0.110883), 1e-4)


def test_corrected_moments_are_those_of_the_rewards() -> None:
    task = TaskMoments(corrected=True)
    for _ in range(3):
        task.update((0, 1, 1, 0))
    assert task.moments == close((0.5, 0.5), 1e-12)
    assert task.deviation == close(0.5, 1e-12)


def test_groups_that_teach_nothing() -> None:
    task = TaskMoments()
    assert task.advantages((1, 0)) is None, "nothing has been seen"
    task.update((0, 1))
    assert task.advantages((1, 1, 1)) is None
    assert task.advantages((0, 0)) is None
    with pytest.raises(ValueError, match="decay"):
        TaskMoments(decay=1)


def test_evenness_as_printed() -> None:
    measured = evenness([0.5, 0.55, 0.7, 0.62])
    assert (measured.acc, measured.nds, measured.ges) == close((0.5, 0.872926, 0.929325))


def test_scales_are_brought_to_one_before_they_are_compared() -> None:
    tenths = evenness([5.5, 5.95, 7.3, 6.58], scale=(1, 10))
    assert tenths.acc == 0.5
    assert tenths == evenness([0.5, 0.55, 0.7, 0.62])
    raw = evenness([5.5, 5.95, 7.3, 6.58], scale=None)
    assert raw.acc == 0, "0.1 is little on a scale to 10"


@settings(derandomize=True)
@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8))
def test_evenness_does_not_depend_on_the_order(scores: list[float]) -> None:
    measured = evenness(scores)
    assert measured == evenness(scores[::-1])
    assert 0 <= measured.acc <= 1
    assert measured.nds <= 1
    assert 0 <= measured.ges <= 1 + 1e-9
    assert evenness([scores[0]] * 3) == Evenness(acc=1, nds=pytest.approx(1), ges=pytest.approx(1))


def test_evenness_over_occupations() -> None:
    both = mean_evenness({"nurse": [0.5, 0.55, 0.7, 0.62], "pilot": [0.5, 0.5]})
    assert (both.acc, both.nds, both.ges) == close((0.75, (0.872926 + 1) / 2, (0.929325 + 1) / 2))


@pytest.mark.parametrize("scores", [[], [0.5], [0, 0], [0.5, 1.1], [-0.5, 0.5], [math.nan, 0.5]])
def test_scores_without_evenness(scores: list[float]) -> None:
    with pytest.raises(ValueError, match="score"):
        evenness(scores)
    with pytest.raises(ValueError, match="score"):
        mean_evenness({"nurse": scores})
    with pytest.raises(ValueError, match="occupations"):
        mean_evenness({})


def test_both_orders_as_printed() -> None:
    assert both_orders_loss(winner_first=0.8, loser_first=0.7) == close(0.289909)
    assert both_orders_loss(winner_first=1, loser_first=1) == 0
    assert both_orders_loss(winner_first=0, loser_first=1) == math.inf
    with pytest.raises(ValueError, match="no probability"):
        both_orders_loss(winner_first=1.1, loser_first=0.5)
