from tests.conftest import PASSWORD


class TestTheWayThrough:
    def test_register_log_in_read_and_log_out(self, anonymous):
        from tests.conftest import Api
        made = anonymous.post("/auth/register", {"email": "a@b.example", "password": PASSWORD, "org": "Acme"})
        assert made.status_code == 201, made.content
        entered = anonymous.post("/auth/login", {"email": "A@b.example", "password": PASSWORD})
        assert entered.status_code == 200, entered.content
        api = Api(entered.json()["access_token"])
        me = api.get("/users/me")
        assert me.status_code == 200, me.content
        assert me.json()["org"]["name"] == "Acme"
        assert api.get("/users/me").status_code == 200
        assert api.post("/auth/logout").status_code == 200
        assert api.get("/users/me").status_code == 401
        assert Api(made.json()["token"]).get("/users/me").status_code == 200
