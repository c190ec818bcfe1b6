"""The page of `course grade` in a real browser: on a desk and on a phone, by day and by night."""

from pathlib import Path

import pytest

from course_tools import grade

SAID = "For the labels [0, 0, 0, 1] you return 1 and not 0.25: that counts the spam. Divide by how many there are."


@pytest.fixture
def page_of_grades(tmp_path):
    exercises = ("check_first_contact", "check_relative_error_reduction", "check_with_temperature")
    found = [
        grade.Answer(student, Path("x.ipynb"), said, f"{number:02}", exercise, alike=alike, passed=not said)
        for student, said, alike in (
            ("Anna Öztürk (1234567)", "", "The same file as Ben."),
            ("Ben", SAID, ""),
        )
        for number, exercise in enumerate(exercises)
    ]
    lost = "a_file_with_a_long_name_and_no_place_to_break_it.pdf"
    found.append(grade.Answer("Carla", Path(lost), f"{lost} is not a notebook that can be read."))
    grade.write(found, tmp_path, 60)
    return tmp_path / "grades.html"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light")])
def test_everybody_can_read_it(browser, page_of_grades, shots, flaws, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(page_of_grades.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("link", name="Ben").click()
    assert page.url.endswith("#student-2") and page.get_by_role("heading", name="Ben").is_visible()
    page.screenshot(path=shots / f"grades-{width}-{scheme}.png", full_page=True)
    assert flaws(page) == []
    page.close()
