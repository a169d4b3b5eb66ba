import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from accounts import hashers
from accounts.checks import check_signing_keys
from accounts.passwords import check_new_password, hash_password, verify_password
from saas.kit.errors import Unavailable, ValidationFailed
from tests.accounts.asking import assert_refused
from tests.conftest import PASSWORD
from tests.project.launching import eventually


def codes(password, *, email="zoe@acme.example", name="Zoe Zimmermann", organization_name="Acme Rockets"):
    try:
        check_new_password(password, email=email, name=name, organization_name=organization_name)
    except ValidationFailed as error:
        refusals = error.extra["errors"]
    else:
        return set()
    assert {each["pointer"] for each in refusals} == {"#/password"}
    return {each["code"] for each in refusals}


class TestCheckNewPassword:
    @pytest.mark.parametrize(
        "password", [PASSWORD, "x" * 127 + "y", "        qz9v", "ééééééé€", "no-digits-no-capitals"]
    )
    def test_it_accepts(self, password):
        assert codes(password) == set()

    @pytest.mark.parametrize(
        ("password", "expected"),
        [
            ("qz9-v", {"password_too_short"}),
            ("q" * 129, {"password_too_long"}),
            ("iloveyou", {"password_too_common"}),
            ("zimmermann", {"password_too_similar"}),
            ("zoe@acme.example", {"password_too_similar"}),
            ("ACME rockets", {"password_too_similar"}),
            ("acmerockets1", {"password_too_similar"}),
        ],
    )
    def test_it_refuses(self, password, expected):
        assert codes(password) == expected

    def test_it_refuses_what_the_site_is_called(self, settings):
        settings.PASSWORD_WORDS = ["moonbase", "artemis"]
        assert codes("Moonbase-1") == codes("artemis22") == {"password_too_similar"}
        assert codes("a-moonbase-far-from-here") == set()

    def test_it_gives_every_reason(self):
        assert codes("pass", name="pass") == {
            "password_too_short",
            "password_too_common",
            "password_too_similar",
        }


class TestHash:
    def test_nothing_is_cut_at_72_bytes(self):
        encoded = hash_password("x" * 100)

        assert encoded.startswith("bcrypt_sha256$")
        assert verify_password("x" * 100, encoded)
        assert not verify_password("x" * 99, encoded)

    def test_equal_passwords_have_different_hashes(self):
        assert hash_password(PASSWORD) != hash_password(PASSWORD)


class TestBulkhead:
    @pytest.fixture
    def taken(self, monkeypatch):
        """As many wait for a hash as may, and none comes through."""
        monkeypatch.setattr(hashers, "PLACE_SECONDS", 0)
        number = 0
        while hashers._places.acquire(blocking=False):
            number += 1
        yield number
        for _ in range(number):
            hashers._places.release()

    def test_three_quarters_of_the_threads_may_wait_for_a_hash(self, taken, settings):
        assert taken == settings.WEB_THREADS * 3 / 4

    def test_a_storm_is_told_to_come_again(self, taken):
        with pytest.raises(Unavailable):
            hash_password(PASSWORD)

    def test_over_http_that_is_503(self, taken, anonymous):
        response = anonymous.post("/auth/login", {"email": "nobody@acme.example", "password": PASSWORD})

        assert_refused(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "2"

    def test_nobody_waits_without_end(self, monkeypatch):
        monkeypatch.setattr(hashers, "CORE_SECONDS", 0.01)
        release = threading.Event()
        busy = [hashers._executor.submit(release.wait) for _ in range(hashers._executor._max_workers)]
        try:
            with pytest.raises(Unavailable):
                hash_password(PASSWORD)
        finally:
            release.set()
            for each in busy:
                each.result()
        monkeypatch.undo()
        assert verify_password(PASSWORD, hash_password(PASSWORD))

    def test_a_hash_that_has_begun_is_waited_for(self, monkeypatch):
        release = threading.Event()
        monkeypatch.setattr(hashers, "CORE_SECONDS", 1)
        monkeypatch.setattr(
            hashers.BCryptSHA256PasswordHasher, "encode", lambda *_: release.wait(60) and "hashed"
        )
        timer = threading.Timer(2, release.set)
        timer.start()
        assert hash_password(PASSWORD) == "hashed"
        timer.join()

    def test_a_place_is_given_back(self):
        for _ in range(2 * hashers._places._initial_value):
            hash_password(PASSWORD)

    def test_a_burst_finds_places_in_time(self):
        with ThreadPoolExecutor(hashers._places._initial_value + hashers._waiting._initial_value) as pool:
            hashes = set(pool.map(hash_password, [PASSWORD] * 100))
        assert len(hashes) == 100

    def test_an_eighth_of_the_threads_may_wait_for_a_place(self, taken, monkeypatch, settings):
        monkeypatch.setattr(hashers, "PLACE_SECONDS", 60)
        number = settings.WEB_THREADS // 8
        with ThreadPoolExecutor(number) as pool:
            waiting = [pool.submit(hash_password, PASSWORD) for _ in range(number)]
            assert eventually(lambda: hashers._waiting._value == 0)
            # The next one does not wait for as long as they do.
            with pytest.raises(Unavailable):
                hash_password(PASSWORD)
            assert not any(each.done() for each in waiting)
            for _ in range(number):
                hashers._places.release()
            assert len({each.result() for each in waiting}) == number
            for _ in range(number):
                hashers._places.acquire()
        assert hashers._waiting._value == number

    @pytest.mark.skipif(sys.platform != "linux", reason="a priority for each thread is Linux's")
    def test_hashes_step_back_behind_requests(self):
        def niceness():
            return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

        assert hashers._executor.submit(niceness).result() == niceness() + hashers.NICENESS


class TestSigningKeysCheck:
    def test_keys_must_be_given_outside_development(self, settings, tmp_path):
        settings.IS_DEVELOPMENT = False
        assert check_signing_keys(None) == []
        settings.JWT_KEYS_DIR = tmp_path
        [error] = check_signing_keys(None)
        assert error.id == "accounts.E001"
        assert "jwt_keys generate" in error.msg

    def test_development_makes_its_own(self, settings, tmp_path):
        settings.IS_DEVELOPMENT, settings.JWT_KEYS_DIR = True, tmp_path
        assert check_signing_keys(None) == []
