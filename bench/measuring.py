"""Runs groups of scenarios in turn, and keeps what each run took."""

import itertools
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import answers, load
from bench.accounting import Meter, Spread, medians, microseconds_a_request, ratios, spread
from bench.messages import Messages
from bench.scenarios import HASHING, Group, Scenario
from bench.sides import Side


@dataclass(frozen=True, slots=True)
class Run:
    load: load.Load
    microseconds: dict[str, float]


@dataclass
class Series:
    """The runs of one scenario, one a round; `figure` is what is compared of their loads."""

    scenario: Scenario
    figure: str = "a_second"
    runs: list[Run] = field(default_factory=list)

    @property
    def figures(self) -> list[float]:
        return [getattr(run.load, self.figure) for run in self.runs]

    @property
    def rate(self) -> Spread:
        return spread([run.load.a_second for run in self.runs])

    def latency(self, name: str) -> float:
        return spread([getattr(run.load, name) for run in self.runs]).median

    @property
    def microseconds(self) -> dict[str, float]:
        """CPU time a request, by process tree."""
        return medians(run.microseconds for run in self.runs)

    @property
    def total_microseconds(self) -> Spread:
        """Of all but the client."""
        return spread(
            [sum(spent for name, spent in run.microseconds.items() if name != "client") for run in self.runs]
        )


Results = dict[str, dict[str, Series]]


class Bench:
    def __init__(
        self,
        sides: Mapping[str, Side],
        messages: Mapping[str, Messages],
        shared: Mapping[str, int],
        directory: Path,
    ) -> None:
        """`messages` are by side; `shared` are the process trees that all sides use, by name."""
        self._sides, self._messages, self._shared = sides, messages, shared
        self._directory = directory

    def measure(self, group: Group, *, rounds: int, seconds: int) -> dict[str, Series]:
        """Every scenario once a round, after a warm-up. Raises WrongAnswers."""
        series = {scenario.name: Series(scenario, group.figure) for scenario in group.scenarios}
        for scenario in group.scenarios:
            self._refuse_wrong_answer(scenario)
            self._run(scenario, group.warm_up)
        for number in range(rounds):
            print(f"{group.name}: round {number + 1} of {rounds}", flush=True)
            for scenario in group.scenarios:
                time.sleep(group.pause)
                series[scenario.name].runs.append(self._run(scenario, seconds))
        return series

    def _refuse_wrong_answer(self, scenario: Scenario) -> None:
        """wrk counts a redirect among what succeeded."""
        if scenario.name == HASHING:
            return
        for message in itertools.islice(scenario.make(self._messages[scenario.side], 1), 1):
            status, body = answers.answer(self._sides[scenario.side].port, message)
            if status != 200:
                raise load.WrongAnswers(f"{scenario.name} on {scenario.side}: {status} {body}")

    def _run(self, scenario: Scenario, seconds: int) -> Run:
        if scenario.name == HASHING:
            hashed = load.hash_passwords(seconds)
            return Run(hashed, microseconds_a_request({"client": hashed.client_seconds}, hashed.requests))
        side = self._sides[scenario.side]
        file = scenario.prepare(self._messages[scenario.side], self._directory, seconds)
        with self._storm(scenario, seconds):
            meter = Meter({"server": side.pid, **self._shared})
            try:
                answered = load.send(
                    side.port, file, seconds=seconds, once=scenario.once, connections=scenario.connections
                )
            except load.WrongAnswers as error:
                raise load.WrongAnswers(f"{scenario.name} on {side.name}: {error}") from None
            spent = {**meter.spent(), "client": answered.client_seconds}
        return Run(answered, microseconds_a_request(spent, answered.requests))

    @contextmanager
    def _storm(self, scenario: Scenario, seconds: int) -> Iterator[None]:
        """What is sent beside the scenario: it begins a second earlier and ends a second later."""
        if scenario.beside is None:
            yield
            return
        beside = scenario.beside
        file = beside.prepare(self._messages[beside.side], self._directory, seconds)
        with ThreadPoolExecutor(1) as executor:
            sent = executor.submit(
                load.send,
                self._sides[beside.side].port,
                file,
                seconds=seconds + 2,
                connections=beside.connections,
            )
            time.sleep(1)
            yield
            sent.result()


def held_against(series: Mapping[str, Series]) -> dict[tuple[str, str], Spread]:
    """The ratio of each scenario to each of its references, round by round."""
    return {
        (name, reference): ratios(each.figures, series[reference].figures)
        for name, each in series.items()
        for reference in each.scenario.references
    }
