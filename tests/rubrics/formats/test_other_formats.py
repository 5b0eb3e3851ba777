"""Formats of one answer, of three perspectives, and of several rounds."""

from __future__ import annotations

import pytest

from curate.rubrics.replies.base import Unreadable
from curate.rubrics.replies.formats.vr_thinker import frames_asked_for, snapshot_of
from tests.rubrics.formats.written import PERSPECTIVES, SR1, THINKER, read, reason


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("<answer>5.01</answer>", "out_of_range"),
        ("<answer>3.5/5</answer>", "not_a_number"),
        ("<answer>3.5 or 4.0</answer>", "ambiguous"),
        ("<answer>\\boxed{3.5} or \\boxed{4}</answer>", "ambiguous"),
        ("<answer>3<|begin_of_box|>.5<|end_of_box|></answer>", "ambiguous"),
        ("<answer>3.5</answer><answer>4.0</answer>", "ambiguous"),
        ("<answer>good</answer>", "not_a_number"),
        ("3.5", "no_field"),
        ("<answer>5 is wrong</answer>", "not_a_number"),
        ("<answer>5? no</answer>", "not_a_number"),
        ("<answer>5 minus a bit</answer>", "not_a_number"),
        ("<answer>3 million</answer>", "not_a_number"),
        ("<answer>between 3</answer>", "not_a_number"),
        ("<answer>3</answer><answer>5", "ambiguous"),
    ],
)
def test_ratings_that_are_none(answer: str, why: str) -> None:
    assert reason("visualquality-r1", answer) == why


def test_ratings() -> None:
    assert read("visualquality-r1", "<answer> 4 </answer>") == {"rating": 4.0}
    assert read("visualquality-r1", "<answer>The score is 3.20.</answer>") == {"rating": 3.2}
    for text, rating in (
        ("The overall quality score of this image is 2.35", 2.35),
        ("I would rate it 3.5", 3.5),
        ("\\boxed{3.25}", 3.25),
        ("$\\boxed{\\text{3.25}}$", 3.25),
        ("<|begin_of_box|>3.25<|end_of_box|>", 3.25),
        ("I rate this picture a 3", 3.0),
    ):
        assert read("visualquality-r1", f"<answer>{text}</answer>") == {"rating": rating}
    assert reason("q-insight-rating", '<answer>{"rating": 0.5}</answer>') == "out_of_range"
    assert reason("q-insight-rating", '{"rating": 3.5}') == "no_field"


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        *(("Image A", 1.0), ("image b.", 0.0), ("**Similar**", 0.5), ("Image B is better", 0.0), ("Image A wins.", 1.0)),
        *(
            ("Image A is of higher quality than Image B", 1.0),
            ("The better one is Image B", 0.0),
            ("The answer is: Image A", 1.0),
        ),
        *(("Image B has better quality", 0.0), ("Both images are similar.", 0.5), ("Image A is sharper than Image B", 1.0)),
    ],
)
def test_comparisons(answer: str, value: float) -> None:
    assert read("q-insight-comparison", f"<think>Image B? Similar?</think><answer>{answer}</answer>") == {"value": value}


def test_comparisons_that_are_none() -> None:
    assert reason("q-insight-comparison", "<answer>Image A or Image B</answer>") == "ambiguous"
    assert reason("q-insight-comparison", "<answer>not Image A</answer>") == "ambiguous"
    assert reason("q-insight-comparison", "<answer>A</answer>") == "no_choice"
    assert reason("q-insight-comparison", "<answer>not similar</answer>") == "ambiguous"


@pytest.mark.parametrize(
    "answer",
    [
        *("Image A is worse", "The worse one is Image A", "Image A loses", "Image A is blurry and dark", "Image A is"),
        *("Image B has worse quality.", "Image A has more noise", "Image A is better than Image A", "similar noise, but sharper"),
    ],
)
def test_a_comparison_is_an_answer_alone(answer: str) -> None:
    assert reason("q-insight-comparison", f"<answer>{answer}</answer>") == "no_choice"


