"""The story that both client suites tell: two people use a chat app's backend through the
official client, each alone with their own rows. ../js/suite.test.js tells it in JavaScript.
"""

import time
import uuid
from types import SimpleNamespace

import httpx
import pytest
from postgrest import APIError, CountMethod, ReturnMethod
from server import Server, sign
from supabase import Client, ClientOptions, create_client

TABLES = ["sessions", "messages", "jobs", "tasks", "artifacts", "sandboxes", "tool_runs", "checkpoints"]
SEEDED = "00000000-0000-4000-8000-000000000001"

ADA = {"id": str(uuid.uuid4()), "email": "ada@example.com"}
BOB = {"id": str(uuid.uuid4()), "email": "bob@example.com"}


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.remove()


def client(server: Server, key: str, token: str | None = None) -> Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    options = ClientOptions(headers=headers, auto_refresh_token=False, persist_session=False)
    return create_client(server.ready["api_url"], key, options)


@pytest.fixture(scope="module")
def of(server):
    """One client for each caller of the story."""
    keys = server.ready
    return SimpleNamespace(
        ada=client(server, keys["anon_key"], server.token(ADA)),
        bob=client(server, keys["anon_key"], server.token(BOB)),
        anon=client(server, keys["anon_key"]),
        service=client(server, keys["service_role_key"]),
    )


def refused(query, code: str) -> APIError:
    """Runs a query that must be refused, in PostgREST's shape."""
    with pytest.raises(APIError) as raised:
        query.execute()
    error = raised.value
    assert error.code == code, error.json()
    assert isinstance(error.message, str)
    assert {"details", "hint"} <= error.json().keys()
    return error


def make_session(by: Client, title: str) -> tuple[dict, dict]:
    session = by.table("sessions").insert({"title": title}).execute().data[0]
    messages = [
        {"session_id": session["id"], "role": "user", "content": f"{title}: make it blue"},
        {"session_id": session["id"], "role": "assistant", "content": "done"},
    ]
    by.table("messages").insert(messages).execute()
    job = {"session_id": session["id"], "type": "generate", "input": {"prompt": "blue"}}
    job = by.table("jobs").insert(job).execute().data[0]
    by.table("tasks").insert({"job_id": job["id"], "name": "write files", "logs": ["one", "two"]}).execute()
    return session, job


@pytest.fixture(scope="module")
def first(of):
    return make_session(of.ada, "first")


class TestOwnRows:
    def test_a_row_takes_its_owner_from_the_token_and_its_defaults_from_the_table(self, first):
        session, job = first
        assert session["owner"] == ADA["id"]
        assert session["status"] == "active"
        assert session["metadata"] == {}
        assert job["state"] == "queued"

    def test_nested_select_follows_foreign_keys_three_levels_down(self, of, first):
        session, _ = first
        columns = "id, title, messages(role, content), jobs(type, input, tasks(name, logs))"
        query = of.ada.table("sessions").select(columns).eq("id", session["id"])
        assert query.order("role", foreign_table="messages").execute().data == [
            {
                "id": session["id"],
                "title": "first",
                "messages": [
                    {"role": "assistant", "content": "done"},
                    {"role": "user", "content": "first: make it blue"},
                ],
                "jobs": [
                    {
                        "type": "generate",
                        "input": {"prompt": "blue"},
                        "tasks": [{"name": "write files", "logs": ["one", "two"]}],
                    }
                ],
            }
        ]

    def test_embedding_works_towards_the_parent_and_filters_with_inner(self, of, first):
        _, job = first
        tasks = of.ada.table("tasks").select("name, jobs(type, sessions(title))").eq("job_id", job["id"]).execute()
        assert tasks.data == [{"name": "write files", "jobs": {"type": "generate", "sessions": {"title": "first"}}}]
        inner = of.ada.table("messages").select("content, sessions!inner(title)").eq("sessions.title", "nowhere")
        assert inner.execute().data == []

    def test_update_answers_with_the_new_row_and_runs_the_trigger(self, of, first):
        session, _ = first
        row = of.ada.table("sessions").update({"title": "renamed"}).eq("id", session["id"]).execute().data[0]
        assert row["title"] == "renamed"
        assert row["updated_at"] > session["updated_at"]

    def test_delete_takes_the_children_with_it(self, of):
        session, job = make_session(of.ada, "short-lived")
        gone = of.ada.table("sessions").delete(returning=ReturnMethod.minimal).eq("id", session["id"]).execute()
        assert gone.data == []
        assert of.ada.table("tasks").select("*").eq("job_id", job["id"]).execute().data == []


