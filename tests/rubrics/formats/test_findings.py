"""Formats that find something: regions, faults, distortions."""

from __future__ import annotations

import json

import pytest

from curate.rubrics.replies.formats.magicmirror import TAXONOMY, read_faults
from tests.rubrics.formats.written import DOCTOR, MIRROR, REGIONS, read, reason


def test_regions_of_a_picture() -> None:
    assert json.loads(str(read("imagedoctor", DOCTOR)["regions"])) == [[10, 20, 200, 256], [0, 0, 512, 512]]


def test_a_picture_without_regions() -> None:
    assert read("imagedoctor", "<think>All is well.</think>" + DOCTOR.split("</think>")[1])["regions"] == "[]"


def test_scores_without_thoughts() -> None:
    said = DOCTOR.split("</think>")[1]
    assert reason("imagedoctor", said) == "wrong_format"
    assert read("imagedoctor", said, regions=False) == {
        "semantic_alignment": 0.85,
        "aesthetics": 0.6,
        "plausibility": 0.25,
        "overall": 0.5,
    }


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("10,20,200,256", "10,20,200,513", "out_of_range"),
        ("10,20,200,256", "-1,20,200,256", "out_of_range"),
        ("10,20,200,256", "200,20,10,256", "out_of_range"),
        ("10,20,200,256", "10,20,10,256", "out_of_range"),
        ("10,20,200,256", "10,20,200", "wrong_format"),
        ("10,20,200,256", "10,20,200,x", "wrong_format"),
        ("2.[", "3.[", "wrong_format"),
        ("2.[", "1.[", "wrong_format"),
        ("score: 0.6", "score: 1.6", "out_of_range"),
        ("score: 0.6", "score: -0.6", "out_of_range"),
        ("score: 0.6", "score: high", "not_a_number"),
        ("Aesthetic score: 0.6;\n", "", "no_field"),
        ("Aesthetic score: 0.6;", "Aesthetic score: 0.6;\nAesthetics score: 0.7;", "ambiguous"),
        ("<answer>", "", "no_field"),
    ],
)
def test_an_examination_that_is_wrong(old: str, new: str, why: str) -> None:
    assert reason("imagedoctor", DOCTOR.replace(old, new, 1)) == why


def test_the_side_of_the_picture() -> None:
    assert reason("imagedoctor", DOCTOR, side=511) == "out_of_range"
    assert json.loads(str(read("imagedoctor", DOCTOR.replace("256", "1024"), side=1024)["regions"]))[0][3] == 1024


def boxed(answer: str) -> str:
    return f"<think>Well.</think>\\boxed{{{answer}}}"


def test_faults() -> None:
    assert read_faults(MIRROR) == {
        "Abnormal Human Anatomy": ("Hand Structure Deformity", "Facial Structure Deformity"),
        "Abnormal Object Morphology": (),
    }
    assert json.loads(str(read("magicmirror", MIRROR)["findings"])).keys() == read_faults(MIRROR).keys()


@pytest.mark.parametrize(
    "answer",
    [
        *('{"Whether Normal": true}', "{'Whether Normal': True}", ' {"Whether Normal": true,} '),
        *('{"Whether Normal": true, "Type of Deformity": {}}', '{"Whether Normal": true, "Type of Abnormality": null}'),
    ],
)
def test_a_normal_picture(answer: str) -> None:
    assert read("magicmirror", boxed(answer)) == {"normal": 1.0, "faults": 0.0, "findings": "{}"}


@pytest.mark.parametrize("kind", TAXONOMY)
def test_every_kind_of_fault(kind: str) -> None:
    subs = TAXONOMY[kind]
    listed = json.dumps([f"L3: {sub}" for sub in subs]) if subs else "true"
    for name in (kind, f"L2: {kind}", f"L2:  {kind.lower()} "):
        answer = boxed(f'{{"Whether Normal": false, "Type of Abnormality": {{"{name}": {listed}}}}}')
        assert read_faults(answer) == {kind: subs}
        assert read("magicmirror", answer)["faults"] == max(len(subs), 1)


