"""E2B's official SDKs, unmodified, with their two addresses pointing at us."""

import io
import os
import subprocess
import time

import pytest
from e2b import CommandExitException, NotFoundException, Sandbox
from e2b_code_interpreter import Sandbox as CodeSandbox
from server import Server

ADA = "7d3c1f60-1111-4f5e-9a62-0f6a4f4b0a01"
BOB = "7d3c1f60-2222-4f5e-9a62-0f6a4f4b0a02"


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.remove()


def key(server: Server, user: str) -> str:
    """A platform key of a user's, as an operator makes it."""
    made = subprocess.run(
        [os.environ["FERROBASE_BIN"], "keys", "create", f"e2b-{user}", "--role", "authenticated",
         "--sub", user, "--scope", "sessions"],
        cwd=server.folder, stdout=subprocess.PIPE, text=True, check=True, timeout=60,
    )
    return made.stdout.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def of(server):
    """Options of two people's clients."""
    url = server.ready["api_url"] + "/e2b"
    keys = {user: key(server, user) for user in (ADA, BOB)}
    # Nodes hear of new keys a moment later.
    time.sleep(1)
    return {user: {"api_key": keys[user], "api_url": url, "sandbox_url": url} for user in keys}


@pytest.fixture(scope="module")
def box(of):
    sandbox = Sandbox.create(timeout=120, metadata={"purpose": "a test"}, envs={"HUE": "teal"}, **of[ADA])
    yield sandbox
    sandbox.kill()


def test_files(box):
    box.files.write("notes/a.txt", "hello")
    assert box.files.read("notes/a.txt") == "hello"
    assert box.files.read("/home/user/notes/a.txt", format="bytes") == bytearray(b"hello")
    box.files.write_files([{"path": "b.bin", "data": bytes(range(256))}, {"path": "c.txt", "data": "c"}])
    assert box.files.read("b.bin", format="bytes") == bytearray(range(256))
    box.files.write("d.txt", io.StringIO("from a stream"))
    assert box.files.read("d.txt") == "from a stream"
    assert box.files.exists("c.txt") and not box.files.exists("z.txt")
    assert box.files.make_dir("folder") and not box.files.make_dir("folder")
    box.files.rename("c.txt", "folder/c.txt")
    entries = {entry.path: entry for entry in box.files.list("/home/user", depth=2)}
    assert entries["/home/user/folder/c.txt"].size == 1
    assert entries["/home/user/folder"].type.value == "dir"
    box.files.remove("folder")
    with pytest.raises(NotFoundException):
        box.files.read("folder/c.txt")


def test_nothing_outside_the_home_is_read(box):
    box.commands.run("ln -s /etc/passwd link; ln -s /etc folder-link")
    for path in ("/etc/passwd", "../../etc/passwd", "link", "folder-link/passwd"):
        with pytest.raises(Exception) as refused:
            box.files.read(path)
        assert "root:" not in str(refused.value)


def test_commands(box):
    heard = []
    result = box.commands.run(
        "echo $HUE $MOOD; echo wrong >&2; pwd", envs={"MOOD": "calm"}, on_stdout=heard.append,
    )
    assert result.exit_code == 0
    assert result.stdout == "teal calm\n/home/user\n"
    assert result.stderr == "wrong\n"
    assert "".join(heard) == result.stdout
    with pytest.raises(CommandExitException) as failed:
        box.commands.run("echo so; exit 7")
    assert (failed.value.exit_code, failed.value.stdout) == (7, "so\n")
    # All of it, in order, whatever the size.
    many = box.commands.run("seq 1 100000").stdout.split()
    assert many == [str(n) for n in range(1, 100001)]


def test_background(box):
    command = box.commands.run("read line; echo got $line; sleep 60", background=True, stdin=True)
    assert command.pid in [process.pid for process in box.commands.list()]
    box.commands.send_stdin(command.pid, "a word\n")
    for stdout, _, _ in command:
        if stdout:
            assert stdout == "got a word\n"
            break
    assert box.commands.kill(command.pid)
    deadline = time.monotonic() + 20
    while command.pid in [process.pid for process in box.commands.list()]:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert not box.commands.kill(command.pid)


def test_life(of, box):
    assert box.is_running()
    info = box.get_info()
    assert info.sandbox_id == box.sandbox_id
    assert info.metadata == {"purpose": "a test"}
    box.set_timeout(600)
    assert (box.get_info().end_at - info.end_at).total_seconds() > 300
    again = Sandbox.connect(box.sandbox_id, **of[ADA])
    assert again.commands.run("echo again").stdout == "again\n"
    listed = Sandbox.list(**of[ADA]).next_items()
    assert box.sandbox_id in [sandbox.sandbox_id for sandbox in listed]
    assert box.get_host(3000).startswith(f"3000-{box.sandbox_id}.")


def test_anothers_sandbox_does_not_exist(of, box):
    assert Sandbox.list(**of[BOB]).next_items() == []
    assert not Sandbox.kill(box.sandbox_id, **of[BOB])
    with pytest.raises(NotFoundException):
        Sandbox.connect(box.sandbox_id, **of[BOB])
    own = Sandbox.create(timeout=60, **of[BOB])
    try:
        # Bob's key of his own sandbox opens no other.
        headers = {"E2b-Sandbox-Id": box.sandbox_id, "X-Access-Token": own._envd_access_token}
        import httpx

        url = of[BOB]["sandbox_url"] + "/files?path=notes/a.txt"
        assert httpx.get(url, headers=headers).status_code == 401
        headers["E2b-Sandbox-Id"] = own.sandbox_id
        assert httpx.get(url, headers=headers).status_code == 404
    finally:
        own.kill()


def test_the_end(of):
    sandbox = Sandbox.create(timeout=60, **of[ADA])
    assert sandbox.kill()
    assert not sandbox.is_running()
    assert not Sandbox.kill(sandbox.sandbox_id, **of[ADA])


def test_code(of):
    with CodeSandbox.create(timeout=120, **of[ADA]) as sandbox:
        assert sandbox.run_code("x = 20\nx + 1").text == "21"
        heard = []
        again = sandbox.run_code(
            "import os\nprint(x)\nos.system('echo below')\nx * 2",
            on_stdout=lambda message: heard.append(message.line),
        )
        assert again.text == "40"
        assert "".join(heard) == "20\nbelow\n"
        failed = sandbox.run_code("1 / 0")
        assert failed.error.name == "ZeroDivisionError"
        assert sandbox.run_code("x").text == "20"
