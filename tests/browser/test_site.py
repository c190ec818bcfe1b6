"""The site of all lectures, opened from its folder in a real browser that has no network."""

from __future__ import annotations

import re

import pytest

from course_tools import PATIENCE, site

# What the theme owes to a Sphinx to come is not ours.
pytestmark = pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx API modifications")
ALT = 20  # characters that say something
WIDE = """
() => [...document.querySelectorAll("article *")]
  .filter((part) => part.getBoundingClientRect().right > innerWidth + 1)
  .filter((part) => !part.closest("pre, table, .course-formula, .output"))
  .map((part) => part.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The site of all lectures, built once."""
    out = tmp_path_factory.mktemp("site") / "site"
    site.build(None, out)
    return out


@pytest.fixture
def opened(browser, folder):
    """Opens pages of the site; at the end nothing has been asked of the network, and no script has complained."""
    contexts, complaints = [], []

    def open_page(name, *, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        context.set_default_timeout(PATIENCE * 1000)
        context.set_offline(True)
        page = context.new_page()
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url),
        )
        # Aborted: the browser still wanted a page's icon when it was sent to the next page.
        page.on(
            "requestfailed",
            lambda r: complaints.append(f"{r.failure}: {r.url}") if r.failure != "net::ERR_ABORTED" else None,
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: message.type in ("error", "warning") and complaints.append(message.text),
        )
        page.goto((folder / f"{name}.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def focused(page):
    return page.evaluate("document.activeElement.outerHTML.slice(0, 200)")


def press_until(page, key, wanted, most=80):
    """Press a key until what has the focus fits a pattern: nobody needs a mouse to get there."""
    for _ in range(most):
        page.keyboard.press(key)
        if re.search(wanted, focused(page), re.DOTALL):
            return
    raise AssertionError(f"{most} times {key}, and {wanted} never had the focus.")


def test_from_the_index_to_every_lecture(opened, folder, shots):
    page = opened("index")
    page.screenshot(path=shots / "site-index.png", full_page=True)
    names = sorted(path.stem for path in folder.glob("[0-9]*.html"))
    links = page.locator(".course-lectures td:nth-child(2) a")
    assert links.count() == len(names)
    assert page.locator("article img").get_attribute("alt").startswith("The map of the course")
    for place, name in enumerate(names):
        links.nth(place).click()
        page.wait_for_url(f"**/{name}.html")
        assert page.locator("article h1").inner_text().startswith(name[:2])
        page.get_by_role("link", name=re.compile("executable lectures")).first.click()
        page.wait_for_url("**/index.html")


def test_every_figure_is_there_and_says_what_it_shows(opened, folder):
    page, seen = opened("index"), 0
    for path in sorted(folder.glob("*.html")):
        page.goto(path.as_uri())
        page.wait_for_function("[...document.images].every((image) => image.complete)")
        figures = page.evaluate("[...document.images].map((image) => [image.alt, image.naturalWidth])")
        assert not [alt for alt, width in figures if width == 0 or len(alt) < ALT], path.name
        seen += len(figures)
    assert seen > 100


def test_light_and_dark(opened, shots):
    page = opened("03_language_models")
    light = background(page)
    page.locator("article img").first.scroll_into_view_if_needed()
    page.screenshot(path=shots / "site-lecture-light.png")
    press_until(page, "Tab", "theme-switch-button")
    page.keyboard.press("Enter")
    press_until(page, "Tab", 'data-mode="dark"', most=5)
    page.keyboard.press("Enter")
    page.wait_for_function(f"getComputedStyle(document.body).backgroundColor != '{light}'")
    page.screenshot(path=shots / "site-lecture-dark.png")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    system = opened("index", scheme="dark")
    assert background(system) != light
    system.screenshot(path=shots / "site-index-dark.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(opened, folder, flaws, scheme):
    page = opened("index", scheme=scheme)
    for name in ("index", "search", "00_welcome"):  # a long lecture takes axe a quarter of a minute
        page.goto((folder / f"{name}.html").as_uri())
        page.evaluate("document.querySelectorAll('article details').forEach((fold) => { fold.open = true; })")
        assert flaws(page) == [], name


def test_search_by_keyboard(opened, shots):
    page = opened("index")
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.matches('input[type=search]')")
    page.keyboard.type("perplexity")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li p.context")
    found = page.locator("#search-results li")
    assert "03_language_models.html" in found.locator("a").first.get_attribute("href")
    assert "perplexity" in found.locator("p.context").first.inner_text().lower()  # without fetching the page
    page.screenshot(path=shots / "site-search.png")
    press_until(page, "Tab", "03_language_models.html", most=60)
    page.keyboard.press("Enter")
    page.wait_for_url("**/03_language_models.html*")
    assert "perplexity" in page.locator("article").inner_text().lower()


def test_quiz_hints_and_solutions_unfold_by_keyboard(opened, shots):
    page = opened("03_language_models")
    for wanted in (
        ".course-quiz details",
        "details:has-text('Hint 1')",
        "details:has-text('Show the solution')",
    ):
        fold = page.locator(wanted).first
        fold.locator("summary").first.focus()
        assert fold.get_attribute("open") is None
        page.keyboard.press("Enter")
        assert fold.get_attribute("open") is not None
    why = page.locator(".course-quiz details [role=status]").first
    assert why.is_visible() and re.match("[✓✗] .{40}", why.inner_text())
    why.scroll_into_view_if_needed()
    page.screenshot(path=shots / "site-quiz.png")


def test_formulas_have_a_size_and_none_is_raw(opened):
    page = opened("01_word2vec")
    boxes = page.evaluate(
        "[...document.querySelectorAll('math')].map((m) => m.getBoundingClientRect().height)"
    )
    assert len(boxes) > 10 and min(boxes) > 5
    text = page.evaluate(
        "(() => { const a = document.querySelector('article').cloneNode(true);"
        "a.querySelectorAll('pre, code, math, style').forEach((e) => e.remove()); return a.textContent; })()"
    )
    assert not re.search(r"\$|\\[a-z]{2}|\*\*|\]\(", text)


@pytest.mark.parametrize("width", [1440, 390])
def test_no_line_of_code_is_cut_off(opened, folder, shots, width):
    page, seen = opened("index", width=width), 0
    for path in sorted(folder.glob("[0-9]*.html")):
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('article details').forEach((fold) => { fold.open = true; })")
        code = page.evaluate(
            "[...document.querySelectorAll('.cell_input pre')].map((e) => e.scrollWidth - e.clientWidth)"
        )
        assert max(code) <= 1, path.name
        seen += len(code)
    assert seen > 300


def test_code_can_be_copied_and_every_page_says_where_its_figures_are_from(opened, shots):
    page = opened("03_language_models", width=1440)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = page.locator(".cell_input pre").nth(2)
    code.hover()
    button = code.locator("xpath=..").locator("button")
    button.click()
    page.wait_for_function(
        "[...document.querySelectorAll('.course-copy')].some((b) => b.textContent == 'Copied')"
    )
    page.screenshot(path=shots / "site-copy.png")
    assert page.evaluate("navigator.clipboard.readText()") == code.inner_text().rstrip()
    assert page.locator("h1 + .course-origin").inner_text().startswith("Figures from profile ci")
    assert page.locator("footer").get_by_text("Figures from profile ci").is_visible()


def test_nothing_sticks_out_on_a_telephone(opened, folder, shots):
    page = opened("index", width=390)
    for path in sorted(folder.glob("*.html")):
        page.goto(path.as_uri())
        if path.stem in ("index", "03_language_models"):
            page.screenshot(path=shots / f"site-{path.stem}-telephone.png", full_page=path.stem == "index")
        page.evaluate("document.querySelectorAll('article details').forEach((fold) => { fold.open = true; })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
        assert page.evaluate(WIDE) == [], path.name
