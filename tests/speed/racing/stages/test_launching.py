"""A race on a simulated GPU whose steps can be recorded as one CUDA graph, optimizer and all."""

from dataclasses import replace

import pytest

from autotune.events import Scalar
from autotune.speed.knobs import KNOBS
from autotune.speed.knobs.entries import Entry
from autotune.speed.measuring.arena import ContestantLostError
from autotune.speed.racing.plan import RacePlan
from autotune.speed.racing.race import race
from autotune.speed.racing.result import RaceResult
from tests.speed.racing.stages.test_opening import ENTRIES, GUESS, INFORMED, Gpu
from tests.speed.simulated import Cost, Setting

GRAPH = Entry(KNOBS["cuda_graph"], (False, True))


class Recording(Gpu):
    """Recorded, a step waits for next to nothing; what is compiled computes faster as well."""

    def __init__(
        self, *, compute_seconds: float = 0.003, wait_seconds: float = 0.0001, failure: str | None = None
    ) -> None:
        super().__init__(compute_seconds=compute_seconds, wait_seconds=wait_seconds)
        self._failure = failure

    def _cost_of(self, setting: Setting) -> Cost:
        cost = super()._cost_of(setting)
        if setting.get("compile", "off") != "off":
            cost = replace(cost, compute_seconds=0.7 * cost.compute_seconds)
        if not setting.get("cuda_graph"):
            return cost
        if self._failure is not None:
            return replace(cost, failure=ContestantLostError("unsupported", self._failure))
        return replace(cost, launch_seconds=0.0001)


def run(
    arena: Gpu,
    *,
    seconds: float = 100.0,
    guess: Setting | None = GUESS,
    epochs: int = 90,
    run_seconds: float | None = None,
) -> RaceResult:
    plan = RacePlan(
        entries=(*ENTRIES, GRAPH),
        baseline={},
        guess=guess,
        informed=INFORMED,
        epochs=epochs,
        run_seconds=run_seconds,
        seconds=seconds,
    )
    return race(arena, plan, clock=lambda: arena.machine.now)


@pytest.mark.parametrize("seconds", [80, 120])
def test_race_whose_step_waits_for_launches_records_the_guess_first(seconds: float) -> None:
    result = run(Recording(), seconds=seconds)
    first = result.heats[0]
    assert (first.stage, first.verdict) == ("start", "kept")
    assert (first.changes["cuda_graph"], first.changes["precision"]) == (True, "bf16")
    assert "compile" not in first.changes
    assert result.seconds <= 1.25 * seconds


def test_race_compiles_beside_a_recorded_step_what_then_computes_faster() -> None:
    result = run(Recording(), seconds=120, epochs=900)
    assert (result.setting["cuda_graph"], result.setting["compile"]) == (True, "default")
    assert result.gain is not None
    assert result.gain.ratio == pytest.approx(0.0101 / (0.7 * 0.25 * 0.003), rel=0.15)


def test_race_records_a_step_also_where_no_run_would_repay_compiling() -> None:
    result = run(Recording(), seconds=80, run_seconds=15.0)
    assert result.setting["cuda_graph"] is True
    assert "compile" not in result.setting


def test_race_without_a_guess_records_before_it_tries_anything_else() -> None:
    result = run(Recording(), guess=None)
    assert result.heats[0].changes == {"cuda_graph": True}
    assert result.setting["cuda_graph"] is True


@pytest.mark.parametrize("seconds", [100.0, 150.0, 300.0])
@pytest.mark.parametrize("guess", [GUESS, None], ids=["a guess", "none"])
def test_race_whose_step_can_not_be_recorded_compiles_it_and_asks_no_more(
    guess: dict[str, Scalar] | None, seconds: float
) -> None:
    refusal = "InfeasibleError: cuda_graph: the step must not wait for the device nor copy to it"
    result = run(Recording(failure=refusal), guess=guess, seconds=seconds)
    assert "cuda_graph" not in result.setting
    assert result.setting["compile"] == "reduce-overhead"
    refused = [heat for heat in result.heats if heat.verdict == "infeasible"]
    assert [heat.changes["cuda_graph"] for heat in refused] == [True]


def test_race_of_a_step_that_computes_finds_what_recording_adds() -> None:
    result = run(Recording(compute_seconds=0.03), seconds=120)
    assert result.heats[0].changes.get("cuda_graph") is None
    assert result.setting.get("cuda_graph") is True


def test_race_feeds_a_recorded_step_before_it_doubts_how_that_computes() -> None:
    """The guess had workers for eight times the speed, and it became thirteen times."""
    result = run(Recording(wait_seconds=0.004), seconds=120, epochs=900)
    assert result.heats[0].changes["num_workers"] == 4
    assert 0.15 < result.diagnoses[1].input_share < 0.3
    assert (result.heats[1].stage, result.heats[1].changes) == ("screen", {"num_workers": 8})
    assert result.setting["num_workers"] == 8


def test_race_with_no_time_for_another_heat_confirms_what_it_has_at_once() -> None:
    """No twin is started, and no bottleneck looked for, that nothing can follow."""
    arena = Recording()
    result = run(arena, seconds=12, guess={"optimizer_impl": "fused"})
    assert result.setting["cuda_graph"] is True
    assert [heat.stage for heat in result.heats] == ["start", "confirm"]
    assert len(arena.entered) == 4, "the baseline, the guess, and the two that are confirmed"
    assert len(result.diagnoses) == 1
    assert result.noise_floor is None
    assert result.is_cut_short
