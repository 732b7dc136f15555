"""Pages in a real browser: quiet, alone, readable on a narrow screen, light and dark."""

import pytest

from tests.browser import MISSING, found, tab
from tests.report.html.telling import page_of, write_full
from tests.report.making import config, write_run, write_seeds

pytestmark = [pytest.mark.browser, pytest.mark.skipif(found() is None, reason=MISSING)]

LONG = "a_name_that_goes_on_without_a_place_to_break_it_" * 4
NARROW = 360
# What sticks out to the right of the window and is in nothing that scrolls by itself.
STICKS_OUT = """
[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth + 0.5
  && !e.closest('.scroll, pre, svg, details:not([open])')).map(e => e.outerHTML.slice(0, 200))
"""
# Of every text that is shown, how much its colour stands out from the first background below it.
CONTRASTS = """
(() => {
  const light = c => { const [r, g, b] = c.match(/[\\d.]+/g).map(v => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const below = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
    if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
  return [...document.querySelectorAll('body *')].filter(e => e.offsetParent !== undefined || e.closest('svg'))
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()) && e.tagName !== 'title')
    .map(e => { const s = getComputedStyle(e), a = light(e.closest('svg') ? s.fill : s.color), b = light(below(e));
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 100)]; });
})()
"""


@pytest.fixture(scope="module")
def browser():
    with tab() as made:
        yield made


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a run, that of a set, and that of nothing but broken runs."""
    root = tmp_path_factory.mktemp("runs")
    run = write_full(root / "one", LONG, cfg=config(notes=LONG))
    write_seeds(root / "set", "base", [1.20, 1.21, 1.22])
    write_seeds(root / "set", LONG, [1.17, 1.18, 1.19], cfg=config(optimizer__matrix_lr=LONG), bytes_total=880_000)
    write_full(root / "set", "gain", 4, cfg=config(arch__qk_gain=2.0))
    write_run(root / "set", "base", 4, 0.5, status="certificate_failed", sum_p_mean=23.1, sum_p_max=405.0,
              renormalised_bpb=1.9, passed=False, reason=LONG)  # fmt: skip
    (root / "broken" / LONG / "seed=1").mkdir(parents=True)
    out = {}
    for name, paths in {"run": [run], "set": [root / "set"], "broken": [root / "broken"]}.items():
        out[name] = root / f"{name}.html"
        out[name].write_text(page_of(*paths))
    return out


@pytest.mark.parametrize("name", ["run", "set", "broken"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_quiet_alone_and_as_wide_as_a_narrow_screen(browser, pages, name, scheme):
    browser.errors.clear()
    browser.requests.clear()
    browser.load(pages[name], width=NARROW, scheme=scheme)
    assert browser.errors == []
    assert browser.requests == [pages[name].as_uri()]
    assert browser.run("document.documentElement.scrollWidth") == NARROW
    assert browser.run(STICKS_OUT) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_below_it(browser, pages, scheme):
    for name in ("run", "set"):
        browser.load(pages[name], scheme=scheme)
        found = browser.run(CONTRASTS)
        assert len(found) > 50
        assert [one for one in found if one[0] < 4.5] == []


def test_light_and_dark_are_two(browser, pages):
    colours = []
    for scheme in ("light", "dark"):
        browser.load(pages["run"], scheme=scheme)
        colours.append(browser.run("getComputedStyle(document.body).backgroundColor"))
    assert colours[0] == "rgb(255, 255, 255)" and colours[1] != colours[0]


def test_what_a_page_fetches_or_says_would_be_seen(browser, tmp_path):
    """The browser sees what these tests look for: it is no property of pages that nobody listens."""
    page = tmp_path / "loud.html"
    page.write_text("<img src=other.png><script>console.error('x')</script><div style='width:2000px'>wide</div>")
    browser.errors.clear()
    browser.requests.clear()
    browser.load(page, width=NARROW)
    assert browser.errors and any(address.endswith("other.png") for address in browser.requests)
    assert browser.run("document.documentElement.scrollWidth") == 2008 and browser.run(STICKS_OUT)


def test_a_page_prints_dark_on_white(browser, pages):
    browser.load(pages["set"], scheme="dark")
    browser.send("Emulation.setEmulatedMedia", media="print")
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.pdf().startswith(b"%PDF")
    browser.send("Emulation.setEmulatedMedia", media="")
