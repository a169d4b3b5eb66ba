"""What a revocation left undone in Redis is done later, and reuse of a refresh token ends a session everywhere."""

import pytest

from saas.kit.gate import user_tag
from tests.conftest import manage


@pytest.fixture
def everybody_is_in(stack, alice, bob):
    """Every worker has seen both tokens, and Redis holds what it keeps of them."""
    assert stack.all_workers(alice) == {200}
    assert stack.all_workers(bob) == {200}


def blacklisted(stack, person):
    with stack.redis() as redis:
        return redis.keys(f"{user_tag(person.organization_id, person.user.id)}:revoked:*")


def run_jobs(stack):
    manage("worker", "--once", REDIS_URL=stack.valkey.url)


def blacklist_job(owner_connection):
    [job] = owner_connection.execute(
        "SELECT status::text, attempts FROM procrastinate_jobs WHERE task_name = 'blacklist_sessions'"
    ).fetchall()
    return job


@pytest.mark.usefixtures("everybody_is_in")
class TestJob:
    def test_it_repeats_the_write_that_redis_missed(self, stack, alice, owner_connection):
        stack.stop_redis()
        assert stack.log_out(alice) == 200
        stack.start_redis()
        assert blacklisted(stack, alice) == []
        run_jobs(stack)
        assert len(blacklisted(stack, alice)) == 1
        assert blacklist_job(owner_connection)[0] == "succeeded"
        assert stack.all_workers(alice) == {401}

    def test_it_is_tried_again_while_redis_is_away(self, stack, alice, owner_connection):
        stack.stop_redis()
        stack.log_out(alice)
        run_jobs(stack)
        assert blacklist_job(owner_connection) == ("todo", 1)

    def test_until_then_a_redis_that_came_back_empty_revives_nothing(self, stack, alice, bob):
        stack.stop_redis()
        stack.log_out(alice)
        stack.start_redis()
        assert stack.all_workers(alice) == {401}
        assert stack.all_workers(bob) == {200}

    def test_all_that_redis_kept_of_a_revoked_session_is_evicted(self, stack, alice, bob):
        stack.log_out(alice)
        with stack.redis() as redis:
            tag = user_tag(alice.organization_id, alice.user.id)
            assert len(redis.keys(f"{tag}:revoked:*") + redis.keys(f"{tag}:facts:*")) >= 2
            redis.delete(*redis.keys(f"{tag}:*"))
        assert stack.all_workers(alice) == {401}
        assert stack.all_workers(bob) == {200}


@pytest.mark.usefixtures("everybody_is_in")
class TestRedisFailsDuringTheLogOut:
    """And is back at once, with all that it knew: facts from before among it."""

    def test_without_memory(self, stack, alice, bob):
        with stack.redis() as redis:
            redis.config_set("maxmemory", 1)
            assert stack.log_out(alice) == 200
            redis.config_set("maxmemory", 0)
        assert stack.all_workers(alice) == {401}
        assert stack.all_workers(bob) == {200}

    def test_slow(self, stack, alice, bob):
        stack.redis_line.slow(0.5)
        assert stack.log_out(alice) == 200
        assert stack.all_workers(alice) == {401}
        stack.redis_line.mend()
        # No connection came about, so facts from before count, until the job repeats the write.
        run_jobs(stack)
        assert stack.all_workers(alice) == {401}
        assert stack.all_workers(bob) == {200}


class TestRefresh:
    def refresh(self, stack, token):
        return stack.ask("POST", "/auth/refresh", {"refresh_token": token})

    def test_while_redis_is_away_a_session_that_ended_gives_no_token(self, stack, alice, bob):
        stack.stop_redis()
        stack.log_out(alice)
        refused = self.refresh(stack, alice.refresh_token)
        assert (refused.status, refused.body["code"]) == (401, "invalid_refresh_token")
        assert self.refresh(stack, bob.refresh_token).status == 200

    def test_old_reuse_ends_the_session_in_every_worker(self, stack, alice, owner_connection):
        second = self.refresh(stack, alice.refresh_token).body
        third = self.refresh(stack, second["refresh_token"]).body
        # So long ago that no grace holds any more.
        owner_connection.execute(
            "UPDATE accounts_session"
            " SET recent_rotations = '[]', rotated_at = rotated_at - interval '2 minutes'"
        )
        assert self.refresh(stack, alice.refresh_token).body["code"] == "refresh_token_reused"
        for tokens in (second, third):
            answers = [stack.ask("GET", "/users/me", token=tokens["access_token"]).status for _ in range(32)]
            assert set(answers) == {401}
            assert self.refresh(stack, tokens["refresh_token"]).status == 401
