"""UnifiedReward's replies: odd ones that say something, and those that must not."""

from __future__ import annotations

import json

import pytest

from tests.rubrics.formats.written import ACS, FLEX, POINT, SHARES, THINK, VIDEO, WORDS, read, reason


@pytest.mark.parametrize(
    "line",
    [
        "Final Score: 7",
        "final score : 7",
        "**Final Score:** 7",
        "**Final Score: 7**",
        "**Final Score**: **7**.",
        "Final Score:\n7",
        "Final Score: 7/10",
        "Final Score: 7.0;",
        "Final Score: 7. The dog is red.",
        "Final Score： 7",
        "Final Score: 7\nI repeat: Final Score: 7",
        "### Final   Score: `7`",
        "_Final Score_: 7",
        "The caption says Final Score: 10.\nFinal Score: 7",
        "Final Score: 7\nThe picture reads 'Final Score: 10'",
        "The cat is there. Final Score: 7",
        "Final Score: 7 - all is there",
    ],
)
def test_a_final_score_that_is_plain(line: str) -> None:
    assert read("unifiedreward-point", line, elements=False) == {"score": 7.0}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("Score: 7", "no_field"),
        ("Final Score", "no_field"),
        ("Final Score:", "no_field"),
        ("Final Score: seven", "not_a_number"),
        ("Final Score: 7-8", "not_a_number"),
        ("Final Score: 7,5", "not_a_number"),
        ("Final Score: 7, 8", "not_a_number"),
        ("Final Score: 7 or 8", "not_a_number"),
        ("Final Score: 7/5", "not_a_number"),
        ("Final Score: 70%", "not_a_number"),
        ("Final Score: 07", "not_a_number"),
        ("Final Score: .7", "not_a_number"),
        ("Final Score: NaN", "not_a_number"),
        ("Final Score: ９", "not_a_number"),
        ("Final Score: 7 would be too much\nFinal Score: 5", "not_a_number"),
        ("Final Score: 7. Actually 3", "not_a_number"),
        ("Final Score: 7, or 8", "not_a_number"),
        ("The caption says Final Score: 10.", "no_field"),
        ('The cat is there. The caption says "Final Score: 10"', "no_field"),
        ("I would not say Final Score: 10", "no_field"),
        ("Final Score: 7\nFinal Score: 8", "ambiguous"),
        ("Final Score: 0", "out_of_range"),
        ("Final Score: 11", "out_of_range"),
        ("Final Score: -7", "out_of_range"),
        ("Final Score: 1e3", "out_of_range"),
        ("Final Score: 1e999", "out_of_range"),
        ("", "empty"),
        ("<think>Final Score: 7", "unfinished"),
    ],
)
def test_a_final_score_that_is_none(line: str, why: str) -> None:
    assert reason("unifiedreward-point", line, elements=False) == why


def test_the_scale_of_a_final_score_is_the_models() -> None:
    assert reason("unifiedreward-point", POINT, highest=5) == "out_of_range"
    assert read("unifiedreward-point", POINT)["score"] == 7


def test_elements() -> None:
    outputs = read("unifiedreward-point", "Here:\n- **a dog (of (any) kind) (animal)**: 1.\n* sky (object) : 0\n\nFinal Score: 3")
    assert outputs["elements"] == 0.5
    found = json.loads(str(outputs["findings"]))
    assert found == [
        {"element": "a dog (of (any) kind)", "type": "animal", "there": 1},
        {"element": "sky", "type": "object", "there": 0},
    ]


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("", "wrong_format"),
        ("dog: 1", "wrong_format"),
        ("dog (animal): 2", "out_of_range"),
        ("dog (animal): 0.5", "out_of_range"),
        ("dog (animal): yes", "out_of_range"),
        ("dog (animal):", "out_of_range"),
        ("dog (animal): 1\ndog (animal): 0", "ambiguous"),
    ],
)
def test_elements_that_are_none(lines: str, why: str) -> None:
    assert reason("unifiedreward-point", f"{lines}\nFinal Score: 7") == why


def test_the_same_element_twice_counts_once() -> None:
    assert read("unifiedreward-point", "a (b): 1\na (b): 1\nc (d): 0\nFinal Score: 7")["elements"] == 0.5


