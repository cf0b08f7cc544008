"""The pure function, by cases and by a store and loads that do anything."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.catalogue.reconcile import (
    CONFIRM_SECONDS,
    Key,
    Known,
    Load,
    Plan,
    Policy,
    Read,
    Retire,
    reconcile,
)
from service.catalogue.store import Artefact, Found, Selector

NOW = 1000.0
READY = Known(tried="a", serves=True, loaded=True, bytes=10)
FAILED = Known(tried="a")
UNLOADED = Known(tried="a", serves=True)


def artefact(version: int, fingerprint: str = "a", name: str = "m", size: int = 10) -> Artefact:
    return Artefact(name, version, Path(name, str(version)), fingerprint, size)


def found(*artefacts: Artefact, unreadable: Mapping[str, str] | None = None) -> Found:
    models: dict[str, dict[int, Artefact]] = {}
    for each in artefacts:
        models.setdefault(each.name, {})[each.version] = each
    return Found(models, unreadable or {})


def steps(
    store: Found,
    known: Mapping[int, Known] | None = None,
    policy: Policy | None = None,
    now: float = NOW,
) -> Plan:
    """The plan where everything known is a version of "m"."""
    slots = {("m", version): each for version, each in (known or {}).items()}
    return reconcile(store, slots, policy or Policy(), now)


def selecting(*texts: str) -> Policy:
    return Policy(tuple(map(Selector.parse, texts)))


def test_the_newest_version_is_loaded_and_no_other() -> None:
    plan = steps(found(artefact(9), artefact(12), artefact(1)))
    assert plan.actions == [Load(artefact(12))]
    assert plan.look_again_at == math.inf


def test_nothing_is_done_where_all_is_as_it_should_be() -> None:
    assert steps(found(artefact(1), artefact(2)), {2: READY}).actions == []


def test_what_is_under_way_is_not_begun_again() -> None:
    assert steps(found(artefact(1)), {1: Known(tried="a", busy=True)}).actions == []
    assert steps(found(artefact(1, "b")), {1: replace(READY, busy=True)}).actions == []


def test_an_older_version_is_tried_once_the_newer_one_has_failed() -> None:
    store = found(artefact(1), artefact(2))
    assert steps(store, {2: Known(tried="a", busy=True)}).actions == []
    assert steps(store, {2: FAILED}).actions == [Load(artefact(1))]
    assert steps(store, {2: FAILED, 1: FAILED}).actions == []


def test_what_serves_is_replaced_by_what_is_loaded_and_leaves_after_that() -> None:
    store = found(artefact(1), artefact(2))
    lazy = Policy(lazy=True)
    assert steps(store, {1: READY}, lazy).actions == [Load(artefact(2), frozenset({("m", 1)}))]
    assert steps(store, {1: READY, 2: Known(tried="a", busy=True)}).actions == []
    assert steps(store, {1: READY, 2: READY}).actions == [Retire(("m", 1))]


def test_a_newer_version_that_fails_leaves_the_older_one_serving() -> None:
    assert steps(found(artefact(1), artefact(2)), {1: READY, 2: FAILED}).actions == []


def test_a_changed_folder_is_tried_again_in_place_of_what_serves() -> None:
    assert steps(found(artefact(1, "b")), {1: READY}).actions == [Load(artefact(1, "b"))]
    assert steps(found(artefact(1, "b")), {1: FAILED}).actions == [Load(artefact(1, "b"))]


def test_a_failed_attempt_is_repeated_when_its_time_has_come_and_not_before() -> None:
    waiting = replace(FAILED, retry_at=NOW + 5)
    plan = steps(found(artefact(1)), {1: waiting})
    assert (plan.actions, plan.look_again_at) == ([], NOW + 5)
    assert steps(found(artefact(1)), {1: waiting}, now=NOW + 5).actions == [Load(artefact(1))]
    assert steps(found(artefact(1)), {1: FAILED}, now=NOW + 1e6).actions == []


def test_a_replacement_that_failed_for_now_is_tried_again_while_the_old_one_serves() -> None:
    plan = steps(found(artefact(1)), {1: replace(READY, retry_at=NOW + 5)})
    assert (plan.actions, plan.look_again_at) == ([], NOW + 5)


def test_a_lazy_model_is_read_and_loaded_for_whoever_asks() -> None:
    lazy = Policy(lazy=True)
    assert steps(found(artefact(1)), policy=lazy).actions == [Read(artefact(1))]
    assert steps(found(artefact(1)), {1: UNLOADED}, lazy).actions == []
    changed = found(artefact(1, "b"))
    assert steps(changed, {1: UNLOADED}, lazy).actions == [Read(artefact(1, "b"))]
    asked_for = replace(UNLOADED, asked_for=True)
    assert steps(changed, {1: asked_for}, lazy).actions == [Load(artefact(1, "b"))]


def test_a_version_that_is_away_for_a_moment_stays() -> None:
    first = steps(found(artefact(1)), {2: READY})
    assert (first.actions, first.missing) == ([], {("m", 2)})
    assert first.look_again_at == NOW + CONFIRM_SECONDS
    missing = {2: replace(READY, missing_since=NOW)}
    assert steps(found(artefact(1), artefact(2)), missing).actions == []
    later = NOW + CONFIRM_SECONDS
    assert steps(found(), missing, now=later).actions == [Retire(("m", 2))]


def test_a_version_that_is_gone_serves_until_an_older_one_does() -> None:
    gone = {2: replace(READY, missing_since=NOW - 60)}
    only_old = found(artefact(1))
    assert steps(only_old, gone).actions == [Load(artefact(1), frozenset({("m", 2)}))]
    loading = {**gone, 1: Known(tried="a", busy=True)}
    assert steps(only_old, loading).actions == []
    assert steps(only_old, {**gone, 1: READY}).actions == [Retire(("m", 2))]


def test_a_failed_version_that_is_gone_is_forgotten_at_once() -> None:
    assert steps(found(artefact(1)), {1: READY, 2: FAILED}).actions == [Retire(("m", 2))]


def test_a_version_that_comes_back_while_it_drains_is_left_to_drain() -> None:
    assert steps(found(artefact(1)), {1: Known(tried="a", retired=True)}).actions == []


def test_a_folder_that_cannot_be_read_changes_nothing_for_its_model_and_nothing_for_others() -> (
    None
):
    store = found(artefact(1, name="other"), unreadable={"m": "Permission denied"})
    plan = steps(store, {1: READY, 2: FAILED})
    assert plan.actions == [Load(artefact(1, name="other"))]
    assert plan.absent == []


def test_only_what_is_selected_is_served_and_what_is_absent_is_said() -> None:
    store = found(artefact(1), artefact(2), artefact(1, name="other"))
    plan = steps(store, policy=selecting("m/1", "gone", "other/7"))
    assert plan.actions == [Load(artefact(1))]
    assert plan.absent == [Selector("gone"), Selector("other", 7)]


def test_two_pinned_versions_of_one_model_do_not_replace_each_other() -> None:
    policy = replace(selecting("m/1", "m/2"), max_bytes=15)
    store = found(artefact(1), artefact(2))
    assert steps(store, policy=policy).actions == [Load(artefact(1)), Read(artefact(2))]
    assert steps(store, {1: READY}, policy).actions == [Read(artefact(2))]


def test_a_pinned_version_stays_beside_the_newest_one() -> None:
    policy = selecting("m", "m/1")
    store = found(artefact(1), artefact(2), artefact(3))
    assert steps(store, {1: READY, 2: READY}, policy).actions == [
        Load(artefact(3), frozenset({("m", 2)}))
    ]
    assert steps(store, {1: READY, 2: READY, 3: READY}, policy).actions == [Retire(("m", 2))]


def test_as_many_are_loaded_unasked_as_the_cap_has_room_for() -> None:
    store = found(*(artefact(1, name=name) for name in "abc"))
    policy = Policy(max_bytes=25)
    assert steps(store, policy=policy).actions == [
        Load(artefact(1, name="a")),
        Load(artefact(1, name="b")),
        Read(artefact(1, name="c")),
    ]


@dataclass
class Folder:
    content: int
    works: bool


class World:
    """A store, and a catalogue that does what the plan says; loads end when they are told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.store: dict[int, Folder] = {}
        self.known: dict[Key, Known] = {}
        self.serving: dict[Key, int] = {}  # the content that is loaded

    def look(self) -> Plan:
        artefacts = [artefact(version, str(each.content)) for version, each in self.store.items()]
        plan = reconcile(found(*artefacts), self.known, Policy(), self.now)
        served = {key for key, each in self.known.items() if each.serves and key[1] in self.store}
        for key, each in self.known.items():
            since = (each.missing_since or self.now) if key in plan.missing else None
            self.known[key] = replace(each, missing_since=since)
        for action in plan.actions:
            if isinstance(action, Retire):
                del self.known[action.key]
                self.serving.pop(action.key, None)
            else:
                key = (action.artefact.name, action.artefact.version)
                assert isinstance(action, Load)
                before = self.known.get(key, Known())
                tried = action.artefact.fingerprint
                self.known[key] = replace(before, busy=True, tried=tried, retry_at=math.inf)
        kept = {key for key, each in self.known.items() if each.serves}
        assert kept or not served, "what served went before another one did"
        return plan

    def end_load(self, key: Key) -> None:
        known = self.known[key]
        folder = self.store.get(key[1])
        if folder is None or str(folder.content) != known.tried:  # it changed meanwhile
            self.known[key] = replace(known, busy=False, retry_at=self.now)
            return
        if folder.works:
            self.serving[key] = folder.content
        loaded = key in self.serving
        self.known[key] = replace(known, busy=False, serves=loaded, loaded=loaded)

    def settle(self) -> None:
        for _ in range(100):
            self.now += CONFIRM_SECONDS
            plan = self.look()
            busy = [key for key, each in self.known.items() if each.busy]
            for key in busy:
                self.end_load(key)
            if not (plan.actions or busy or plan.look_again_at < math.inf):
                return
        raise AssertionError("there is always more to do")


