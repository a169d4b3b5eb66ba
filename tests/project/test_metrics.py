import pytest
from django.test import Client

TOKEN = "a-long-token-for-prometheus"


@pytest.fixture
def scrape():
    def get(**headers):
        peer = headers.pop("peer", "127.0.0.1")
        return Client(REMOTE_ADDR=peer).get("/metrics", headers=headers)

    return get


class TestMetrics:
    def test_it_works(self, scrape):
        response = scrape()
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert "django_http_responses_total_by_status_view_method_total" in response.text

    def test_views_are_labels_and_paths_are_not(self, scrape):
        Client().get("/health/live?tenant=acme")
        text = scrape().text
        assert 'view="health_live"' in text
        assert "acme" not in text

    def test_a_request_is_counted_and_timed_under_its_view(self, scrape):
        def values(*names):
            text = scrape().text
            return [
                float(line.rpartition(" ")[2])
                for name in names
                for line in text.splitlines()
                if line.startswith(name)
            ]

        names = (
            'django_http_responses_total_by_status_view_method_total{method="GET",status="200",view="health_live"}',
            'django_http_requests_latency_seconds_by_view_method_count{method="GET",view="health_live"}',
        )
        Client().get("/health/live")
        before = values(*names)
        Client().get("/health/live")
        assert values(*names) == [value + 1 for value in before]

    def test_what_a_client_invents_is_no_series(self, scrape):
        Client().generic("BREW", "/no/such/place")
        text = scrape().text
        assert 'method="<invalid method>",status="404",view="<unnamed view>"' in text
        assert "BREW" not in text


class TestWithoutToken:
    @pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
    def test_this_machine_may_read(self, scrape, peer):
        assert scrape(peer=peer).status_code == 200

    @pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.1", "2001:db8::1", ""])
    def test_others_find_nothing(self, scrape, peer):
        response = scrape(peer=peer)
        assert (response.status_code, response.json()["code"]) == (404, "not_found")

    @pytest.mark.parametrize("proxies", [0, 1, 2])
    @pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"])
    def test_a_forwarded_request_is_not_local(self, scrape, settings, proxies, header):
        settings.TRUSTED_PROXY_COUNT = proxies
        assert scrape(**{header: "127.0.0.1"}).status_code == 404


class TestWithToken:
    @pytest.fixture(autouse=True)
    def token(self, settings):
        settings.METRICS_TOKEN = TOKEN

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
    def test_whoever_has_it_may_read(self, scrape, scheme):
        assert scrape(peer="192.0.2.1", Authorization=f"{scheme} {TOKEN}").status_code == 200

    @pytest.mark.parametrize(
        "given",
        ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer ü"],
    )
    def test_others_find_nothing_even_here(self, scrape, given):
        assert scrape(Authorization=given).status_code == 404
