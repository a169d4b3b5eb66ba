import base64

import pytest
from cryptography.fernet import Fernet

from saas.kit import sealing
from saas.kit.sealing import NotSealedHere, seal, unseal


def test_it_comes_back_and_is_not_to_be_read():
    sealed = seal("a", b"secret")
    assert unseal("a", sealed) == b"secret"
    assert b"secret" not in base64.urlsafe_b64decode(sealed.removeprefix("2."))
    assert seal("a", b"secret") != sealed


def test_what_an_older_release_sealed_is_read_too(settings):
    key = base64.urlsafe_b64encode(sealing._derived("a", settings.SECRET_KEY))
    sealed = Fernet(key).encrypt(b"secret").decode()
    assert unseal("a", sealed) == b"secret"
    with pytest.raises(NotSealedHere):
        unseal("b", sealed)


@pytest.mark.parametrize("spoil", [
    lambda sealed: "",
    lambda sealed: "2.",
    lambda sealed: sealed.removeprefix("2."),
    lambda sealed: sealed[:-4],
    lambda sealed: sealed[:20] + ("A" if sealed[20] != "A" else "B") + sealed[21:],
    lambda sealed: sealed + "ü",
])  # fmt: skip
def test_what_was_changed_is_nothing(spoil):
    with pytest.raises(NotSealedHere):
        unseal("a", spoil(seal("a", b"secret")))


def test_it_is_for_one_purpose_under_one_key(settings):
    sealed = seal("a", b"secret")
    with pytest.raises(NotSealedHere):
        unseal("b", sealed)
    settings.SECRET_KEY = "another" * 10
    with pytest.raises(NotSealedHere):
        unseal("a", sealed)
