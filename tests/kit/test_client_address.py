import pytest
from django.test import RequestFactory

from saas.kit.http import client_address, is_forwarded


@pytest.fixture
def address(settings):
    def ask(proxies, forwarded=None, peer="192.0.2.9"):
        settings.TRUSTED_PROXY_COUNT = proxies
        headers = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
        return client_address(RequestFactory().get("/", REMOTE_ADDR=peer, **headers))

    return ask


class TestClientAddress:
    def test_it_is_the_peer(self, address):
        assert address(0) == "192.0.2.9"

    def test_it_believes_no_header_without_a_trusted_proxy(self, address):
        assert address(0, "203.0.113.1") == "192.0.2.9"

    @pytest.mark.parametrize(
        ("proxies", "expected"), [(1, "203.0.113.3"), (2, "203.0.113.2"), (3, "203.0.113.1")]
    )
    def test_it_counts_trusted_proxies_from_the_right(self, address, proxies, expected):
        assert address(proxies, "203.0.113.1, 203.0.113.2,203.0.113.3") == expected

    def test_what_a_client_puts_in_front_changes_nothing(self, address):
        assert address(1, "1.1.1.1, 2.2.2.2, 203.0.113.3") == "203.0.113.3"

    def test_it_is_the_peer_if_the_request_did_not_pass_all_proxies(self, address):
        assert address(2, "203.0.113.3") == "192.0.2.9"
        assert address(1) == "192.0.2.9"

    @pytest.mark.parametrize(
        "entry",
        ["", "unknown", "_hidden", "203.0.113", "203.0.113.1.2", "fe80::1%eth0", "203.0.113.1:x", "[]"],
    )
    def test_it_is_the_peer_if_the_entry_is_no_address(self, address, entry):
        assert address(1, f"198.51.100.1, {entry}") == "192.0.2.9"

    @pytest.mark.parametrize(
        ("entry", "expected"),
        [
            ("203.0.113.1:4711", "203.0.113.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:DB8:0::1", "2001:db8::1"),
            ("::ffff:203.0.113.1", "203.0.113.1"),
            ("[::ffff:203.0.113.1]:80", "203.0.113.1"),
        ],
    )
    def test_it_is_written_one_way(self, address, entry, expected):
        assert address(1, entry) == expected
        assert address(0, peer=entry) == expected

    def test_it_is_an_address_where_the_server_knows_none(self, address):
        assert address(0, peer="") == "0.0.0.0"


class TestIsForwarded:
    def test_a_direct_request_is_not(self):
        assert not is_forwarded(RequestFactory().get("/"))

    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via"])
    def test_any_header_of_a_proxy_tells(self, header):
        assert is_forwarded(RequestFactory().get("/", headers={header: "127.0.0.1"}))