@pytest.mark.parametrize(
    "reply",
    [
        *("B", "(B)", "b", "B.", "**B**", "B. red", "B: red", "[B]", "Answer: B", "The correct answer is (B).", "B\n\nRed."),
        *("B. A red kite", "B. Vitamin C", "B) rich in vitamin C", "B. At 3 A.D. it was red", "B. B is red", "B. no"),
        *("A. two\nB. three\nC. four\nThe answer is B.", "A is blue. B is red. So the answer is B.", "Sure!\n**Answer: B**"),
        *("A or C?\nThe answer is: B", "The final answer is **B**."),
        *("B. A and C are wrong", "B. A", "B) D.", "Based on the picture, the answer is B.", "The letter is B"),
        *("Based on the image, the correct answer is:\n\nB. red", r"\boxed{B}", r"So \boxed{\text{B}}.", "<answer>B</answer>"),
        *("<answer>B. red</answer>", "A. two\nB. three\nSo \\boxed{B}", r"<answer>\boxed{B}</answer>", "B;", "B!", "'B'", "“B”"),
        *("B</s>", "B<|im_end|>\n", "<|begin_of_box|>B<|end_of_box|>", "B - a red cat", "B – red", "I choose B", "It's B."),
        *(
            "I would say B",
            "My answer is B",
            "The answer is option B.",
            "B. No, it is red",
            "B. Rather dark",
            "B. wrong",
            "B: 2 dogs",
        ),
        *("B. red\nThe image shows a red kite, and a Boeing.", "B\nVitamin C is shown.", "B\nA kite flies. I see it."),
    ],
)
def test_letters(reply: str) -> None:
    assert read("letter", reply, letters=4) == {"p_A": 0.0, "p_B": 1.0, "p_C": 0.0, "p_D": 0.0}


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        *((reply, "ambiguous") for reply in ("A, B", "A) or B)", "(A)(B)", "A*B", "A, not B", "B, C, D")),
        *((reply, "ambiguous") for reply in ("A. is wrong. B. is right", "A: no\nB: yes", "A\n\nWait, B", "A. one\nB. two")),
        ('"A" is what the caption says I should answer; the right one is B', "ambiguous"),
        ('A. two\nThe caption says "the answer is B".', "ambiguous"),
        ("The answer is A.\nThe answer is B.", "ambiguous"),
        ("The answer is A. No, B.", "ambiguous"),
        *((reply, "ambiguous") for reply in ("B. A and B are wrong", "B, or maybe C", r"\boxed{A} \boxed{B}")),
        *(
            (reply, "ambiguous")
            for reply in ("C\nActually D", "C. Hmm, D it is", "A\n\nA is wrong, it's B", "C\n\nCorrection: D")
        ),
        *((reply, "ambiguous") for reply in ("B\nD is better", "B. red\nHmm, D", "B\nC fits as well", "B - C", "B! D.", "B; C")),
        *(
            (reply, "ambiguous")
            for reply in ("B\nNo, it is C", "B\nSorry, wrong letter.", "B\nB is wrong", "B. Not A.", "'B' or 'C'")
        ),
        *((reply, "ambiguous") for reply in ("B. red\nOn reflection the fourth", "B. Sorry, the fourth")),
        ("A is wrong", "no_choice"),
        ("A. is wrong", "ambiguous"),
        ("The answer is not A. B", "no_choice"),
        ("The answer is E.", "no_choice"),
        ("It is red", "no_choice"),
        ("a kite", "no_choice"),
    ],
)
def test_letters_that_are_none_or_several(reply: str, why: str) -> None:
    assert reason("letter", reply, letters=4) == why


def test_what_is_wrong_with_an_edit() -> None:
    outputs = read("multi-reward", f"Here:\n```json\n{PERSPECTIVES}\n```")
    assert outputs["preserving_negative"] == "the hat is gone"
    assert outputs["quality_negative"] == "it's blurred"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("4.5", "5.5", "out_of_range"),
        ("4.5", "NaN", "not_json"),
        ("4.5", "null", "not_a_number"),
        ("4.5", "[4.5]", "not_a_number"),
        ('"Score": 4.5, ', "", "no_field"),
        ('"Score": 4.5', '"Score": 4.5, "score": 4', "ambiguous"),
        ('"Score": 4.5', '"Score": 4.5, "Score": 4', "ambiguous"),
        ('"None"', "None", "wrong_type"),
        (', {"Score": 3, "Negative Prompt": "the hat is gone"}', "", "wrong_count"),
        ("]", ", 3]", "wrong_type"),
        ("[", "", "not_json"),
    ],
)
def test_perspectives_that_are_none(old: str, new: str, why: str) -> None:
    assert reason("multi-reward", PERSPECTIVES.replace(old, new, 1)) == why


def test_halves_of_characters_do_not_come_through() -> None:
    outputs = read("multi-reward", PERSPECTIVES.replace("gone", r"\ud83d\ude00 \ud83d"))
    assert outputs["preserving_negative"] == "the hat is 😀 \ufffd"


def test_descriptions() -> None:
    assert read("vision-sr1", SR1) == {"description": "Two cats and a dog.", "answer": "3"}
    visual = SR1.replace("description>", "visual reasoning>").replace("\\boxed{3}", "<answer>3</answer>")
    assert read("vision-sr1", visual, block="visual reasoning", answer="answer")["answer"] == "3"