def test_word_scores() -> None:
    outputs = read("unifiedreward-acs", WORDS, words=True)
    assert json.loads(str(outputs["words"])) == [["a", 0.1], ["dog's", 0.25], ["[No_mistakes]", 0.9]]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("", "no_field"),
        ('Word-wise Scores: [["a", 0.1]]', "wrong_format"),
        ('Word-wise Scores: [["a", 0.1], ["[No_mistakes]", 1], ["[No_mistakes]", 0]]', "wrong_format"),
        ('Word-wise Scores: [["a", "0.1"], ["[No_mistakes]", 1]]', "wrong_type"),
        ('Word-wise Scores: [["a", true], ["[No_mistakes]", 1]]', "wrong_type"),
        ('Word-wise Scores: [["a"], ["[No_mistakes]", 1]]', "wrong_type"),
        ('Word-wise Scores: [["a", NaN], ["[No_mistakes]", 1]]', "not_json"),
        ('Word-wise Scores: [["a", 1e999], ["[No_mistakes]", 1]]', "wrong_type"),
        ('Word-wise Scores: {"a": 0.1}', "wrong_format"),
        ("Word-wise Scores: a 0.1, [No_mistakes] 1", "not_json"),
        ('Word-wise Scores: []\nWord-wise Scores: [["[No_mistakes]", 1]]', "ambiguous"),
    ],
)
def test_word_scores_that_are_none(words: str, why: str) -> None:
    assert reason("unifiedreward-acs", f"{words}\n\n{ACS}", words=True) == why
    assert read("unifiedreward-acs", f"{words}\n\n{ACS}")["style"] == 2.802500009536743, "nobody asked for them"


def test_a_score_that_stands_twice_and_one_that_is_missing() -> None:
    assert reason("unifiedreward-acs", f"{ACS}\nStyle Score (1-5): 1") == "ambiguous"
    assert reason("unifiedreward-acs", ACS.replace("Style", "Taste")) == "no_field"
    assert reason("unifiedreward-acs", ACS.replace("2.3715", "5.3715")) == "out_of_range"
    assert reason("unifiedreward-aps", ACS) == "no_field"


def test_levels_of_videos_are_whole() -> None:
    assert reason("unifiedreward-video", VIDEO.replace("degree: 2", "degree: 2.5")) == "not_a_number"
    assert reason("unifiedreward-video", VIDEO.replace("degree: 2", "degree: 5")) == "out_of_range"
    assert read("unifiedreward-video", VIDEO.replace("degree: 2", "degree: 2.0"))["dynamic_degree"] == 2


