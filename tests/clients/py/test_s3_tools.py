"""The AWS CLI and rclone, unmodified, against the S3 protocol of the built binary: what people type.
rclone is no relative of boto3: another language, another signer, another idea of a multipart upload.
"""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from test_s3 import ADA, BOB, Place

MIB = 1024 * 1024
# Twelve and a half parts of the CLI's eight MiB, twenty of rclone's five.
LARGE = 100 * MIB + 12345
# A client that waits for nothing must not hold the run up.
SECONDS_MAX = 170


@pytest.fixture(scope="module")
def place():
    with pytest.MonkeyPatch.context() as patch:
        # The usual limit is half of what is sent here.
        patch.setenv("FERROBASE__STORAGE__FILE_SIZE_LIMIT", "200MiB")
        place = Place()
    yield place
    place.end()


def environment(place, folder: Path, **more) -> dict:
    """None of the caller's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "RCLONE_"))}
    return {
        **kept,
        "HOME": str(folder),
        "AWS_ACCESS_KEY_ID": place.key,
        "AWS_SECRET_ACCESS_KEY": place.secret,
        "AWS_DEFAULT_REGION": "local",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        **more,
    }


def said(command: list, env: dict, code: int = 0) -> str:
    ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=SECONDS_MAX, check=False)
    assert ran.returncode == code, f"{command[1:]}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran.stdout + ran.stderr


def noise(path: Path, size: int) -> str:
    """Writes so many bytes that no two runs share; returns their SHA-256."""
    digest = hashlib.sha256()
    dice = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, MIB):
            piece = dice.randbytes(min(MIB, size - start))
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tree(folder: Path) -> dict:
    files = {"a.txt": b"one", "deep/er/b.bin": bytes(range(256)), "c d+e&f.txt": b"odd", "empty": b""}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def read(folder: Path) -> dict:
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Cli:
    """The AWS CLI that is installed beside this Python."""

    def __init__(self, place, folder: Path, **more) -> None:
        self.env = environment(place, folder, **more)
        tool = str(Path(sys.executable).with_name("aws"))
        self.start = [sys.executable, tool, "--endpoint-url", place.endpoint]

    def __call__(self, *arguments, code: int = 0) -> str:
        return said([*self.start, *map(str, arguments)], self.env, code)


def test_the_aws_cli_copies_syncs_lists_moves_and_removes(place, tmp_path):
    aws = Cli(place, tmp_path)
    source, back = tmp_path / "source", tmp_path / "back"
    files = tree(source)
    aws("s3", "mb", "s3://cli")
    assert "cli" in aws("s3", "ls")
    aws("s3", "cp", source / "a.txt", "s3://cli/first.txt", "--content-type", "text/plain")
    assert aws("s3", "cp", "s3://cli/first.txt", "-") == "one"
    assert "upload:" in aws("s3", "sync", source, "s3://cli/tree")
    # What is there already is not sent again; what changed is, and what went goes.
    assert aws("s3", "sync", source, "s3://cli/tree") == ""
    (source / "a.txt").write_bytes(b"one and more")
    (source / "empty").unlink()
    told = aws("s3", "sync", source, "s3://cli/tree", "--delete")
    assert "upload:" in told and "delete: s3://cli/tree/empty" in told
    aws("s3", "sync", "s3://cli/tree", back)
    files = {**files, "a.txt": b"one and more"}
    del files["empty"]
    assert read(back) == files
    listed = aws("s3", "ls", "s3://cli/tree/", "--recursive", "--summarize")
    assert "Total Objects: 3" in listed and "tree/deep/er/b.bin" in listed
    assert "PRE deep/" in aws("s3", "ls", "s3://cli/tree/")
    aws("s3", "mv", "s3://cli/first.txt", "s3://cli/moved/second.txt")
    assert aws("s3", "cp", "s3://cli/moved/second.txt", "-") == "one"
    assert "404" in aws("s3", "cp", "s3://cli/first.txt", "-", code=1)
    aws("s3", "rm", "s3://cli/tree", "--recursive")
    assert aws("s3", "ls", "s3://cli/tree/", code=1) == ""
    assert "BucketNotEmpty" in aws("s3", "rb", "s3://cli", code=1)
    aws("s3", "rb", "s3://cli", "--force")
    assert "cli" not in aws("s3", "ls")


def test_the_aws_cli_sends_a_hundred_mebibytes_in_parts(place, tmp_path):
    aws = Cli(place, tmp_path)
    aws("s3", "mb", "s3://large")
    sent, got = tmp_path / "sent", tmp_path / "got"
    digest = noise(sent, LARGE)
    aws("s3", "cp", sent, "s3://large/in/parts", "--no-progress")
    head = json.loads(aws("s3api", "head-object", "--bucket", "large", "--key", "in/parts"))
    assert head["ContentLength"] == LARGE and head["ETag"].strip('"').endswith("-13"), head
    aws("s3", "cp", "s3://large/in/parts", got, "--no-progress")
    assert sha256(got) == digest
    # Within the server: the CLI copies it in parts, too.
    aws("s3", "cp", "s3://large/in/parts", "s3://large/copy", "--no-progress")
    aws("s3", "cp", "s3://large/copy", got, "--no-progress")
    assert sha256(got) == digest
    left = aws("s3api", "list-multipart-uploads", "--bucket", "large")
    assert "Uploads" not in (json.loads(left) if left.strip() else {})


def test_an_address_that_the_aws_cli_signed_is_good_for_a_while(place, tmp_path):
    aws = Cli(place, tmp_path)
    aws("s3", "mb", "s3://signed")
    (tmp_path / "x").write_bytes(b"for whoever has it")
    aws("s3", "cp", tmp_path / "x", "s3://signed/a b.txt")
    address = aws("s3", "presign", "s3://signed/a b.txt", "--expires-in", 60).strip()
    answer = httpx.get(address)
    assert (answer.status_code, answer.content) == (200, b"for whoever has it")
    assert httpx.get(address.replace("a%20b", "other")).status_code == 403
    assert httpx.delete(address).status_code == 403
    assert httpx.get(address[:-1] + ("0" if address[-1] != "0" else "1")).status_code == 403


def test_a_user_of_the_aws_cli_sees_what_policies_show(place, tmp_path):
    Cli(place, tmp_path)("s3", "mb", "s3://folders")

    def user(who):
        keys = {"AWS_ACCESS_KEY_ID": "project", "AWS_SECRET_ACCESS_KEY": place.anon}
        return Cli(place, tmp_path, **keys, AWS_SESSION_TOKEN=place.token(who))

    ada, bob = user(ADA), user(BOB)
    (tmp_path / "own").write_bytes(b"hers")
    ada("s3", "cp", tmp_path / "own", f"s3://folders/{ADA['id']}/own")
    assert ADA["id"] in ada("s3", "ls", "s3://folders")
    assert "AccessDenied" in bob("s3", "cp", tmp_path / "own", f"s3://folders/{ADA['id']}/his", code=1)
    assert "404" in bob("s3", "cp", f"s3://folders/{ADA['id']}/own", "-", code=1)
    # A folder with nothing to see in it is none.
    assert bob("s3", "ls", f"s3://folders/{ADA['id']}/", code=1) == ""
    bob("s3", "rm", f"s3://folders/{ADA['id']}", "--recursive")
    assert ada("s3", "cp", f"s3://folders/{ADA['id']}/own", "-") == "hers"


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
def test_rclone_copies_syncs_checks_and_removes(place, tmp_path):
    configuration = tmp_path / "rclone.conf"
    # All of it is in the environment; without a file it would say so each time.
    configuration.touch()
    env = environment(
        place,
        tmp_path,
        RCLONE_CONFIG=str(configuration),
        RCLONE_CONFIG_OURS_TYPE="s3",
        RCLONE_CONFIG_OURS_PROVIDER="Other",
        RCLONE_CONFIG_OURS_ENV_AUTH="true",
        RCLONE_CONFIG_OURS_REGION="local",
        RCLONE_CONFIG_OURS_ENDPOINT=place.endpoint,
        RCLONE_RETRIES="1",
        RCLONE_LOW_LEVEL_RETRIES="1",
    )

    def rclone(*arguments, code: int = 0) -> str:
        return said(["rclone", *map(str, arguments)], env, code)

    source, back = tmp_path / "source", tmp_path / "back"
    files = tree(source)
    digest = noise(source / "large", LARGE)
    rclone("mkdir", "ours:rclone")
    rclone("sync", source, "ours:rclone/tree", "--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M")
    # By size and by hash, of which multipart uploads keep rclone's own.
    assert "0 differences found" in rclone("check", source, "ours:rclone/tree")
    listed = {entry["Path"]: entry for entry in json.loads(rclone("lsjson", "-R", "--files-only", "ours:rclone/tree"))}
    assert {name: entry["Size"] for name, entry in listed.items()} == {
        **{name: len(content) for name, content in files.items()},
        "large": LARGE,
    }
    # Its own times come back, which it keeps as metadata.
    changed = (source / "a.txt").stat().st_mtime
    rclone("copy", "ours:rclone/tree", back)
    assert sha256(back / "large") == digest
    assert abs((back / "a.txt").stat().st_mtime - changed) < 0.001
    (back / "large").unlink()
    assert read(back) == files
    (source / "a.txt").unlink()
    rclone("sync", source, "ours:rclone/tree")
    assert rclone("cat", "ours:rclone/tree/c d+e&f.txt") == "odd"
    rclone("moveto", "ours:rclone/tree/large", "ours:rclone/elsewhere")
    assert rclone("hashsum", "MD5", "ours:rclone/elsewhere", "--download").split()[0] == md5(source / "large")
    rclone("delete", "ours:rclone/tree")
    assert json.loads(rclone("lsjson", "-R", "--files-only", "ours:rclone")) == [listed_large(rclone)]
    # `purge` of a whole bucket asks for versions, of which there are none.
    assert "NotImplemented" in rclone("purge", "ours:rclone", code=1)
    rclone("delete", "ours:rclone")
    rclone("rmdir", "ours:rclone")
    assert "rclone" not in rclone("lsd", "ours:")


def md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def listed_large(rclone) -> dict:
    (entry,) = json.loads(rclone("lsjson", "--files-only", "ours:rclone"))
    assert (entry["Path"], entry["Size"]) == ("elsewhere", LARGE)
    return entry
