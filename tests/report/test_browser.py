"""The page in a headless Chromium: no word in the console, nothing wider than the screen, light and dark, printable."""

from __future__ import annotations

import base64

import pytest
from browser import CHROMIUM, Browser

from dqnumba.report import render, save_picture
from dqnumba.report.curves import speed_chart, training_charts

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (apt-get install chromium)")

# Contrast of every text with what lies behind it, by the formula of WCAG 2; the least, and where it is.
CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, back) => top.slice(0, 3).map((v, i) => v * (top[3] ?? 1) + back[i] * (1 - (top[3] ?? 1)));
  const luminance = c => c.map(v => v / 255).map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  let least = [99, ''];
  for (const node of document.querySelectorAll('body *')) {
    if (![...node.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
    if (['title', 'style'].includes(node.tagName)) continue;
    let layers = [];
    for (let e = node; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    let back = [255, 255, 255];
    for (const layer of layers.reverse()) back = over(layer, back);
    const style = getComputedStyle(node);
    const ink = over(parse(node.namespaceURI.endsWith('svg') ? style.fill : style.color), back);
    const [a, b] = [luminance(ink), luminance(back)].sort((p, q) => q - p);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least[0]) least = [ratio, node.outerHTML.slice(0, 120)];
  }
  return least;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    found = Browser(tmp_path_factory.mktemp("profile"))
    yield found
    found.close()


@pytest.fixture(scope="module")
def urls(findings, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, found in findings.items():
        (folder / f"{name}.html").write_text(render(found), encoding="utf-8")
    return {name: (folder / f"{name}.html").as_uri() for name in findings}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ["node", "graph", "regression"])
def test_it_renders_without_a_word_in_the_console(browser, urls, name, width, dark):
    browser.complaints.clear()
    browser.open(urls[name], width=width, dark=dark)
    assert browser.evaluate("document.querySelectorAll('main > section').length") == 7
    wide = browser.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide == [width, width]
    # Nothing sticks out, apart from what stands in a frame of its own that scrolls.
    out = browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll') && !e.closest('.skip') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
    )
    assert out == []
    back = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == ("rgb(18, 22, 28)" if dark else "rgb(255, 255, 255)")  # so the policy lets the style sheet in
    ratio, where = browser.evaluate(CONTRAST)
    assert ratio >= 4.5, where  # WCAG 2, level AA
    assert browser.complaints == []


def test_the_console_is_heard(browser, tmp_path):
    """The check above would see a fault: a refused script is one."""
    page = tmp_path / "faulty.html"
    page.write_text(
        "<!doctype html><meta http-equiv=Content-Security-Policy content=\"default-src 'none'\"><script>1</script>"
    )
    browser.complaints.clear()
    browser.open(page.as_uri())
    browser.evaluate("1")
    assert browser.complaints


def test_the_keyboard_reaches_everything(browser, urls):
    browser.open(urls["node"], width=390)
    order = []
    for _ in range(40):
        for kind in ("keyDown", "keyUp"):
            browser.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        order.append(browser.evaluate("document.activeElement.className || document.activeElement.hash"))
    assert order[0] == "skip" and "#sites" in order and order.count("scroll") >= 7


def test_it_prints(browser, urls):
    browser.open(urls["node"], dark=True)
    content = base64.b64decode(browser.call("Page.printToPDF", printBackground=False)["data"])
    assert content[:5] == b"%PDF-" and len(content) > 20_000


def test_pictures_of_their_own(browser, findings, tmp_path):
    found = findings["node"]
    training = found["training"]
    save_picture(tmp_path / "curves.svg", training_charts(training["history"], training["best_epoch"]), "curves")
    save_picture(tmp_path / "times.svg", [speed_chart(found["speed"])], "times")
    for name, count in (("curves", 2), ("times", 1)):
        browser.complaints.clear()
        browser.open((tmp_path / f"{name}.svg").as_uri())
        assert browser.evaluate("document.querySelectorAll('.chart-title').length") == count
        outside = browser.evaluate(
            "(() => { const r = document.documentElement.getBoundingClientRect(); return "
            "[...document.querySelectorAll('text')].filter(e => { const b = e.getBoundingClientRect(); return "
            "b.left < r.left - 1 || b.right > r.right + 1 || b.bottom > r.bottom + 1 || b.top < r.top - 1 })"
            ".map(e => e.textContent) })()"
        )
        assert outside == [] and browser.complaints == []