def test_names_of_edit_scores() -> None:
    reply = '{"reasoning": "good", "score": [20, 15]}'
    outputs = read("unifiedreward-edit", reply, scores=["naturalness", "artifacts"])
    assert outputs == {"naturalness": 20, "artifacts": 15, "reasoning": "good"}
    assert read("unifiedreward-edit", '{"score": [20, 15]}')["reasoning"] == ""
    assert reason("unifiedreward-edit", '{"score": [20, 26]}') == "out_of_range"
    assert reason("unifiedreward-edit", '{"score": [20]}') == "wrong_count"


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("Image 1 is better than Image 2", 1.0),
        ("Image 2 is better than Image 1.", 0.0),
        ("Both images are equally good.", 0.5),
        ("**Image 1** is better.", 1.0),
        ("video 2 is better", 0.0),
        ("Both videos are equally good", 0.5),
        ("Looking closely, the hat is missing.\nSo image  2 is\nbetter.", 0.0),
        ("'Image 1 is better'", 1.0),
        ("Edited Image 2 is better, as the hat is there.", 0.0),
        ("Image 1 is better. I repeat: Image 1 is better than Image 2.", 1.0),
        ("Image 2 has the better colours, and yet Image 1 is better than Image 2.", 1.0),
        ("Image 2 is worse. Image 1 is better than Image 2.", 1.0),
        ("Image 1 loses, so Image 2 is better.", 0.0),
        ("Image 1 is worse lit; Image 1 is better.", 1.0),
        ("Image 2 is not worse in colour. Image 1 is better.", 1.0),
        ("Image 1 is better than Image 2 because it shows the cat.", 1.0),
        ("Image 2 looks good overall, but Image 1 is better than Image 2.", 1.0),
        ("I think that Image 2 is better than Image 1.", 0.0),
        ("**Final verdict:** Image 2 is better", 0.0),
        ("I prefer Image 1. Image 1 is better.", 1.0),
        ("I cannot see the hat in Image 2. Therefore, Image 1 is better than Image 2.", 1.0),
    ],
)
def test_verdicts(reply: str, value: float) -> None:
    assert read("unifiedreward-pair", reply) == {"value": value}
    assert read("unifiedreward-edit-pair", reply) == {"value": value}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("Image 1", "no_choice"),
        ("Image 3 is better.", "no_choice"),
        ("Image 12 is better.", "no_choice"),
        ("Image 1 is worse than Image 2.", "no_choice"),
        ("Image 1 is better aligned with the caption.", "no_choice"),
        ("Image 1 is better than Image 1.", "no_choice"),
        ("Image 1 is better than the other one in colour.", "no_choice"),
        ("I do not think Image 1 is better.", "ambiguous"),
        ("Image 1 is better. Image 2 is better.", "ambiguous"),
        ("Image 1 is better in colour, but Image 2 is better.", "ambiguous"),
        ("Image 1 is better, or both images are equally good.", "ambiguous"),
        ("It would be wrong to say that Image 1 is better than Image 2.", "ambiguous"),
        ("It is false that Image 1 is better than Image 2.", "ambiguous"),
        ("I disagree that Image 1 is better than Image 2.", "ambiguous"),
        ("Image 1 is better than Image 2? No.", "ambiguous"),
        ("Image 1 is worse than Image 2. The text says Image 1 is better than Image 2.", "ambiguous"),
        ("The caption says Image 1 is better than Image 2.", "no_choice"),
        ("If the colours were right, Image 1 is better than Image 2.", "no_choice"),
        ("The sign asks me to say 'Image 1 is better'.", "no_choice"),
        (
            "Image 2 is far superior in all respects to Image 1. The text says: Image 1 is better than Image 2",
            "ambiguous",
        ),
        ("I prefer Image 2. Image 1 is better.", "ambiguous"),
        ("Image 1 is better; image 2 wins overall", "ambiguous"),
        ("Image 2 is clearly the winner. Image 1 is better.", "ambiguous"),
        ("Both images are equally good; Image 2 wins.", "ambiguous"),
        ("Both images are equally good. Image 1 is slightly worse.", "ambiguous"),
    ],
)
def test_verdicts_that_are_none(reply: str, why: str) -> None:
    assert reason("unifiedreward-pair", reply) == why


def test_shares_sum_to_one() -> None:
    assert reason("unifiedreward-pair-score", SHARES.replace("0.5643", "0.5943")) == "inconsistent"
    near = "Alignment Score: Image 1: 0.5, Image 2: 0.49\nCoherence Score:\nImage 1: 1\nImage 2: 0\n**Style Score:**\nVideo 1: .5"
    assert reason("unifiedreward-pair-score", near) == "not_a_number"
    outputs = read("unifiedreward-pair-score", near.replace("1: .5", "1: 0.2\nVideo 2: 0.8"))
    assert outputs == {"alignment": 0.5, "coherence": 1.0, "style": 0.2}


def test_each_share_stands_in_its_own_section() -> None:
    assert reason("unifiedreward-pair-score", SHARES.replace("Coherence Score:", "")) == "no_field"
    assert reason("unifiedreward-pair-score", SHARES + "\nAlignment Score:\nImage 1: 0.1\nImage 2: 0.9") == "ambiguous"
    assert reason("unifiedreward-pair-score", SHARES.replace(" Image 2: 0.5820000171661377\n", "")) == "no_field"
    assert reason("unifiedreward-pair-score", SHARES.replace("0.4180000126361847", "-0.4180000126361847")) == "out_of_range"


def test_dimensions_of_thoughts_in_either_order() -> None:
    found = json.loads(str(read("unifiedreward-think", THINK)["scores"]))
    assert found == [
        {"dimension": "Semantic consistency", "first": 9, "second": 7},
        {"dimension": "Aesthetics", "first": 8, "second": 8},
        {"dimension": "Authenticity", "first": 8, "second": 5},
    ]


def test_the_winner_has_not_the_lower_total() -> None:
    assert reason("unifiedreward-think", THINK.replace("<answer>Image 1", "<answer>Image 2")) == "inconsistent"
    loser = THINK.replace("<answer>Image 1", "<answer>Image 2")
    assert read("unifiedreward-think", loser, totals=False) == {"value": 0.0}, "as the released benchmarks read it"


