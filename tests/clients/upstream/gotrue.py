"""A real GoTrue's database moves into Ferrobase and back, by `pg_dump` alone.

Usage: gotrue.py <gotrue> <gotrue's migrations> <ferrobase>

The people of a GoTrue (password, verified TOTP factor, session, profile made by its administrator)
sign in at Ferrobase with what they have, and those of Ferrobase at a GoTrue with an empty schema.
Needs PostgreSQL's programs; standard library otherwise. The last line counts what passed.
"""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

SECRET = "super-secret-jwt-token-with-at-least-32-characters-long"
PASSWORD = "correct horse battery staple"
DUMP = [
    "--data-only",
    "--column-inserts",
    "--schema=auth",
    "--exclude-table=auth.schema_migrations",
]
# What the owner of a Supabase database finds before GoTrue has ever started.
BEFORE = """
CREATE ROLE postgres; CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role;
CREATE ROLE supabase_auth_admin LOGIN NOINHERIT CREATEROLE PASSWORD 'root';
"""
EACH = """
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
GRANT ALL ON DATABASE {0} TO supabase_auth_admin;
ALTER ROLE supabase_auth_admin IN DATABASE {0} SET search_path = auth;
"""

passed = failed = 0


def check(what, holds, said=""):
    """Counts one thing that must hold."""
    global passed, failed
    passed, failed = (passed + 1, failed) if holds else (passed, failed + 1)
    if not holds:
        print(f"FAILED {what}: {said}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_postgres():
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return {}
    return {"user": "postgres", "group": pwd.getpwnam("postgres").pw_gid, "extra_groups": []}


def programs():
    """The folder with initdb, psql and pg_dump."""
    for folder in sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    return pathlib.Path(shutil.which("initdb")).parent


class Api:
    """GoTrue's routes, wherever they are."""

    def __init__(self, url, key=None):
        self.url, self.key = url, key

    def call(self, method, path, body=None, token=None):
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["apikey"] = self.key
        if token:
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            text = error.read()
            with contextlib.suppress(ValueError):
                return error.code, json.loads(text)
            return error.code, text.decode(errors="replace")

    def password(self, email, password=PASSWORD):
        return self.call("POST", "/token?grant_type=password", {"email": email, "password": password})


def service_token():
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    head = part({"alg": "HS256", "typ": "JWT"})
    claims = part({"role": "service_role", "iss": "supabase", "iat": now, "exp": now + 3600})
    text = head + b"." + claims
    mac = hmac.new(SECRET.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def totp(secret, offset=0):
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    mac = hmac.new(key, struct.pack(">Q", int(time.time()) // 30 + offset), hashlib.sha1).digest()
    start = mac[-1] & 15
    number = struct.unpack(">I", mac[start : start + 4])[0] & 0x7FFFFFFF
    return f"{number % 1000000:06}"


def wait_for(url, process, seconds=60):
    for _ in range(seconds * 10):
        if process.poll() is not None:
            raise SystemExit(f"ended at once with {process.returncode}: {url}")
        try:
            urllib.request.urlopen(url, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"no answer at {url}")


class Cluster:
    """A PostgreSQL of its own for GoTrue."""

    def __init__(self, folder):
        self.bin, self.port = programs(), free_port()
        self.data = folder / "data"
        folder.chmod(0o755)
        self.data.mkdir()
        if os.getuid() == 0:
            shutil.chown(self.data, "postgres", "postgres")
        self.run("initdb", "-D", self.data, "-U", "supabase_admin", "-A", "trust", "-N")
        options = f"-p {self.port} -k '' -c listen_addresses=127.0.0.1"
        self.run("pg_ctl", "-D", self.data, "-w", "-l", self.data / "log", "-o", options, "start")
        self.sql("template1", BEFORE)

    def run(self, program, *arguments):
        words = [str(self.bin / program), *map(str, arguments)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, **as_postgres())

    def url(self, database, user="supabase_admin"):
        return f"postgres://{user}:root@127.0.0.1:{self.port}/{database}?sslmode=disable"

    def sql(self, database, text):
        psql(self.bin, self.url(database), text)

    def database(self, name):
        self.run("createdb", "-h", "127.0.0.1", "-p", self.port, "-U", "supabase_admin", name)
        self.sql(name, EACH.format(name))

    def stop(self):
        self.run("pg_ctl", "-D", self.data, "-m", "immediate", "stop")


def psql(folder, url, text):
    words = [str(folder / "psql"), url, "-qX1", "-v", "ON_ERROR_STOP=1"]
    done = subprocess.run(words, input=text.encode(), capture_output=True)
    if done.returncode:
        raise SystemExit(f"psql: {done.stderr.decode()[:2000]}")


def dump(folder, url):
    done = subprocess.run([str(folder / "pg_dump"), *DUMP, url], capture_output=True)
    if done.returncode:
        raise SystemExit(f"pg_dump: {done.stderr.decode()[:2000]}")
    return done.stdout.decode()


@contextlib.contextmanager
def gotrue(program, migrations, cluster, database):
    port = free_port()
    told = {
        "PATH": os.environ["PATH"],
        "GOTRUE_DB_MIGRATIONS_PATH": str(migrations),
        "DB_NAMESPACE": "auth",
        "GOTRUE_DB_DRIVER": "postgres",
        "DATABASE_URL": cluster.url(database, "supabase_auth_admin"),
        "GOTRUE_DB_DATABASE_URL": cluster.url(database, "supabase_auth_admin"),
        "API_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "GOTRUE_API_HOST": "127.0.0.1",
        "PORT": str(port),
        "GOTRUE_SITE_URL": "http://127.0.0.1:3000",
        "GOTRUE_JWT_SECRET": SECRET,
        "GOTRUE_JWT_EXP": "3600",
        "GOTRUE_JWT_AUD": "authenticated",
        "GOTRUE_JWT_DEFAULT_GROUP_NAME": "authenticated",
        "GOTRUE_JWT_ADMIN_ROLES": "supabase_admin,service_role",
        "GOTRUE_MAILER_AUTOCONFIRM": "true",
        "GOTRUE_EXTERNAL_ANONYMOUS_USERS_ENABLED": "true",
        "GOTRUE_MFA_TOTP_ENROLL_ENABLED": "true",
        "GOTRUE_MFA_TOTP_VERIFY_ENABLED": "true",
        "GOTRUE_LOG_LEVEL": "error",
    }
    subprocess.run([program, "migrate"], env=told, check=True, cwd=migrations.parent)
    process = subprocess.Popen([program, "serve"], env=told, cwd=migrations.parent)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process)
        yield Api(f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def ferrobase(program, folder):
    (folder / "supabase").mkdir(parents=True)
    config = "[auth]\nenable_anonymous_sign_ins = true\n[auth.mfa.totp]\nenroll_enabled = true\nverify_enabled = true\n"
    (folder / "supabase/config.toml").write_text(config)
    words = [program, "dev", "--json", "--port", "0", "--db-port", "0", "--dir", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def furnish(api, prefix):
    """Makes people, and returns what they know."""
    admin = service_token()
    known = {"email": f"{prefix}@example.com", "mfa": f"{prefix}-mfa@example.com"}
    status, session = api.call("POST", "/signup", {
        "email": known["email"], "password": PASSWORD, "data": {"name": "Ärger 'n quotes"},
    })
    check(f"{prefix}: sign-up", status == 200 and "refresh_token" in session, session)
    known["refresh"] = session["refresh_token"]
    status, session = api.call("POST", "/signup", {"email": known["mfa"], "password": PASSWORD})
    token = session["access_token"]
    body = {"factor_type": "totp", "friendly_name": "phone"}
    status, factor = api.call("POST", "/factors", body, token)
    check(f"{prefix}: enrolling", status == 200, factor)
    known["factor"], known["totp"] = factor["id"], factor["totp"]["secret"]
    status, challenge = api.call("POST", f"/factors/{factor['id']}/challenge", {}, token)
    body = {"challenge_id": challenge["id"], "code": totp(known["totp"])}
    status, verified = api.call("POST", f"/factors/{factor['id']}/verify", body, token)
    check(f"{prefix}: verifying", status == 200, verified)
    status, user = api.call("POST", "/admin/users", {
        "email": f"{prefix}-made@example.com", "password": PASSWORD, "email_confirm": True,
        "app_metadata": {"plan": "pro"}, "user_metadata": {"n": 1},
    }, admin)
    check(f"{prefix}: made by the administrator", status in (200, 201), user)
    status, guest = api.call("POST", "/signup", {"data": {"guest": True}})
    check(f"{prefix}: guest", status == 200 and guest["user"]["is_anonymous"], guest)
    known["guest"] = guest["refresh_token"]
    return known


def visit(api, where, prefix, known):
    """The same people somewhere else."""
    told = f"{prefix} at {where}"
    status, session = api.password(known["email"])
    check(f"{told}: old password", status == 200, session)
    status, answer = api.password(known["email"], "wrong")
    check(f"{told}: wrong password", status == 400, answer)
    if status == 400 and isinstance(session, dict) and "user" in session:
        name = session["user"]["user_metadata"].get("name")
        check(f"{told}: metadata", name == "Ärger 'n quotes", name)
    body = {"refresh_token": known["refresh"]}
    status, session = api.call("POST", "/token?grant_type=refresh_token", body)
    check(f"{told}: session goes on", status == 200, session)
    body = {"refresh_token": known["guest"]}
    status, session = api.call("POST", "/token?grant_type=refresh_token", body)
    check(f"{told}: guest goes on", status == 200 and session["user"]["is_anonymous"], session)
    status, session = api.password(f"{prefix}-made@example.com")
    plan = status == 200 and session["user"]["app_metadata"].get("plan")
    check(f"{told}: profile of the administrator", plan == "pro", session)
    status, session = api.password(known["mfa"])
    check(f"{told}: first factor", status == 200, session)
    token = session.get("access_token")
    status, challenge = api.call("POST", f"/factors/{known['factor']}/challenge", {}, token)
    check(f"{told}: challenge", status == 200, challenge)
    # Not the code that has been used already.
    body = {"challenge_id": challenge.get("id"), "code": totp(known["totp"], 1)}
    status, verified = api.call("POST", f"/factors/{known['factor']}/verify", body, token)
    check(f"{told}: second factor", status == 200, verified)


def main():
    program, migrations, server = sys.argv[1:4]
    migrations = pathlib.Path(migrations).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cluster = Cluster(folder)
        try:
            cluster.database("theirs")
            with gotrue(program, migrations, cluster, "theirs") as api:
                theirs = furnish(api, "theirs")
            moved = dump(cluster.bin, cluster.url("theirs"))
            with ferrobase(server, folder / "project") as told:
                psql(cluster.bin, told["db_url"], moved)
                api = Api(told["api_url"] + "/auth/v1", told["anon_key"])
                visit(api, "Ferrobase", "theirs", theirs)
                ours = furnish(api, "ours")
                back = dump(cluster.bin, told["db_url"])
            cluster.database("back")
            with gotrue(program, migrations, cluster, "back"):
                pass
            cluster.sql("back", back)
            with gotrue(program, migrations, cluster, "back") as api:
                visit(api, "GoTrue", "ours", ours)
                status, session = api.password(theirs["email"])
                check("theirs back at GoTrue: old password", status == 200, session)
        finally:
            cluster.stop()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


main()
