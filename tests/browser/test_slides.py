"""The slides of all lectures in a real browser: opened as files, without a network, every one of them looked at."""

import time
from pathlib import Path

import pytest

from course_tools import PATIENCE, notebooks, slides

LECTURES = [path.stem for path in notebooks.find()]
# What stands outside the frame, or is cut off without a way to scroll to it; pictures that did not come or have no
# words; slides that are empty. (The ink of a formula may rise above its line.)
LOOK = """() => {
  const slide = Reveal.getCurrentSlide(), frame = slide.querySelector(".frame"), edge = frame.getBoundingClientRect();
  const scrolls = (box) => ["auto", "scroll"].includes(getComputedStyle(box).overflowY);
  const found = [];
  for (const box of frame.querySelectorAll("*")) {
    if (box.closest("math")) continue;
    const place = box.getBoundingClientRect();
    let inside = box.parentElement;
    while (inside !== frame && !(scrolls(inside) && inside.scrollHeight > inside.clientHeight + 1)) inside = inside.parentElement;
    const out = place.right > edge.right + 1 || place.left < edge.left - 1 || place.bottom > edge.bottom + 1;
    if (inside === frame && out) found.push(`outside: ${box.outerHTML.slice(0, 90)}`);
    const cut = ["hidden", "clip"].includes(getComputedStyle(box).overflowY) && !box.matches(".kicker");
    if (cut && box.scrollHeight > box.clientHeight + 1) found.push(`cut off: ${box.outerHTML.slice(0, 90)}`);
    if (box.matches(".math_block, .table, pre") && box.scrollWidth > box.clientWidth + 1)
      found.push(`too wide: ${box.outerHTML.slice(0, 90)}`);
  }
  if (frame.scrollHeight > frame.clientHeight + 1) found.push("taller than the screen");
  // Text and code can be read from the last row; tables of many columns may be set smaller.
  for (const box of frame.querySelectorAll(".body, .body *")) {
    const own = [...box.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const small = parseFloat(getComputedStyle(box).fontSize), least = box.closest(".table") ? 12 : 14;
    if (own && !box.closest("math") && small < least - 0.1) found.push(`too small, ${small}: ${box.outerHTML.slice(0, 90)}`);
  }
  for (const image of slide.querySelectorAll("img")) {
    if (!image.complete || !image.naturalWidth || !image.alt) found.push(`no picture or no words: ${image.alt}`);
    if (image.closest("figure") && image.clientHeight < 180) found.push(`tiny: ${image.alt}`);
  }
  if (slide.querySelector(".body").innerText.trim().length < 4 && !slide.querySelector("img")) found.push("empty");
  if (!slide.querySelector(".origin").innerText.startsWith("Figures from profile ci")) found.push("from where?");
  return {
    found,
    kind: slide.className.split(" ")[0],
    shows: ["figure", ".code", ".answers"].filter((what) => slide.querySelector(what)),
    scrolls: [...frame.querySelectorAll(".body, pre, .table")].some(
      (box) => scrolls(box) && box.scrollHeight > box.clientHeight + 1),
    place: JSON.stringify(Reveal.getIndices()),
  };
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """All slides, made once; those of a talk in the folder ``short``."""
    out = tmp_path_factory.mktemp("slides")
    slides.write_slides(None, out / "long")
    slides.write_slides(None, out / "short", short=True)
    return out


@pytest.fixture
def page(browser):
    """A page without a network; at the end nothing may have been asked for or complained about."""
    context = browser.new_context(viewport={"width": 1280, "height": 720})
    context.set_default_timeout(PATIENCE * 1000)
    context.set_offline(True)
    page, troubles = context.new_page(), []
    context.on(
        "request", lambda r: troubles.append(r.url) if not r.url.startswith(("file:", "data:")) else None
    )
    # Aborted: the browser still wanted a page's icon when it was sent to the next page.
    context.on(
        "requestfailed",
        lambda r: troubles.append(f"{r.failure}: {r.url[:200]}") if r.failure != "net::ERR_ABORTED" else None,
    )
    context.on(
        "console",
        lambda message: troubles.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: troubles.append(str(error)))
    yield page
    context.close()
    assert not troubles


def opened(page, path: Path, query: str = ""):
    page.goto(path.as_uri() + query)
    page.wait_for_function("window.Reveal && Reveal.isReady()")


@pytest.mark.parametrize(
    "name", [*(f"long/{name}" for name in LECTURES), *(f"short/{name}" for name in LECTURES)]
)
def test_every_slide_can_be_read(page, built, shots, name):
    opened(page, built / f"{name}.html")
    count, seen, wrong, scrolling, shot = page.evaluate("Reveal.getTotalSlides()"), set(), [], 0, set()
    for number in range(1, count + 1):
        look = page.evaluate(LOOK)
        seen.add(look["place"])
        wrong += [f"{number}: {line}" for line in look["found"]]
        scrolling += look["scrolls"]
        for kind in {look["kind"], *look["shows"]} & {
            "title",
            "section",
            "figure",
            ".code",
            "quiz",
            "answers",
        } - shot:
            page.screenshot(path=shots / f"slides-{name.replace('/', '-')[:8]}-{kind.strip('.')}.png")
            shot.add(kind)
        page.keyboard.press("Space")
    assert not wrong
    assert len(seen) == count > (40 if name.startswith("long") else 10), (
        "the space bar leads through all of them"
    )
    assert scrolling <= count / 5


def test_everybody_can_read_them(page, built, flaws):
    page.goto((built / "long" / "index.html").as_uri())
    assert flaws(page) == []
    opened(page, built / "long" / f"{LECTURES[0]}.html")
    for number in range(1, page.evaluate("Reveal.getTotalSlides()") + 1):
        assert flaws(page) == [], number
        page.keyboard.press("Space")


def test_keys_overview_notes_and_scrolling(page, built, shots):
    opened(page, built / "long" / f"{LECTURES[3]}.html")
    page.keyboard.press("Escape")
    assert page.evaluate("Reveal.isOverview()")
    page.screenshot(path=shots / "slides-overview.png")
    page.keyboard.press("Escape")
    with page.context.expect_page() as speaker:
        page.keyboard.press("s")
    notes = speaker.value.locator(".speaker-controls-notes .value")
    notes.wait_for(state="attached")
    deadline = time.monotonic() + PATIENCE
    while not (said := notes.inner_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert len(said) > 200
    speaker.value.close()
    assert page.locator(".slide-number").inner_text().startswith("1")
    box = "Reveal.getCurrentSlide().querySelector('.code')"
    while not page.evaluate(f"{box} && {box}.scrollHeight > {box}.clientHeight + 20"):
        page.keyboard.press("Space")
    top = f"{box}.scrollTop"
    page.keyboard.press("d")
    assert page.evaluate(top) > 0
    page.keyboard.press("u")
    assert page.evaluate(top) == 0


def test_index_leads_to_each_lecture(page, built, shots):
    page.goto((built / "long" / "index.html").as_uri())
    links = page.locator("li a")
    assert links.count() == len(LECTURES)
    page.screenshot(path=shots / "slides-index.png")
    for number in range(len(LECTURES)):
        page.goto((built / "long" / "index.html").as_uri())
        links.nth(number).click()
        page.wait_for_function("window.Reveal && Reveal.isReady()")
        assert LECTURES[number] in page.url


def test_on_paper_every_slide_has_its_page_and_long_code_all_its_lines(page, built):
    opened(page, built / "long" / f"{LECTURES[3]}.html", "?print-pdf")
    page.wait_for_selector(".pdf-page")
    page.wait_for_function(
        "[...document.querySelectorAll('.frame')].every((frame) => frame.closest('.pdf-page'))"
    )
    sizes = page.evaluate(
        """[...document.querySelectorAll(".pdf-page .frame")].map((frame) => ({
          fits: frame.scrollHeight <= frame.closest(".pdf-page").clientHeight + 1,
          hidden: [...frame.querySelectorAll("pre")].some((box) => box.scrollHeight > box.clientHeight + 2)}))"""
    )
    assert len(sizes) > 40
    assert all(size["fits"] and not size["hidden"] for size in sizes)
