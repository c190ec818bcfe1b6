"""What moved between two runs, and how near it has come to its bound."""

import json

import pytest

from course_tools import drift


def lecture(value, status="passed", name="01_a", **bounds):
    entry = {
        "name": "accuracy",
        "value": value,
        "at_least": None,
        "at_most": None,
        "equals": None,
        "passed": True,
    }
    return {"lecture": name, "status": status, "expectations": [entry | bounds], "figures": []}  # fmt: skip


def run(tmp_path, *lectures, profile="ci", started="2026-01-01"):
    return drift.since_last_run(tmp_path, profile, started, lectures)


def test_the_first_run_has_nothing_to_compare_with_and_the_second_has(tmp_path):
    assert run(tmp_path, lecture(0.9)) == {"compared": 0, "moved": []}
    again = run(tmp_path, lecture(0.8, at_least=0.7), started="2026-02-01")
    assert again["compared"] == 1
    (line,) = again["moved"]
    assert line["last"] == "2026-01-01" and (line["before"], line["value"]) == (0.9, 0.8)
    assert line["change"] == pytest.approx(-1 / 9) and line["towards"] == pytest.approx(0.5)
    assert run(tmp_path, lecture(0.8))["moved"] == []


def test_small_changes_are_no_news(tmp_path):
    run(tmp_path, lecture(100.0))
    assert run(tmp_path, lecture(100.9))["moved"] == []
    assert len(run(tmp_path, lecture(99.0))["moved"]) == 1


def test_other_profiles_and_lectures_are_left_alone(tmp_path):
    run(tmp_path, lecture(1.0), lecture(2.0, name="02_b"))
    assert run(tmp_path, lecture(5.0), profile="laptop")["compared"] == 0
    run(tmp_path, lecture(1.0))
    assert run(tmp_path, lecture(3.0, name="02_b"))["moved"][0]["before"] == 2.0


def test_a_failed_lecture_is_compared_and_does_not_become_the_measure(tmp_path):
    run(tmp_path, lecture(0.9))
    assert run(tmp_path, lecture(0.1, status="failed"))["moved"][0]["before"] == 0.9
    assert run(tmp_path, lecture(0.9))["moved"] == []


def test_the_nearest_to_its_bound_comes_first(tmp_path):
    before = [lecture(0.5, name=f"0{i}") for i in range(4)]
    run(tmp_path, *before)
    bounds = [{}, {"at_most": 1.0}, {"at_least": 0.9}, {"at_most": 0.7}]
    moved = run(tmp_path, *(lecture(0.6, name=f"0{i}", **bound) for i, bound in enumerate(bounds)))["moved"]
    assert [line["lecture"] for line in moved] == ["03", "02", "01", "00"]
    assert moved[0]["towards"] == pytest.approx(0.5) and moved[-1]["towards"] is None


@pytest.mark.parametrize(
    ("before", "bounds", "now", "towards"),
    [
        (0.5, {"at_least": 0.4}, 0.6, -1.0),
        (0.5, {"at_least": 0.4}, 0.3, 2.0),
        (0.5, {"at_least": 0.4, "at_most": 0.7}, 0.6, 0.5),
        (0.5, {"at_least": 0.5}, 0.6, None),
        (0.5, {"equals": 0.5}, 0.6, None),
    ],
)
def test_the_way_to_the_bound(before, bounds, now, towards):
    found = drift.towards_bound(before, {"value": now, **bounds})
    assert found == (None if towards is None else pytest.approx(towards))


def test_a_name_that_comes_again_is_another_figure():
    twice = lecture(1.0)
    twice["expectations"] *= 2
    twice["figures"] = [{"name": "accuracy", "value": 3.0}]
    assert [entry["value"] for entry in drift.figures(twice).values()] == [1.0, 1.0, 3.0]
    assert list(drift.figures(twice)) == ["accuracy", "accuracy (2)", "accuracy (3)"]


def test_values_that_are_no_numbers_or_zero_before(tmp_path):
    run(tmp_path, lecture("yes"), lecture(0.0, name="02"), lecture(float("nan"), name="03"))
    moved = run(tmp_path, lecture("no"), lecture(0.1, name="02"), lecture(1.0, name="03"))["moved"]
    assert {line["lecture"]: line["change"] for line in moved} == {"01_a": None, "02": None, "03": None}


def test_a_damaged_file_is_a_first_run(tmp_path):
    (tmp_path / drift.KEPT).write_text('{"ci": ')
    assert run(tmp_path, lecture(1.0))["compared"] == 0
    assert (
        json.loads((tmp_path / drift.KEPT).read_text())["ci"]["01_a"]["figures"]["accuracy"]["value"] == 1.0
    )