@pytest.fixture(scope="module")
def private(of):
    return make_session(of.ada, "private")


class TestRowsOfOthers:
    def test_cannot_be_seen(self, of, private):
        for table in TABLES:
            assert of.bob.table(table).select("*").execute().data == [], table
        assert of.bob.table("messages").select("*", count=CountMethod.exact, head=True).execute().count == 0

    def test_cannot_be_updated_or_deleted(self, of, private):
        session, job = private
        assert of.bob.table("sessions").update({"title": "mine"}).eq("id", session["id"]).execute().data == []
        assert of.bob.table("sessions").delete().eq("id", session["id"]).execute().data == []
        assert of.bob.table("tasks").delete().eq("job_id", job["id"]).execute().data == []
        kept = of.ada.table("sessions").select("title").eq("id", session["id"]).single().execute()
        assert kept.data == {"title": "private"}

    def test_cannot_be_added_to(self, of, private):
        session, job = private
        message = {"session_id": session["id"], "role": "user", "content": "hi"}
        refused(of.bob.table("messages").insert(message), "42501")
        refused(of.bob.table("jobs").insert({"session_id": session["id"], "type": "zip", "input": {}}), "42501")
        refused(of.bob.table("tasks").insert({"job_id": job["id"], "name": "x"}), "42501")

    def test_cannot_be_made_in_their_name_nor_given_away(self, of):
        refused(of.bob.table("sessions").insert({"title": "forged", "owner": ADA["id"]}), "42501")
        own = of.bob.table("sessions").insert({"title": "own"}).execute().data[0]
        refused(of.bob.table("sessions").update({"owner": ADA["id"]}).eq("id", own["id"]), "42501")
        of.bob.table("sessions").delete().eq("id", own["id"]).execute()


class TestRolesAndKeys:
    def test_anon_sees_no_row_and_writes_none(self, of):
        for table in TABLES:
            assert of.anon.table(table).select("*").execute().data == [], table
        refused(of.anon.table("sessions").insert({"title": "x", "owner": ADA["id"]}), "42501")

    def test_service_role_sees_everything(self, of):
        make_session(of.ada, "seen")
        titles = {row["title"] for row in of.service.table("sessions").select("title").execute().data}
        assert {"seeded", "seen"} <= titles

    def test_the_new_keys_mean_the_same_as_the_legacy_ones(self, server, of):
        publishable, secret = server.ready["publishable_key"], server.ready["secret_key"]
        assert publishable.startswith("sb_publishable_")
        assert secret.startswith("sb_secret_")
        assert client(server, publishable).table("sessions").select("*").execute().data == []
        assert len(client(server, secret).table("sessions").select("*").eq("id", SEEDED).execute().data) == 1
        own = client(server, publishable, server.token(ADA)).table("sessions").select("owner").execute().data
        assert own
        assert {row["owner"] for row in own} == {ADA["id"]}

    def test_a_wrong_key_is_refused_and_none_is_nobody(self, server):
        url = server.ready["api_url"] + "/rest/v1/sessions"
        forged = sign({"role": "service_role", "exp": 4102444800}, "another secret of thirty-two characters")
        for headers in [{"apikey": "sb_publishable_wrong"}, {"apikey": forged}]:
            assert httpx.get(url, headers=headers).status_code == 401, headers
        # As the Supabase CLI's gateway, `dev` takes a request without a key for anon's.
        assert httpx.get(url).json() == []

    def test_expired_and_forged_tokens_are_refused(self, server):
        key = server.ready["anon_key"]
        expired = client(server, key, server.token(ADA, exp=int(time.time()) - 3600))
        refused(expired.table("sessions").select("*"), "PGRST303")
        forged = client(server, key, sign({"sub": ADA["id"], "role": "authenticated"}, "x" * 40))
        refused(forged.table("sessions").select("*"), "PGRST301")

    def test_a_table_without_row_level_security_is_closed_to_anon_and_reported_at_start(self, server, of):
        refused(of.anon.table("forgotten").select("*"), "42501")
        assert len(of.service.table("forgotten").select("*").execute().data) == 1
        assert "forgotten" in server.output


