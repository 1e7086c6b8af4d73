"""Asynchronous successive halving that goes on after an interruption as if there had been none."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ray.tune.schedulers import AsyncHyperBandScheduler, TrialScheduler

from lico.launchers.tune.record import Report
from lico.search import Search


class _Named(NamedTuple):
    """What the scheduler asks of a trial; the run's name outlives Tune's own, random one."""

    trial_id: str


class RestorableAsha(AsyncHyperBandScheduler):
    """Ray Tune's ASHA (Li et al., MLSys 2020, algorithm 2), but for two things.

    Its halvings are rebuilt from the reports of earlier commands, in their order; Ray Tune itself
    forgets them. And a run is never stopped after its last epoch, when only its evaluation is
    left.

    Attributes:
        stopped: run ids that were stopped, by earlier commands too.
    """

    def __init__(self, search: Search, epochs: int, earlier: Iterable[Report]) -> None:
        """Start from what was reported before.

        Args:
            search: first halving and reduction.
            epochs: of every run.
            earlier: reports, oldest first.
        """
        super().__init__(
            time_attr="epoch",
            metric="objective",
            mode="max",
            max_t=max(epochs, search.grace_epochs),
            grace_period=search.grace_epochs,
            reduction_factor=search.reduction,
        )
        self.epochs = epochs
        self.stopped: list[str] = []
        for report in earlier:
            self._judge(report)

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """Whether the trial goes on."""
        return self._judge(result)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing; every report was judged when it came."""

    def _judge(self, report: Report) -> str:
        if report.get("epoch", self.epochs) >= self.epochs:
            return TrialScheduler.CONTINUE
        named: Any = _Named(report["run_id"])
        if named.trial_id not in self._trial_info:
            super().on_trial_add(None, named)  # pyright: ignore[reportArgumentType]
        decision = super().on_trial_result(None, named, report)  # pyright: ignore[reportArgumentType]
        if decision == TrialScheduler.STOP:
            self.stopped.append(named.trial_id)
        return decision