EVENTS = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 4), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("remove"), st.integers(1, 4)),
    st.tuples(st.just("look")),
    st.tuples(st.just("end loads")),
)


@given(st.lists(EVENTS, max_size=25))
def test_whatever_happens_the_newest_version_that_works_serves_alone_in_the_end(
    events: list[tuple[object, ...]],
) -> None:
    world = World()
    for event in events:
        match event:
            case ("put", int(version), int(content), bool(works)):
                world.store[version] = Folder(content * 2 + works, works)
            case ("remove", int(version)):
                world.store.pop(version, None)
            case ("look",):
                world.look()
            case _:
                for key in [key for key, each in world.known.items() if each.busy]:
                    world.end_load(key)
    world.settle()
    working = [version for version, folder in world.store.items() if folder.works]
    serving = {key: content for key, content in world.serving.items() if world.known[key].serves}
    if working:
        newest = max(working)
        if ("m", newest) in serving and serving["m", newest] == world.store[newest].content:
            assert set(serving) == {("m", newest)} or any(v > newest for _, v in serving)
        else:
            # a newer version that was overwritten with what does not work serves on as it was
            assert any(version > newest for _, version in serving)
    else:
        assert all(version in world.store for _, version in serving)


@pytest.mark.parametrize("text", ["m", "m/1"])
def test_a_selected_model_that_is_gone_is_missed_once_that_is_sure(text: str) -> None:
    policy = selecting(text)
    assert steps(found(), {1: READY}, policy).absent == []
    gone = {1: replace(READY, missing_since=NOW - 60)}
    assert steps(found(), gone, policy).absent == [Selector.parse(text)]
