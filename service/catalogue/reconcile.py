"""What is to be done so that the versions which ought to serve do: a pure function of what the
store holds and what is known of each version.

It is asked again whenever something has changed, and says the next steps each time. So what a step
led to decides what comes next: where a version failed to load, the next older one is tried.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.catalogue.store import Artefact, Found, Selector

# A folder that changes places with another one is away for a moment.
CONFIRM_SECONDS = 1.0

Key = tuple[str, int]


@dataclass(frozen=True)
class Known:
    """One version as the catalogue has it.

    `tried` is the fingerprint of the last attempt; an attempt is repeated when the folder has
    another one, or from `retry_at` on. `serves` says that a request for it is taken: it is
    `loaded`, or can be loaded for it, as is `asked_for` where one waits. `busy` says that an
    attempt is under way. `bytes` is what it takes of the memory, or will once it is loaded.
    """

    tried: str | None = None
    retry_at: float = math.inf
    serves: bool = False
    loaded: bool = False
    asked_for: bool = False
    busy: bool = False
    retired: bool = False
    missing_since: float | None = None
    bytes: int = 0


@dataclass(frozen=True)
class Policy:
    """Which models to serve, and when to load them. `selection` empty is the newest version of
    every model; `max_bytes` None sets no cap.
    """

    selection: tuple[Selector, ...] = ()
    lazy: bool = False
    max_bytes: int | None = None


@dataclass(frozen=True)
class Load:
    """Load it and let it serve, upon which `replaces` leave."""

    artefact: Artefact
    replaces: frozenset[Key] = frozenset()


@dataclass(frozen=True)
class Read:
    """Read what it promises; it is loaded once it is asked for."""

    artefact: Artefact


@dataclass(frozen=True)
class Retire:
    """Let it serve no new request, and forget it."""

    key: Key


Action = Load | Read | Retire


@dataclass
class Plan:
    """`missing` are versions that serve and that the store does not hold, `absent` the models of
    the selection that it does not. `look_again_at` is when there may be more to do though nothing
    changes.
    """

    actions: list[Action] = field(default_factory=list)
    missing: set[Key] = field(default_factory=set)
    absent: list[Selector] = field(default_factory=list)
    look_again_at: float = math.inf


def reconcile(found: Found, known: Mapping[Key, Known], policy: Policy, now: float) -> Plan:
    """The next steps. Times are in seconds of time.monotonic()."""
    return _Reconciliation(found, known, policy, now).plan()


class _Reconciliation:
    def __init__(
        self, found: Found, known: Mapping[Key, Known], policy: Policy, now: float
    ) -> None:
        self._found = found
        self._known = known
        self._policy = policy
        self._now = now
        self._plan = Plan()
        self._kept: set[Key] = set()
        self._new_bytes = 0

    def plan(self) -> Plan:
        names = {*self._found.models, *self._found.unreadable, *(name for name, _ in self._known)}
        for selector in self._policy.selection or tuple(map(Selector, sorted(names))):
            self._serve(selector)
        for key in sorted(self._known.keys() - self._kept):
            if not self._known[key].retired:
                self._plan.actions.append(Retire(key))
        return self._plan

    def _serve(self, selector: Selector) -> None:
        """Have the newest version that works serve it, and what serves now until it does."""
        matching = {key for key in self._known if _matches(selector, key)}
        if selector.name in self._found.unreadable or self._is_any_away(matching):
            self._kept |= matching
            return
        candidates = [
            artefact
            for version, artefact in sorted(
                self._found.models.get(selector.name, {}).items(), reverse=True
            )
            if selector.version in (None, version)
        ]
        if not candidates and self._policy.selection:
            self._plan.absent.append(selector)
        if self._try_in_turn(candidates, matching):  # what serves now is needed until then
            self._kept |= {key for key in matching if self._known[key].serves}

    def _is_any_away(self, keys: Iterable[Key]) -> bool:
        """Whether a version that serves is not in the store, and has not been for long."""
        away = False
        for key in sorted(keys):
            known = self._known[key]
            name, version = key
            if known.serves and version not in self._found.models.get(name, {}):
                self._plan.missing.add(key)
                since = self._now if known.missing_since is None else known.missing_since
                if self._now < since + CONFIRM_SECONDS:
                    self._look_again(since + CONFIRM_SECONDS)
                    away = True
        return away

    def _try_in_turn(self, candidates: Iterable[Artefact], matching: set[Key]) -> bool:
        """Keep the versions down to the first that serves. True where there is none, and it is open
        whether one will.
        """
        is_open = False
        for artefact in candidates:
            key = (artefact.name, artefact.version)
            known = self._known.get(key, Known())
            is_settled = not (known.busy or known.retired or self._is_to_be_tried(known, artefact))
            if not is_settled and is_open:  # one at a time
                break
            self._kept.add(key)
            if not is_settled:
                is_open = True
                if not known.busy and not known.retired:
                    self._try(artefact, known, matching - {key})
            else:
                self._look_again(known.retry_at)
            if known.serves:
                return False
        return is_open

    def _is_to_be_tried(self, known: Known, artefact: Artefact) -> bool:
        return known.tried != artefact.fingerprint or known.retry_at <= self._now

    def _try(self, artefact: Artefact, known: Known, others: set[Key]) -> None:
        if any(
            action.artefact == artefact
            for action in self._plan.actions
            if not isinstance(action, Retire)
        ):
            return
        pinned = {(s.name, s.version) for s in self._policy.selection}
        replaces = frozenset(key for key in others - pinned if self._known[key].loaded)
        # in place of one that is loaded, so that no request waits for it
        if known.loaded or known.asked_for or replaces or self._loads_unasked(artefact):
            self._plan.actions.append(Load(artefact, replaces))
            self._new_bytes += artefact.size_bytes
        else:
            self._plan.actions.append(Read(artefact))

    def _loads_unasked(self, artefact: Artefact) -> bool:
        taken = sum(known.bytes for known in self._known.values()) + self._new_bytes
        cap = self._policy.max_bytes
        return not self._policy.lazy and (cap is None or taken + artefact.size_bytes <= cap)

    def _look_again(self, at: float) -> None:
        self._plan.look_again_at = min(self._plan.look_again_at, at)


def _matches(selector: Selector, key: Key) -> bool:
    name, version = key
    return name == selector.name and selector.version in (None, version)