def test_at_equal_totals_either_wins() -> None:
    even = THINK.replace("(5/10)", "(10/10)").replace("7+8+5=20", "7+8+10=25")
    assert read("unifiedreward-think", even)["value"] == 1
    assert read("unifiedreward-think", even.replace("<answer>Image 1", "<answer>Image 2"))["value"] == 0


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("9+8+8=25", "9+8+8=26", "inconsistent"),
        ("9+8+8=25", "26", "inconsistent"),
        ("(9/10)", "(6/10)", "inconsistent"),
        ("(9/10)", "(11/10)", "out_of_range"),
        ("(9/10)", "", "wrong_format"),
        ("Image 1 (9/10)", "Image 2 (9/10)", "wrong_format"),
        ("Total score:", "Sum:", "no_field"),
        ("Image 2: 7+8+5=20", "", "no_field"),
        ("=20", "=twenty", "not_a_number"),
        ("Image 1 is better", "neither", "no_choice"),
        ("<answer>", "", "no_field"),
        ("<think>", "", ""),
        ("</think>", "", "unfinished"),
    ],
)
def test_thoughts_that_do_not_add_up(old: str, new: str, why: str) -> None:
    reply = THINK.replace(old, new, 1)
    if why:
        assert reason("unifiedreward-think", reply) == why
    else:
        assert read("unifiedreward-think", reply) == read("unifiedreward-think", THINK), "a chat template may open the thoughts"


def test_totals_without_their_sums_and_dimensions_of_videos() -> None:
    reply = THINK.replace("9+8+8=25", "25").replace("7+8+5=20", "**20**").replace("Image", "Video")
    assert read("unifiedreward-think", reply)["second_total"] == 20


def test_the_findings_of_flex() -> None:
    found = json.loads(str(read("unifiedreward-flex", FLEX)["findings"]))
    assert [category["winner"] for category in found] == [1, 0, 1]
    assert found[0]["dimensions"] == {"Subject": [8, 2], "Count": [5, 5]}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"score_1": 8', '"score_1": 9', "inconsistent"),
        ('"score_1": 8, "score_2": 2', '"score_1": 11, "score_2": -1', "out_of_range"),
        ('"score_1": 8', '"score_1": "many"', "not_a_number"),
        ('"score_1": 8', '"score_1": true', "not_a_number"),
        ('"score_1": 8, ', "", "no_field"),
        ('"cat_winner": "Image 2"', '"cat_winner": "Image 1"', "inconsistent"),
        ('"cat_winner": "Image 2"', '"cat_winner": "Image 3"', "no_choice"),
        ('"cat_winner": "Image 2"', '"cat_winner": 2', "wrong_type"),
        ('"winner": "Image 1"}\n', "}\n", "no_field"),
        ('"reason": "the dog counts", ', '"winner": "Image 2", ', "ambiguous"),
        ("B. Image Quality", "B. Semantic Quality", "ambiguous"),
        ("B. Image Quality", "B. Image Finish", "no_field"),
        ('"Count"', '"Subject"', "ambiguous"),
        ('"name": "Count", ', "", "no_field"),
    ],
)
def test_flex_that_contradicts_itself(old: str, new: str, why: str) -> None:
    assert old in FLEX
    assert reason("unifiedreward-flex", FLEX.replace(old, new, 1)) == why


def test_the_winner_of_flex_has_won_something() -> None:
    one_sided = FLEX.replace('"score_1": 3.5, "score_2": 6.5', '"score_1": 7, "score_2": 3').replace("Image 2", "Image 1")
    assert read("unifiedreward-flex", one_sided)["value"] == 1
    loser = one_sided.replace('counts", "winner": "Image 1"', 'counts", "winner": "Image 2"')
    assert reason("unifiedreward-flex", loser) == "inconsistent"


def test_categories_and_ties_of_flex() -> None:
    tie = FLEX.replace('counts", "winner": "Image 1"', 'counts", "winner": "Tie"').replace("Image 2", "Video 2")
    outputs = read("unifiedreward-flex", tie, categories={"look": "artistry"})
    assert outputs["value"] == 0.5
    assert outputs["look"] == 1
    assert "semantic" not in outputs


def test_edit_scores_may_be_negative_and_keep_their_sign() -> None:
    outputs = read("unifiedreward-edit-pair", "Edited Image 1 score: −0.75\nImage 2 Score: +1.5", asked="scores")
    assert outputs == {"first": -0.75, "second": 1.5}
    assert reason("unifiedreward-edit-pair", "0.75\n1.5", asked="scores") == "no_field"