@pytest.fixture(scope="module")
def reading(of):
    row = {"title": "reading", "metadata": {"theme": "dark", "tags": ["a"]}}
    session = of.bob.table("sessions").insert(row).execute().data[0]
    rows = [
        {"session_id": session["id"], "role": "assistant" if i % 2 else "user", "content": f"message {i:02}"}
        for i in range(25)
    ]
    of.bob.table("messages").insert(rows).execute()
    return session


@pytest.fixture
def messages(of, reading):
    def select(columns="content", **options):
        return of.bob.table("messages").select(columns, **options).eq("session_id", reading["id"])

    return select


class TestReading:
    def test_filters(self, of, messages):
        def contents(query):
            return [row["content"] for row in query.execute().data]

        assert len(messages().eq("role", "user").execute().data) == 13
        assert len(messages().neq("role", "user").execute().data) == 12
        assert contents(messages().in_("content", ["message 03", "message, 04"])) == ["message 03"]
        assert len(messages().ilike("content", "MESSAGE 1%").execute().data) == 10
        assert contents(messages().gt("content", "message 22").order("content")) == ["message 23", "message 24"]
        either = "content.eq.message 01,and(role.eq.user,content.gte.message 24)"
        assert contents(messages().or_(either).order("content")) == ["message 01", "message 24"]
        assert len(messages().not_.like("content", "message 0%").execute().data) == 15
        sessions = of.bob.table("sessions")
        dark = sessions.select("title").contains("metadata", {"theme": "dark"}).execute()
        assert dark.data == [{"title": "reading"}]
        theme = sessions.select("theme:metadata->>theme").eq("metadata->>theme", "dark").execute()
        assert theme.data == [{"theme": "dark"}]

    def test_orders_limits_and_ranges(self, messages):
        last = messages().order("content", desc=True).limit(2).execute().data
        assert last == [{"content": "message 24"}, {"content": "message 23"}]
        middle = messages().order("content").range(10, 11).execute().data
        assert middle == [{"content": "message 10"}, {"content": "message 11"}]

    def test_counts(self, messages):
        whole = messages("*", count=CountMethod.exact, head=True).execute()
        assert (whole.count, whole.data) == (25, [])
        page = messages(count=CountMethod.exact).order("content").range(0, 4).execute()
        assert (page.count, len(page.data)) == (25, 5)
        refused(messages(count=CountMethod.exact).range(100, 109), "PGRST103")

    def test_single_and_maybe_single(self, messages):
        assert messages().eq("content", "message 07").single().execute().data == {"content": "message 07"}
        assert messages().eq("content", "nothing").maybe_single().execute() is None
        error = refused(messages().single(), "PGRST116")
        assert "25 rows" in error.details

    def test_csv(self, messages):
        text = messages("role,content").order("content").limit(2).csv().execute().data
        # As Postgres writes a row: text with a space in it is quoted.
        assert text == 'role,content\nuser,"message 00"\nassistant,"message 01"'


