"""How a knob's value is tried: with what it is worth little without, and with what it takes from its rival."""

from collections.abc import Mapping

from autotune.events import Scalar
from autotune.speed.knobs.entries import Entry, changed, difference, in_setting, is_on
from autotune.speed.measuring.bottleneck import Diagnosis
from autotune.speed.racing.heats.incumbent import Incumbency
from autotune.speed.racing.plan import RacePlan

_WORKERS = "num_workers"
_RIVALS = {_WORKERS: "torch_threads"}
"""Knobs that share cores: one of the two can have more only where the other has less, and neither may win alone."""
_MOST_OF_A_STEP = 0.5
"""Share of waiting for data from which on a worker has work for a core all the time, and is tried with one first."""
_MOST_TO_GIVE_UP = 2
"""A rival keeps half of what it has, where that is tried first: one thread of sixteen is no likely winner."""
_STAYING, _ALLOCATOR = "persistent_workers", "allocator"
_BESIDE: dict[str, tuple[str, Scalar]] = {_WORKERS: (_STAYING, True), "channels_last": (_ALLOCATOR, "retain")}
"""By knob, what it is tried beside from the start: workers that begin anew with each epoch hide what they win, and
beside glibc's default allocator a process in channels_last is fast or slow for life, as its start decides."""
_INTERACTIONS: tuple[frozenset[str], ...] = (
    frozenset({"num_workers", "torch_threads"}),  # they compete for the same cores
    frozenset({"num_workers", "persistent_workers"}),  # more of them start more slowly, unless they stay
    frozenset({"cache", "torch_threads"}),
    frozenset({"channels_last", "precision"}),  # tensor cores want NHWC
    # In NHWC oneDNN's buffers are large: mapped anew at each step they cost some processes more than the order gains.
    frozenset({"channels_last", _ALLOCATOR}),
    frozenset({"channels_last", "fp32_precision_conv"}),
    frozenset({"sdpa_backend", "precision"}),  # flash attention takes bf16 and fp16 alone
)
"""Knobs whose gains are known to depend on each other."""


class Ways:
    """Settings that differ from the setting to beat by one knob's value, and by what goes with it.

    Args:
        incumbency: Has the setting to beat.
        plan: The knobs and their values.
    """

    def __init__(self, incumbency: Incumbency, plan: RacePlan) -> None:
        self._incumbency = incumbency
        self._entries = plan.entries
        self._wins_with_rival_at_its_least: set[str] = set()
        """Knobs that lost by themselves, so that their next value is not tried by itself again."""

    def current(self, entry: Entry) -> Scalar:
        """The knob's value in the setting to beat."""
        holder = self._incumbency.holder
        return in_setting({**holder.warmed.in_force, **holder.setting}, entry.name, self._entries)

    def changed(self, entry: Entry, value: Scalar) -> dict[str, Scalar] | None:
        """The setting to beat with this value, and with what that is tried beside; None where it is impossible."""
        setting = changed(self._incumbency.setting, entry.name, value, entries=self._entries)
        name, wanted = _BESIDE.get(entry.name, ("", None))
        beside = self._entry(name)
        is_idle = name == _ALLOCATOR and self._incumbency.holder.warmed.device != "cpu"  # it is the host's
        if setting is None or beside is None or wanted not in beside.values or not is_on(value) or is_idle:
            return setting
        if self.current(beside) != beside.knob.simplest:  # it has won already, whatever it is
            return setting
        return changed(setting, name, wanted, entries=self._entries) or setting

    def with_hopes(self, setting: dict[str, Scalar], hopes: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """A challenger's setting with these values, as far as they go together with what it changes itself."""
        own = difference(self._incumbency.setting, setting)
        for name, value in hopes.items():
            hopeful = changed(setting, name, value, entries=self._entries) if value is not None else None
            if hopeful is not None and own.items() <= difference(self._incumbency.setting, hopeful).items():
                setting = hopeful
        return setting

    def of(self, name: str, setting: dict[str, Scalar], diagnosis: Diagnosis | None) -> list[dict[str, Scalar]]:
        """The challenger of this knob by itself, and with what it takes from its rival, the likelier one first."""
        yielding = self._with_rival_at_its_least(name, setting)
        if yielding is None:
            return [setting]
        if name in self._wins_with_rival_at_its_least:
            return [yielding]
        is_likelier = diagnosis is not None and diagnosis.input_share >= _MOST_OF_A_STEP and self._gives_half(yielding)
        return [yielding, setting] if is_likelier else [setting, yielding]

    def learn(self, name: str, winner: Mapping[str, Scalar]) -> None:
        """Note the setting with which this knob's challenger was kept; it is not adopted yet."""
        if winner == self._with_rival_at_its_least(name, winner):
            self._wins_with_rival_at_its_least.add(name)

    def partners(self, adopted: set[str]) -> set[str]:
        """Knobs whose gain may be another one, now that these were adopted."""
        return {name for pair in _INTERACTIONS if pair & adopted for name in pair} - adopted

    def more_to_feed(self, adopted: set[str]) -> set[tuple[str, Scalar]]:
        """More workers than there are, with their knob's name, where what was adopted makes a step compute faster.

        Such a step waits for what a slower one had no use for.
        """
        knobs = {entry.name: entry.knob for entry in self._entries}
        moves = [knobs[name].moves for name in adopted if name in knobs]
        feeding = self._entry(_WORKERS)
        if feeding is None or not any("compute" in kinds and "input" not in kinds for kinds in moves):
            return set()
        current = self.current(feeding)
        return {
            (_WORKERS, value)
            for value in feeding.values
            if isinstance(value, int) and isinstance(current, int) and value > current
        }

    @property
    def brought_along(self) -> set[str]:
        """Knobs that the setting to beat has only because something else was tried beside them.

        Not the allocator: that a process is as fast without it says little of the next one.
        """
        is_raced = self._entry(_STAYING) is not None
        return {_STAYING} if is_raced and self._incumbency.setting.get(_STAYING) else set()

    def _entry(self, name: str) -> Entry | None:
        return next((entry for entry in self._entries if entry.name == name), None)

    def _gives_half(self, yielding: Mapping[str, Scalar]) -> bool:
        """Whether every rival keeps at least half of what it has."""
        rivals = [entry for name in _RIVALS.values() if (entry := self._entry(name)) is not None]
        pairs = [(self.current(rival), yielding.get(rival.name)) for rival in rivals]
        return all(isinstance(n, int) and isinstance(m, int) and n <= _MOST_TO_GIVE_UP * m for n, m in pairs)

    def _with_rival_at_its_least(self, name: str, setting: Mapping[str, Scalar]) -> dict[str, Scalar] | None:
        """The setting with this knob's rival at its least; None where it has no rival, or that is so already."""
        rival = self._entry(_RIVALS.get(name, ""))
        if rival is None or not is_on(setting.get(name)):
            return None
        least = min(value for value in rival.values if isinstance(value, int))
        if self.current(rival) == least:
            return None
        return changed(setting, rival.name, least, entries=self._entries)