HAND = '"L2: Abnormal Human Anatomy": ["L3: Hand Structure Deformity"]'


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("{}", "no_field"),
        ('{"Whether Normal": "true"}', "wrong_type"),
        ('{"Whether Normal": 1}', "wrong_type"),
        ('{"Whether Normal": false}', "no_field"),
        ('{"Whether Normal": false, "Type of Deformity": {}}', "inconsistent"),
        ('{"Whether Normal": false, "Type of Deformity": true}', "wrong_type"),
        (f'{{"Whether Normal": true, "Type of Deformity": {{{HAND}}}}}', "inconsistent"),
        ('{"Whether Normal": true, "Whether Normal": false}', "ambiguous"),
        (f'{{"Whether Normal": false, "Type of Deformity": {{{HAND}}}, "Type of Abnormality": {{}}}}', "ambiguous"),
        (f'{{"Whether Normal": false, "Sure": 1, "Type of Deformity": {{{HAND}}}}}', "wrong_format"),
        ('{"Whether Normal": false, "Type of Deformity": {"Ugly": true}}', "no_choice"),
        ('{"Whether Normal": false, "Type of Deformity": {"Abnormal Human Anatomy": ["Abnormal Head Structure"]}}', "no_choice"),
        ('{"Whether Normal": false, "Type of Deformity": {"Abnormal Human Anatomy": [7]}}', "no_choice"),
        ('{"Whether Normal": false, "Type of Deformity": {"Abnormal Human Anatomy": true}}', "wrong_format"),
        ('{"Whether Normal": false, "Type of Deformity": {"Abnormal Human Anatomy": []}}', "wrong_format"),
        ('{"Whether Normal": false, "Type of Deformity": {"Other Irrationalities": false}}', "wrong_format"),
        (
            '{"Whether Normal": false, "Type of Deformity": {"Other Irrationalities": true, "L2: Other Irrationalities": true}}',
            "ambiguous",
        ),
        ('"Whether Normal": true', "not_json"),
    ],
)
def test_faults_that_are_none(answer: str, why: str) -> None:
    assert reason("magicmirror", boxed(answer)) == why


def test_faults_stand_in_a_box() -> None:
    assert reason("magicmirror", '{"Whether Normal": true}') == "no_field"
    assert (
        reason("magicmirror", boxed('{"Whether Normal": true}') + boxed(f'{{"Whether Normal": false, "T": {{{HAND}}}}}'))
        == "ambiguous"
    )


def test_regions_that_were_shown() -> None:
    found = json.loads(str(read("srum-regions", REGIONS, count=3)["findings"]))
    assert found[2] == {"region": 3, "object": "A red shape.", "score": -0.8}
    assert reason("srum-regions", REGIONS, count=4) == "wrong_count"
    assert reason("srum-regions", REGIONS, count=2) == "wrong_count"


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("ID: 2", "ID: 1", "ambiguous"),
        ("ID: 3", "ID: 4", "wrong_count"),
        ("Score: 0.2\n", "", "no_field"),
        ("Score: 0.2", "Score: 0.2\nScore: 0.3", "ambiguous"),
        ("Score: 0.2", "Score: 1.2", "out_of_range"),
        ("Identified Object: A tree.\n", "", "no_field"),
        ("Score: 0.2", "Score: good", "not_a_number"),
    ],
)
def test_regions_that_are_wrong(old: str, new: str, why: str) -> None:
    assert reason("srum-regions", REGIONS.replace(old, new, 1)) == why


def test_regions_between_empty_lines_and_in_any_order() -> None:
    blocks = REGIONS.replace("**", "").split("---")[:3]
    assert read("srum-regions", "\n\n".join(reversed(blocks))) == read("srum-regions", REGIONS)


def test_a_reason_that_speaks_of_a_score_is_not_one() -> None:
    reasons = REGIONS.replace("Score: 0.95", "Score: 0.95\nReason: It deserves a high score: it fits the prompt.")
    assert read("srum-regions", reasons) == read("srum-regions", REGIONS)
    assert read("srum-layout", "Composition Analysis: This lowers the score: the dog floats.\nScore: 0.5") == {"score": 0.5}


@pytest.mark.parametrize("score", ["−0.7", "-0.70", "**-0.7**"])
def test_the_sign_of_a_layout(score: str) -> None:
    assert read("srum-layout", f"Score: {score}") == {"score": -0.7}


@pytest.mark.parametrize(
    ("answer", "severity", "distortion"),
    [
        ('{"distortion_class": "noise", "severity": "slight"}', 1, "noise"),
        ("{'distortion_class': 'Darken', 'severity': 'Catastrophic'}", 5, "darken"),
        ('{"distortion_class": "null", "severity": "null"}', 0, "null"),
        ('{"distortion_class": null, "severity": null}', 0, "null"),
        ('{"distortion_class": "blur", "severity": "Obvious."}', 3, "blur"),
        ('```json\n{"distortion_class": null, "severity": "null"}\n```', 0, "null"),
    ],
)
def test_distortions(answer: str, severity: float, distortion: str) -> None:
    outputs = read("q-insight-degradation", f"<think>noise?</think><answer>{answer}</answer>")
    assert outputs == {"severity": severity, "distortion": distortion}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ('{"distortion_class": "blur", "severity": null}', "inconsistent"),
        ('{"distortion_class": null, "severity": "slight"}', "inconsistent"),
        ('{"distortion_class": "blur", "severity": "null"}', "inconsistent"),
        ('{"distortion_class": "null", "severity": "catastrophic"}', "inconsistent"),
        ('{"distortion_class": "fog", "severity": "slight"}', "no_choice"),
        ('{"distortion_class": "blur", "severity": 3}', "no_choice"),
        ('{"distortion_class": "blur"}', "no_field"),
        ("blur, slight", "not_json"),
        ('{"distortion_class": "blur", "severity": "slight"} {"distortion_class": "noise", "severity": "slight"}', "ambiguous"),
    ],
)
def test_distortions_that_are_none(answer: str, why: str) -> None:
    assert reason("q-insight-degradation", f"<answer>{answer}</answer>") == why