class TestWriting:
    def test_upsert_merges_or_leaves_what_is_there(self, of):
        key = str(uuid.uuid4())

        def upsert(title, **options):
            return of.ada.table("sessions").upsert({"id": key, "title": title}, **options).execute().data

        assert upsert("one")[0]["title"] == "one"
        assert upsert("two")[0]["title"] == "two"
        assert upsert("three", ignore_duplicates=True) == []
        row = of.ada.table("sessions").select("title").eq("id", key).single().execute()
        assert row.data == {"title": "two"}
        of.ada.table("sessions").delete().eq("id", key).execute()

    def test_a_bulk_insert_with_different_keys_fills_in_defaults_when_asked(self, of):
        rows = [{"title": "bulk"}, {"title": "bulk", "status": "archived"}]
        made = of.ada.table("sessions").insert(rows, default_to_null=False).execute().data
        assert sorted(row["status"] for row in made) == ["active", "archived"]
        gone = of.ada.table("sessions").delete(count=CountMethod.exact).eq("title", "bulk").execute()
        assert gone.count == 2

    def test_functions_are_called_by_post_and_get(self, of):
        session, _ = make_session(of.ada, "counted")
        assert of.ada.rpc("add_up", {"a": 2, "b": 3}).execute().data == 5
        assert of.ada.rpc("add_up", {"a": 2, "b": 3}, get=True).execute().data == 5
        summary = {"session": session["id"]}
        assert of.ada.rpc("session_summary", summary).execute().data == [{"messages": 2, "jobs": 1}]
        assert of.bob.rpc("session_summary", summary).execute().data == [{"messages": 0, "jobs": 0}]
        mine = {"uid": ADA["id"], "role": "authenticated", "email": ADA["email"]}
        assert of.ada.rpc("who_am_i", {}).execute().data == mine
        assert of.anon.rpc("who_am_i", {}).execute().data == {"uid": None, "role": "anon", "email": None}


class TestErrors:
    def test_name_what_is_not_there(self, of):
        refused(of.ada.table("sesions").select("*"), "PGRST205")
        refused(of.ada.table("sessions").select("nothing"), "42703")
        refused(of.ada.table("sessions").select("*, nothing(*)"), "PGRST200")
        refused(of.ada.table("sessions").insert({"nothing": 1}), "PGRST204")
        refused(of.ada.rpc("add_upp", {"a": 1, "b": 2}), "PGRST202")
        refused(of.ada.schema("secrets").table("sessions").select("*"), "PGRST106")

    def test_carry_the_code_of_postgresql(self, of):
        refused(of.ada.table("sessions").select("*").eq("id", "not-a-uuid"), "22P02")
        refused(of.ada.table("sessions").insert({"status": "odd"}), "23514")
        session, _ = make_session(of.ada, "errors")
        refused(of.ada.table("sessions").insert({"id": session["id"]}), "23505")
        refused(of.ada.table("messages").insert({"session_id": session["id"], "role": "user"}), "23502")
        orphan = {"session_id": str(uuid.uuid4()), "role": "user", "content": "x"}
        refused(of.service.table("messages").insert(orphan), "23503")


class TestCrash:
    def test_loses_nothing_that_was_acknowledged_and_keeps_the_keys(self, server, of):
        session, _ = make_session(of.ada, "survivor")
        keys = server.ready
        server.kill()
        server.start()
        for key in ["api_url", "anon_key", "service_role_key", "publishable_key", "secret_key", "jwt_secret"]:
            assert server.ready[key] == keys[key], key
        # The old clients hold connections to a process that is gone.
        ada, bob = (client(server, keys["anon_key"], server.token(user)) for user in (ADA, BOB))
        columns = "title, messages(content), jobs(tasks(name))"
        row = ada.table("sessions").select(columns).eq("id", session["id"]).single().execute().data
        assert row["title"] == "survivor"
        assert len(row["messages"]) == 2
        assert row["jobs"] == [{"tasks": [{"name": "write files"}]}]
        assert bob.table("sessions").select("*").eq("id", session["id"]).execute().data == []

    def test_a_clean_stop_ends_well(self, server):
        assert server.stop() == 0
