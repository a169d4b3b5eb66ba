import threading

import pytest

from saas.kit.breaker import Breaker, CircuitOpen, State


def fail(breaker):
    breaker.leave(is_probe=breaker.enter(), answered=False)


def answer(breaker):
    breaker.leave(is_probe=breaker.enter(), answered=True)


@pytest.fixture
def breaker(clock):
    return Breaker(failures_to_open=3, open_seconds=1.0, clock=clock)


class TestBreaker:
    def test_it_lets_everything_through_while_calls_are_answered(self, breaker):
        assert [breaker.enter() for _ in range(5)] == [False] * 5
        assert breaker.state is State.CLOSED

    def test_it_lets_one_call_through_at_a_time_after_a_failure(self, breaker):
        fail(breaker)
        assert breaker.enter() is True
        with pytest.raises(CircuitOpen):
            breaker.enter()

    def test_it_closes_when_the_one_call_is_answered(self, breaker):
        fail(breaker)
        answer(breaker)
        assert breaker.state is State.CLOSED

    def test_it_opens_after_three_failures_in_a_row(self, breaker, clock):
        for _ in range(3):
            fail(breaker)
        clock.advance(0.999)
        assert breaker.state is State.OPEN
        with pytest.raises(CircuitOpen):
            breaker.enter()

    def test_it_does_not_add_up_failures_with_answers_in_between(self, breaker):
        for _ in range(5):
            fail(breaker)
            fail(breaker)
            answer(breaker)
        assert breaker.state is State.CLOSED

    def test_it_probes_after_a_second_with_one_call(self, breaker, clock):
        for _ in range(3):
            fail(breaker)
        clock.advance(1)
        assert breaker.state is State.HALF_OPEN
        assert breaker.enter() is True
        with pytest.raises(CircuitOpen):
            breaker.enter()

    def test_one_answered_probe_closes_it(self, breaker, clock):
        for _ in range(3):
            fail(breaker)
        clock.advance(1)
        answer(breaker)
        assert breaker.enter() is False

    def test_one_failed_probe_opens_it_for_another_second(self, breaker, clock):
        for _ in range(3):
            fail(breaker)
        clock.advance(1)
        fail(breaker)
        assert breaker.state is State.OPEN
        clock.advance(1)
        assert breaker.state is State.HALF_OPEN

    def test_a_probe_without_a_verdict_makes_room_for_the_next(self, breaker):
        fail(breaker)
        breaker.leave(is_probe=breaker.enter(), answered=None)
        assert breaker.state is State.HALF_OPEN
        assert breaker.enter() is True

    def test_calls_in_flight_when_the_service_died_count_as_failures(self, breaker):
        in_flight = [breaker.enter() for _ in range(3)]
        for is_probe in in_flight:
            breaker.leave(is_probe=is_probe, answered=False)
        assert breaker.state is State.OPEN

    def test_stragglers_do_not_keep_it_open(self, breaker, clock):
        in_flight = [breaker.enter() for _ in range(4)]
        for is_probe in in_flight[:3]:
            breaker.leave(is_probe=is_probe, answered=False)
        clock.advance(0.9)
        breaker.leave(is_probe=in_flight[3], answered=False)
        clock.advance(0.1)
        assert breaker.state is State.HALF_OPEN

    def test_a_late_answer_does_not_close_it(self, breaker):
        late = breaker.enter()
        for _ in range(3):
            fail(breaker)
        breaker.leave(is_probe=late, answered=True)
        assert breaker.state is State.OPEN

    def test_it_tells_when_it_is_no_longer_closed_and_when_it_is_again(self, clock):
        told = []
        breaker = Breaker(clock=clock, on_change=told.append)
        for _ in range(3):
            fail(breaker)
        clock.advance(1)
        fail(breaker)
        clock.advance(1)
        answer(breaker)
        assert told == [False, True]

    def test_only_one_of_many_threads_probes(self, breaker, clock):
        for _ in range(3):
            fail(breaker)
        clock.advance(1)
        outcomes = []
        start = threading.Barrier(20)

        def probe():
            start.wait()
            try:
                outcomes.append(breaker.enter())
            except CircuitOpen:
                outcomes.append(None)

        threads = [threading.Thread(target=probe) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert outcomes.count(True) == 1
        assert outcomes.count(None) == 19
