"""What comes first of many, against a look at each."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet_agent.telemetry.lazy_heap import Key, LazyHeap


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "rises", "leaves", "ends", "first", "first"]),
            st.sampled_from("abcde"),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_the_lowest_comes_first_whatever_became_of_the_others(
    steps: list[tuple[str, str, int]],
) -> None:
    keys: dict[str, Key] = {}
    looks = 0

    def look(item: str) -> Key | None:
        nonlocal looks
        looks += 1
        return keys.get(item)

    heads = LazyHeap(look)
    for what, item, number in steps:
        key = (float(number), 0.0)
        match what:
            case "put":
                # Known to be this or higher: mostly it is, sometimes it was put lower before.
                keys[item] = max(key, keys.get(item, key))
                heads.put(item, key)
            case "rises" if item in keys:
                keys[item] = max(key, keys[item])
            case "leaves":
                keys.pop(item, None)
                heads.discard(item)
            case "ends":
                keys.pop(item, None)
            case _:
                pass
        looks = 0
        found = heads.first()
        assert looks <= 6
        lowest = min(keys.values(), default=None)
        assert (found and found[1]) == lowest
        assert found is None or keys[found[0]] == lowest


def test_an_item_that_is_put_lower_again_and_again_takes_no_room() -> None:
    keys = {"a": (5000.0,), "b": (4500.0,), "c": (4400.0,)}
    heads = LazyHeap(keys.get)
    heads.put("c", (4400.0,))
    for number in range(4000, 3000, -1):
        for item in "ab":
            heads.put(item, (float(number),))
    assert len(heads._heap) < 100
    assert heads.first() == ("c", (4400.0,))


def test_a_look_that_forgets_the_item_goes_on_with_the_next() -> None:
    """As one into a file that turns out to be damaged."""

    def look(item: str) -> Key:
        if item == "a":
            heads.discard("a")
        return (5.0,)

    heads = LazyHeap(look)
    heads.put("a", (1.0,))
    heads.put("b", (2.0,))
    assert heads.first() == ("b", (5.0,))
