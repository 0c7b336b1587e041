"""The picture of a search: well-formed, complete, and readable without colour."""

from __future__ import annotations

from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from edgeops.reports.pareto import Point, pareto_picture

NAMESPACE = "{http://www.w3.org/2000/svg}"

points = st.lists(
    st.builds(
        Point,
        st.text("0123456789", min_size=1, max_size=3),
        st.floats(-1, 1),
        st.integers(1, 10**7),
        st.none() | st.floats(1e-3, 1e5),
        st.booleans(),
    ),
    max_size=12,
)


def drawn(*some: Point, left_out: int = 0) -> ElementTree.Element:
    return ElementTree.fromstring(pareto_picture("a < b", "accuracy", some, left_out))


def words(picture: ElementTree.Element) -> list[str]:
    return [text.text or "" for text in picture.iter(f"{NAMESPACE}text")]


def marks(picture: ElementTree.Element) -> list[ElementTree.Element]:
    """The points; those of the legend have no tip."""
    return [e for e in picture.iter() if e.get("class") == "mark" and e.find(f"{NAMESPACE}title") is not None]


@given(points)
def test_every_point_is_inside_with_what_it_stands_for(some: list[Point]) -> None:
    picture = drawn(*some)
    tips = [mark.findtext(f"{NAMESPACE}title", "") for mark in marks(picture)]
    assert sorted(tip.split(":")[0] for tip in tips) == sorted(f"trial {point.label}" for point in some)
    for circle in picture.iter(f"{NAMESPACE}circle"):
        assert 78 <= float(circle.get("cx", "nan")) <= 876
        assert 60 <= float(circle.get("cy", "nan")) <= 463


def test_slower_ones_have_another_shape() -> None:
    picture = drawn(*(Point(str(n), 0.5 + n / 10, 1000 * n, 2.0**n, False) for n in range(1, 4)))
    assert [mark.tag.removeprefix(NAMESPACE) for mark in marks(picture)] == ["circle", "rect", "path"]
    assert [word for word in words(picture) if " ms" in word] == ["under 4 ms", "4 to 8 ms", "8 ms or more"]


def test_the_front_is_labelled_and_joined_and_the_rest_is_not() -> None:
    front = [Point(str(n), 0.5 + n / 10, 1000 * n, None, True) for n in range(1, 4)]
    picture = drawn(*front, Point("9", 0.4, 5000, None, False), left_out=2)
    labels = [text.text for text in picture.iter(f"{NAMESPACE}text") if text.get("font-weight") == "600"]
    assert labels == ["a < b", "1", "2", "3"]
    (line,) = [path for path in picture.iter(f"{NAMESPACE}path") if path.get("class") == "front"]
    assert (line.get("d") or "").count("H") == 2
    assert any("2 of 6 trials are not shown" in word for word in words(picture))
    sizes = {mark.get("r") for mark in marks(picture)}
    assert sizes == {"7.0", "4.0"}


def test_an_empty_search_says_so() -> None:
    assert "no trial fits yet" in words(drawn())
    assert drawn().findtext(f"{NAMESPACE}title") == "a < b"
