"""Pages that lloyd report writes, for its tests: they are made, read as XML, and looked at for what every page must be."""
import os
import re
import xml.etree.ElementTree as ElementTree

import h5py
import numpy as np

from common import digest, part_files


def text_of(element):
    return "".join(element.itertext())


class Page:
    """A page that was read as XML, which is stricter than a browser."""

    def __init__(self, path):
        with open(path, "rb") as file:
            self.bytes = file.read()
        self.text = self.bytes.decode("utf-8")
        self.root = ElementTree.fromstring(self.text)

    def find(self, identifier):
        return self.root.find(f".//*[@id='{identifier}']")

    def svg(self, chart):
        """The plot of this name, None if there is none."""
        found = [svg for svg in self.root.iter("svg") if svg.get("aria-labelledby") == f"{chart}-t {chart}-d"]
        return found[0] if found else None

    def table(self, identifier):
        """The rows of a table: of each cell the exact number, else the text."""
        rows = []
        for row in self.find(identifier).iter("tr"):
            cells = []
            for cell in row:
                number = cell.find("data")
                cells.append(float(number.get("value")) if number is not None else text_of(cell))
            rows.append(cells)
        return rows

    def dots(self, chart):
        """(x, y, cx, cy) of the dots of a plot: what their tooltips say, and where they are."""
        found = []
        for dot in self.svg(chart).iter("circle"):
            what, value = text_of(dot).split(": ")
            found.append((float(what.split(" ")[-1]), shown(value), float(dot.get("cx")), float(dot.get("cy"))))
        return np.array(found)


def shown(text):
    """The value of a number as it is shown: 20,000 or 1.87 × 10⁹, with blanks that do not break."""
    mantissa, _, power = text.replace(",", "").replace("−", "-").partition("\u00a0×\u00a010")
    return float(mantissa + ("e" + power.translate(str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")) if power else ""))


def make(path, k=3, d=2, n=None, counts=None, inertia=None, moved=None, seconds=None, **attributes):
    """A model made by hand, of the parts that are given."""
    with h5py.File(path, "w") as file:
        if d == 0:  # not written: reading must not need it
            file.create_dataset("centroids", (k, 100), np.float32)
        else:
            file["centroids"] = np.zeros((k, d), np.float32)
        if counts is not None:
            file["counts"] = np.asarray(counts, np.int64)
        for name, values, kind in (("inertia", inertia, np.float64), ("moved", moved, np.int64),
                                   ("seconds", seconds, np.float64)):
            if values is not None:
                file["history/" + name] = np.asarray(values, kind)
        if n is not None:
            attributes["n"] = n
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def overlaps(svg):
    """Labels of an axis that come too near each other."""
    found = []
    for name in ("x", "y"):
        labels = [(float(text.get("x")), float(text.get("y")), text_of(text)) for text in svg.iter("text")
                  if text.get("class") == name]
        for (x0, y0, one), (x1, y1, other) in zip(labels, labels[1:]):
            apart = abs(x1 - x0) - 5.8 * (len(one) + len(other)) / 2 if name == "x" else abs(y1 - y0) - 11
            if apart < 0:
                found.append((one, other))
    return found


def check_page(t, what, path, size=400000):
    """What every page must be."""
    try:
        page = Page(path)
    except (ElementTree.ParseError, UnicodeDecodeError, OSError) as error:
        t.check(False, f"{what}: the page is well-formed", f"      {error}")
        return None
    names = {element.tag for element in page.root.iter()}
    attributes = [(name, value) for element in page.root.iter() for name, value in element.attrib.items()]
    loads = [pair for pair in attributes if pair[0] in ("src", "href", "srcset", "data", "action") or "url(" in pair[1]
             or "//" in pair[1]]
    style = text_of(page.root.find("head/style"))
    t.check(not loads and not names & {"script", "link", "img", "iframe", "object", "image", "use"}
            and not re.search(r"url\(|@import|//", style), f"{what}: the page refers to nothing outside", f"      {loads}")
    bad = [pair for pair in attributes
           if pair[0] in ("d", "x", "y", "cx", "cy", "width", "height") and re.search("nan|inf|e", pair[1], re.IGNORECASE)]
    t.check(not bad, f"{what}: every coordinate is a number", f"      {bad[:3]}")
    outside = [text_of(text) for svg in page.root.iter("svg") for text in svg.iter("text")
               if not (0 <= float(text.get("x")) <= 400 and 0 <= float(text.get("y")) <= 240)]
    near = [pair for svg in page.root.iter("svg") for pair in overlaps(svg)]
    t.check(not outside and not near, f"{what}: the labels have room", f"      {outside[:3]} {near[:3]}")
    mute = [svg for svg in page.root.iter("svg") if svg.get("role") != "img" or not text_of(svg.find("title"))
            or not text_of(svg.find("desc"))]
    t.check(not mute, f"{what}: every plot has a title and a description")
    t.check(len(page.bytes) < size, f"{what}: {len(page.bytes)} bytes")
    return page


def report(t, what, model, *arguments, **more):
    """The page of a model, which must be written."""
    output = t.path("report.html")
    result = t.lloyd("report", model, "-o", output, *arguments, timeout=120, **more)
    good = result.status == 0 and os.path.exists(output) and not part_files(output)
    if not t.check(good, f"{what}: a page is written", result.describe()):
        return None
    return check_page(t, what, output)


def refuse(t, what, status, reason, *arguments):
    """A command that fails with one sentence and leaves nothing behind."""
    before = {name: digest(t.path(name)) for name in os.listdir(t.directory) if os.path.isfile(t.path(name))}
    result = t.lloyd("report", *arguments, timeout=60)
    t.check(result.status == status and len(result.messages) == 1 and reason in result.messages[0], f"{what}: status {status}",
            result.describe())
    after = {name: digest(t.path(name)) for name in os.listdir(t.directory) if os.path.isfile(t.path(name))}
    t.check(before == after, f"{what}: no file is written or changed")
