"""The books of trainings that are repeated: configurations of the search, in rounds, on fresh seeds."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from typing_extensions import override

from autotune.coordinator.admission import AdmitAll
from autotune.coordinator.books import Books
from autotune.coordinator.ledger import Ledger
from autotune.coordinator.retraining.contenders import Contender
from autotune.coordinator.seeds import fresh_seed
from autotune.coordinator.speeds import Floor, JointSpeeds
from autotune.coordinator.standing import Standing
from autotune.coordinator.tickets import Ticket
from autotune.events import Outcome, Scalar
from autotune.outages import persist
from autotune.recording.drafts import NewTrial
from autotune.search.proposals import Proposal
from autotune.trial.leases import Lease


@dataclass(frozen=True, kw_only=True)
class Series:
    """The trainings that a study of repeated trainings is to have."""

    name: str
    """The name of that study, such as ``NAME.confirm``."""
    purpose: str
    """What seeds are drawn for: ``confirm`` and ``ablation`` train with different ones."""
    parameter: str
    """Name of the one parameter of that study's search, which is a contender's number."""
    contenders: Sequence[Contender]
    """What is trained again; the reference, with which others are compared, is the first."""
    rounds: Sequence[Sequence[int]]
    """The trainings that are missing, by their contenders' numbers; the first round may have begun."""
    num_trained: int
    """Trainings that earlier starts have begun, of earlier winners too."""
    used_seeds: AbstractSet[int]
    """Seeds of the search's trials, with which nothing is trained again."""
    seconds_left: float | None = None
    """What all missing trainings may take together; None without a limit."""

    @property
    def num_trials(self) -> int:
        """Trainings of the study once none is missing."""
        return self.num_trained + sum(len(each) for each in self.rounds)

    def contender(self, number: int) -> Contender:
        """The contender of that number."""
        return next(each for each in self.contenders if each.number == number)

    def has_contender(self, number: Scalar) -> bool:
        """Whether there is a contender of that number."""
        return any(each.number == number for each in self.contenders)

    def has_parameters(self, parameters: Mapping[str, Scalar]) -> bool:
        """Whether there is a contender of these parameters."""
        return any(each.parameters == parameters for each in self.contenders)


class RetrainLedger(Ledger):
    """Asks for whose turn it is, prunes nothing, and gives up on nothing: a failure is a result."""

    def __init__(
        self,
        books: Books,
        *,
        standing: Standing,
        series: Series,
        is_decided: Callable[[], bool],
        on_beat: Callable[[], None],
    ) -> None:
        """Nothing is asked for yet, but whether the verdict is sure before the first training.

        Args:
            books: The study's that the trainings are written into.
            standing: That study's totals.
            series: What is to be trained.
            is_decided: Asked after each round; the others are not trained any more once it says so.
            on_beat: Called with each sign of life: the search's own lease is to be kept meanwhile.
        """
        super().__init__(books, standing=standing, speeds=JointSpeeds(), admission=AdmitAll())
        self._series = series
        self._rounds = deque(deque(each) for each in series.rounds)
        self._is_decided = is_decided
        self._on_beat = on_beat
        self._began = time.monotonic()
        self.is_out_of_time = False
        """A training was not started any more, for want of time."""
        self.is_ended_early = bool(self._rounds) and is_decided()
        """The verdict was sure before all were trained."""

    @override
    def unfinished(self) -> list[Ticket]:
        """Trainings of earlier starts that have not ended, and whose contender is still one.

        Where the search has another winner by now, one that was cut off while it was asked for is given up. One that
        was trained in part is left as it is: it goes on when its contender is one again.
        """
        search, parameter = self._books.search, self._series.parameter
        recorded = {row.number for row in self._books.records.trials(self._books.study)}
        for running in search.running():
            if running.number in recorded:
                continue
            if not self._series.has_contender(search.stored_parameters(running.optuna_id).get(parameter)):
                search.tell(running.number, outcome=Outcome.FAILED, reason="the search has another winner by now")
        return [ticket for ticket in super().unfinished() if self._series.has_parameters(ticket.row.parameters)]

    @override
    def ask(self, floor: Floor | None = None) -> Ticket | None:
        """The next training; None when all are there, the verdict is sure, or no time is left for one more."""
        del floor
        number = self._next_number()
        if number is None:
            return None
        left = self._series.seconds_left
        if left is not None and time.monotonic() - self._began + self._series.contender(number).seconds > left:
            self.is_out_of_time = True
            return None
        search, wanted = self._books.search, {self._series.parameter: number}
        proposal = persist(lambda: search.ask_for(wanted), again=lambda: search.ask_again(wanted))
        assert proposal is not None
        self.standing.add_trial()
        return Ticket(self._books.records.add_trial(self._books.study, new=self._new_trial(proposal)))

    def _next_number(self) -> int | None:
        """The number of the contender whose turn it is; None where no round is left, or the verdict is sure.

        Whether it is sure is asked after each round.
        """
        if self._rounds and not self._rounds[0]:
            self._rounds.popleft()
            self.is_ended_early = bool(self._rounds) and self._is_decided()
        return None if self.is_ended_early or not self._rounds else self._rounds[0][0]

    @override
    def ask_ahead(self) -> None:
        """Whose turn it is needs no thought."""

    @override
    def order_ahead(self, ticket: Ticket, *, lease: Lease) -> None:
        """None: both sides are trained alike, with nothing beside them."""

    @override
    def reason_to_give_up(self) -> str | None:
        """Never: a side that always fails is a result."""
        return None

    @override
    def beat(self) -> None:
        """A sign of life in this lease, and in the search's."""
        super().beat()
        self._on_beat()

    @override
    def _keeps_checkpoint(self, number: int) -> bool:
        """No training that is over: the model that is logged is the search's own, and only figures count here."""
        del number
        return False

    @override
    def _new_trial(self, proposal: Proposal, *, lease: Lease | None = None) -> NewTrial:
        """A training of the contender that the proposal names, on a fresh seed; it is crossed off its round."""
        del lease
        series = self._series
        number = proposal.parameters[series.parameter]
        assert isinstance(number, int)
        if self._rounds and self._rounds[0] and self._rounds[0][0] == number:  # one that was cut off was planned, too
            self._rounds[0].popleft()
        contender = series.contender(number)
        self.standing.add_to_side(proposal.number, name=contender.name)
        return NewTrial(
            number=proposal.number,
            parameters=contender.parameters,
            seed=fresh_seed(self._books.spec.seed, proposal.number, purpose=series.purpose, used=series.used_seeds),
            optuna_id=proposal.optuna_id,
            is_baseline=contender.is_baseline,
        )