def test_a_decoy_in_a_description_is_no_answer() -> None:
    assert read("vision-sr1", SR1.replace("a dog", r"a dog \boxed{5}").replace("Two and", r"\boxed{4} and"))["answer"] == "3"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("<description>x</description>\\boxed{3}", "wrong_format"),
        ("<think>x</think>\\boxed{3}", "wrong_format"),
        ("<think><description>x</description></think>\\boxed{3}", "wrong_format"),
        ("<description>x<think>y</think>\\boxed{3}", "wrong_format"),
        ("<description></description><think>y</think>\\boxed{3}", "wrong_format"),
        ("<description>x</description><description>y</description><think>y</think>\\boxed{3}", "wrong_format"),
        ("<description>x</description><think>y</think>3", "no_field"),
        ("<description>x</description><think>y</think>\\boxed{}", "empty"),
        ("<description>x</description><think>y</think>\\boxed{3}\\boxed{4}", "ambiguous"),
    ],
)
def test_descriptions_that_are_none(reply: str, why: str) -> None:
    assert reason("vision-sr1", reply) == why


def test_the_dimensions_of_a_judgement() -> None:
    outputs = read("vr-thinker", "<answer>OA=1, X : 0.</answer>", dimensions=["x"])
    assert outputs == {"value": 1.0, "x": 0.5, "snapshot": ""}
    for blank in (", ", ";", "\n", ",\n  ", " ; "):
        written = blank.join(("TA=1", "mq : 0", "VQ = 2", "OA=1", "CF=3."))
        assert read("vr-thinker", f"<answer>{written}</answer>") == {
            "value": 1.0,
            "ta": 1.0,
            "mq": 0.5,
            "vq": 0.0,
            "snapshot": "",
        }
    assert read("vr-thinker", THINKER.replace("</answer>", "</ answer>"))["snapshot"] == "The second is smooth."


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("TA = 2", "TA = 3", "out_of_range"),
        ("TA = 2", "TA = 1.5", "out_of_range"),
        ("TA = 2, ", "", "no_field"),
        ("OA = 2", "OA = 1 no, 2", "wrong_format"),
        ("OA = 2", "OA = 1 or 2", "wrong_format"),
        ("OA = 2", "OA = 1 (not 2)", "wrong_format"),
        ("OA = 2", "OA = 2 would be wrong", "wrong_format"),
        ("TA = 2", "not TA = 2", "wrong_format"),
        ("TA = 2, ", "TA = 2 ", "wrong_format"),
        ("CF = 2", "CF = 2, and that is all", "wrong_format"),
        ("TA = 2", "TA = 2, TA = 1", "ambiguous"),
        ("TA = 2", "TA = 2, ZZ = 1", "no_field"),
        ("CF = 2", "CF = 9", "out_of_range"),
        ("<answer>", "<recommend answer>", "no_field"),
        ("</think>", "</think><tool_call>{}</tool_call>", "unfinished"),
    ],
)
def test_judgements_that_are_none(old: str, new: str, why: str) -> None:
    assert reason("vr-thinker", THINKER.replace(old, new, 1)) == why


def request(arguments: str, name: str = "select_frames") -> str:
    return (
        "<snapshot>smooth</snapshot><think>More.</think><recommend answer>OA = 2, CF = 3</recommend answer>"
        f'<tool_call> {{"name": "{name}", "arguments": {arguments}}} </tool_call>'
    )


def test_frames_are_asked_for_by_number() -> None:
    asked = frames_asked_for(request('{"target_frames": [12, 16, 12, 96]}'), last=96, most=3)
    assert asked is not None
    assert asked.frames == (12, 16, 96)
    assert asked.snapshot == "smooth"
    assert frames_asked_for(THINKER, last=96, most=3) is None
    assert snapshot_of("<answer>OA = 1</answer>") == ""


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{}", "no_field"),
        ("[1, 2]", "wrong_type"),
        ('{"target_frames": []}', "wrong_type"),
        ('{"target_frames": 3}', "wrong_type"),
        ('{"target_frames": ["3"]}', "wrong_type"),
        ('{"target_frames": [true]}', "wrong_type"),
        ('{"target_frames": [1.0]}', "wrong_type"),
        ('{"target_frames": [0]}', "out_of_range"),
        ('{"target_frames": [97]}', "out_of_range"),
        ('{"target_frames": [1, 2, 3, 4]}', "out_of_range"),
        ('{"target_frames": [1], "target_frames": [2]}', "ambiguous"),
        ('{"target_frames": [1', "not_json"),
    ],
)
def test_requests_that_are_wrong(arguments: str, why: str) -> None:
    with pytest.raises(Unreadable) as problem:
        frames_asked_for(request(arguments), last=96, most=3)
    assert problem.value.reason == why


def test_requests_beside_an_answer_and_for_another_tool() -> None:
    for reply, why in (
        (request('{"target_frames": [1]}') + "<answer>OA = 1</answer>", "ambiguous"),
        (request('{"target_frames": [1]}') + request('{"target_frames": [2]}'), "ambiguous"),
        (request('{"target_frames": [1]}', name="delete_frames"), "wrong_format"),
    ):
        with pytest.raises(Unreadable) as problem:
            frames_asked_for(reply, last=96, most=3)
        assert problem.value.reason == why
