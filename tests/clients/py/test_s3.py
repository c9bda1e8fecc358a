"""boto3, unmodified, against the S3 protocol of the built binary: what it sends, how it signs and
what it makes of the answers. Users come with a session token and see what policies show them.
"""

import datetime
import hashlib
import io
import os
import time
import uuid

import boto3
import httpx
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from server import Server, sign

MIB = 1024 * 1024
ADA = {"id": str(uuid.uuid4()), "email": "ada@example.com"}
BOB = {"id": str(uuid.uuid4()), "email": "bob@example.com"}


POLICY = """
create policy "own folder" on storage.objects to authenticated
    using ((storage.foldername(name))[1] = auth.uid()::text)
    with check ((storage.foldername(name))[1] = auth.uid()::text);
"""


class WithPolicy(Server):
    """The shared project and one migration more: everybody has a folder."""

    def start(self) -> None:
        migrations = self.folder / "supabase" / "migrations"
        (migrations / "99990101000000_own_folder.sql").write_text(POLICY)
        super().start()


class Place:
    """Where the server is and what it takes: the built binary."""

    def __init__(self) -> None:
        self.server = WithPolicy()
        ready = self.server.ready
        self.endpoint = ready["storage_s3_url"]
        self.key, self.secret = ready["s3_protocol_access_key_id"], ready["s3_protocol_access_key_secret"]
        self.anon = ready["anon_key"]

    def token(self, user: dict) -> str:
        return self.server.token(user)

    def end(self) -> None:
        self.server.remove()


@pytest.fixture(scope="module")
def place():
    place = Place()
    yield place
    place.end()


def client(place, key=None, secret=None, token=None, region="local", **options):
    return boto3.client(
        "s3",
        endpoint_url=place.endpoint,
        aws_access_key_id=key or place.key,
        aws_secret_access_key=secret or place.secret,
        aws_session_token=token,
        region_name=region,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 0}, **options),
    )


@pytest.fixture(scope="module")
def s3(place):
    return client(place)


@pytest.fixture
def bucket(s3):
    name = f"py-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def refused(call, code: str, status: int | None = None):
    with pytest.raises(ClientError) as raised:
        call()
    response = raised.value.response
    assert response["Error"]["Code"] == code, response
    if status:
        assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    return response


def test_buckets_are_made_found_and_ended(s3):
    name = f"py-{uuid.uuid4().hex[:12]}"
    assert s3.create_bucket(Bucket=name)["Location"] == f"/{name}"
    assert name in [found["Name"] for found in s3.list_buckets()["Buckets"]]
    assert s3.head_bucket(Bucket=name)["BucketRegion"] == "local"
    assert s3.get_bucket_location(Bucket=name)["LocationConstraint"] == "local"
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Suspended"
    refused(lambda: s3.create_bucket(Bucket=name), "BucketAlreadyExists", 409)
    s3.put_object(Bucket=name, Key="a", Body=b"a")
    refused(lambda: s3.delete_bucket(Bucket=name), "BucketNotEmpty", 409)
    s3.delete_object(Bucket=name, Key="a")
    s3.delete_bucket(Bucket=name)
    refused(lambda: s3.head_bucket(Bucket=name), "404", 404)
    refused(lambda: s3.list_objects_v2(Bucket=name), "NoSuchBucket", 404)
    refused(lambda: s3.get_bucket_acl(Bucket=name), "NotImplemented", 501)


def test_an_object_keeps_what_was_said_of_it(s3, bucket):
    body = b"hello"
    put = s3.put_object(
        Bucket=bucket,
        Key="docs/a b+c&d.txt",
        Body=body,
        ContentType="text/plain",
        CacheControl="max-age=60",
        Metadata={"one": "1", "two": "zwei"},
    )
    assert put["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    head = s3.head_object(Bucket=bucket, Key="docs/a b+c&d.txt")
    assert (head["ContentLength"], head["ContentType"], head["CacheControl"]) == (5, "text/plain", "max-age=60")
    assert head["Metadata"] == {"one": "1", "two": "zwei"} and head["ETag"] == put["ETag"]
    got = s3.get_object(Bucket=bucket, Key="docs/a b+c&d.txt", ResponseContentType="text/x-other")
    assert got["Body"].read() == body and got["ContentType"] == "text/x-other"
    assert s3.get_object_tagging(Bucket=bucket, Key="docs/a b+c&d.txt")["TagSet"] == []
    refused(lambda: s3.head_object(Bucket=bucket, Key="none"), "404", 404)
    refused(lambda: s3.get_object(Bucket=bucket, Key="none"), "NoSuchKey", 404)
    refused(lambda: s3.put_object(Bucket=bucket, Key="a[b]^|c", Body=b""), "InvalidKey", 400)
    refused(lambda: s3.put_object(Bucket=bucket, Key="../a", Body=b""), "InvalidKey", 400)
    refused(lambda: s3.put_object(Bucket="nowhere", Key="a", Body=b""), "NoSuchBucket", 404)
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    assert s3.get_object(Bucket=bucket, Key="empty")["Body"].read() == b""


def test_ranges_and_conditions(s3, bucket):
    body = b"0123456789abcdef"
    etag = s3.put_object(Bucket=bucket, Key="r", Body=body)["ETag"]

    def get(**asked):
        return s3.get_object(Bucket=bucket, Key="r", **asked)

    for asked, expected, told in [
        ("bytes=0-3", body[:4], "bytes 0-3/16"),
        ("bytes=4-", body[4:], "bytes 4-15/16"),
        ("bytes=-5", body[-5:], "bytes 11-15/16"),
        ("bytes=10-999", body[10:], "bytes 10-15/16"),
    ]:
        answer = get(Range=asked)
        assert (answer["Body"].read(), answer["ContentRange"]) == (expected, told)
    refused(lambda: get(Range="bytes=16-"), "InvalidRange", 416)
    refused(lambda: get(IfNoneMatch=etag), "304", 304)
    refused(lambda: get(IfMatch='"other"'), "PreconditionFailed", 412)
    assert get(IfMatch=etag)["Body"].read() == body
    now = s3.head_object(Bucket=bucket, Key="r")["LastModified"]
    refused(lambda: get(IfModifiedSince=now), "304", 304)
    before = now - datetime.timedelta(seconds=1)
    refused(lambda: get(IfUnmodifiedSince=before), "PreconditionFailed", 412)

    def put(**asked):
        return s3.put_object(Bucket=bucket, Key="r", Body=b"new", **asked)

    refused(lambda: put(IfNoneMatch="*"), "PreconditionFailed", 412)
    refused(lambda: put(IfMatch='"other"'), "PreconditionFailed", 412)
    assert get()["Body"].read() == body
    put(IfMatch=etag)
    assert get()["Body"].read() == b"new"
    s3.put_object(Bucket=bucket, Key="fresh", Body=b"", IfNoneMatch="*")


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_checksums_are_held_against_the_bytes(s3, bucket, algorithm):
    sent = s3.put_object(Bucket=bucket, Key="c", Body=b"123456789", ChecksumAlgorithm=algorithm)
    assert sent[f"Checksum{algorithm}"]
    wrong = {f"Checksum{algorithm}": "AAAAAA=="}
    refused(lambda: s3.put_object(Bucket=bucket, Key="d", Body=b"123456789", **wrong), "BadDigest", 400)
    refused(lambda: s3.head_object(Bucket=bucket, Key="d"), "404", 404)


def test_lists_page_by_page(s3, bucket):
    keys = ["a", "a/1", "a/2", "a/b/3", "b/4", "c", "d e", "z"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")

    def pages(operation, **asked):
        found = []
        for page in s3.get_paginator(operation).paginate(Bucket=bucket, **asked):
            entries = [("o", entry["Key"]) for entry in page.get("Contents", [])]
            entries += [("f", entry["Prefix"]) for entry in page.get("CommonPrefixes", [])]
            found += sorted(entries, key=lambda entry: entry[1])
        return found

    for operation in ["list_objects_v2", "list_objects"]:
        for size in [1, 2, 3, 1000]:
            sized = {"PaginationConfig": {"PageSize": size}}
            assert pages(operation, **sized) == [("o", key) for key in keys]
            assert pages(operation, Delimiter="/", **sized) == [
                ("o", "a"), ("f", "a/"), ("f", "b/"), ("o", "c"), ("o", "d e"), ("o", "z"),
            ]
            assert pages(operation, Prefix="a/", Delimiter="/", **sized) == [
                ("o", "a/1"), ("o", "a/2"), ("f", "a/b/"),
            ]
    after = s3.list_objects_v2(Bucket=bucket, StartAfter="a/zzz", Delimiter="/")
    assert [entry["Prefix"] for entry in after["CommonPrefixes"]] == ["b/"]
    assert after["KeyCount"] == 4
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=0)["KeyCount"] == 0
    refused(lambda: s3.list_objects_v2(Bucket=bucket, ContinuationToken="!"), "InvalidArgument", 400)


def test_copies(s3, bucket):
    source = {"Bucket": bucket, "Key": "from/ä".replace("ä", "a b")}
    etag = s3.put_object(Body=b"copied", ContentType="text/plain", Metadata={"a": "1"}, **source)["ETag"]
    assert s3.copy_object(Bucket=bucket, Key="to", CopySource=source)["CopyObjectResult"]["ETag"] == etag
    copied = s3.get_object(Bucket=bucket, Key="to")
    assert (copied["Body"].read(), copied["Metadata"], copied["ContentType"]) == (b"copied", {"a": "1"}, "text/plain")
    s3.copy_object(
        Bucket=bucket, Key="to", CopySource=source, MetadataDirective="REPLACE",
        ContentType="application/json", CacheControl="max-age=9", Metadata={"b": "2"},
    )
    head = s3.head_object(Bucket=bucket, Key="to")
    assert (head["Metadata"], head["ContentType"], head["CacheControl"]) == ({"b": "2"}, "application/json", "max-age=9")

    def conditional(**asked):
        return s3.copy_object(Bucket=bucket, Key="to", CopySource=source, **asked)

    refused(lambda: conditional(CopySourceIfMatch='"other"'), "PreconditionFailed", 412)
    refused(lambda: conditional(CopySourceIfNoneMatch=etag), "PreconditionFailed", 412)
    missing = {"Bucket": bucket, "Key": "none"}
    refused(lambda: s3.copy_object(Bucket=bucket, Key="to", CopySource=missing), "NoSuchKey", 404)


def test_deletes_many_at_once(s3, bucket):
    keys = [f"k {number} <&>".replace("<", "").replace(">", "") for number in range(1000)]
    for key in keys[:5]:
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    gone = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert [entry["Key"] for entry in gone["Deleted"]] == keys and "Errors" not in gone
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    more = {"Objects": [{"Key": key} for key in [*keys, "one more"]]}
    refused(lambda: s3.delete_objects(Bucket=bucket, Delete=more), "MalformedXML", 400)
    quiet = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "x"}], "Quiet": True})
    assert "Deleted" not in quiet


def test_uploads_in_parts(s3, bucket):
    parts = [os.urandom(5 * MIB), os.urandom(5 * MIB), os.urandom(100)]
    made = s3.create_multipart_upload(Bucket=bucket, Key="big", ContentType="a/b", Metadata={"m": "1"})
    named = {"Bucket": bucket, "Key": "big", "UploadId": made["UploadId"]}
    tags = {}
    for number in [3, 1, 2]:
        sent = s3.upload_part(PartNumber=number, Body=parts[number - 1], **named)
        assert sent["ETag"] == f'"{hashlib.md5(parts[number - 1]).hexdigest()}"'
        tags[number] = sent["ETag"]
    first = s3.list_parts(MaxParts=2, **named)
    assert [part["PartNumber"] for part in first["Parts"]] == [1, 2] and first["IsTruncated"]
    rest = s3.list_parts(PartNumberMarker=first["NextPartNumberMarker"], **named)
    assert [(part["PartNumber"], part["Size"]) for part in rest["Parts"]] == [(3, 100)]

    def complete(*numbers, tags=tags):
        listed = [{"PartNumber": number, "ETag": tags[number]} for number in numbers]
        return s3.complete_multipart_upload(MultipartUpload={"Parts": listed}, **named)

    refused(lambda: complete(2, 1), "InvalidPartOrder", 400)
    refused(lambda: complete(1, 2, tags={**tags, 2: '"other"'}), "InvalidPart", 400)
    refused(lambda: complete(3, tags={3: tags[1]}), "InvalidPart", 400)
    other = {**named, "Key": "elsewhere"}
    refused(lambda: s3.list_parts(**other), "NoSuchUpload", 404)
    refused(lambda: s3.upload_part(PartNumber=1, Body=b"x", **other), "NoSuchUpload", 404)
    digests = b"".join(hashlib.md5(part).digest() for part in parts)
    assert complete(1, 2, 3)["ETag"] == f'"{hashlib.md5(digests).hexdigest()}-3"'
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == b"".join(parts)
    assert (got["ContentType"], got["Metadata"]) == ("a/b", {"m": "1"})
    refused(lambda: complete(1, 2, 3), "NoSuchUpload", 404)
    # A copy of what was made of parts, and a part of it as a part.
    s3.copy_object(Bucket=bucket, Key="again", CopySource={"Bucket": bucket, "Key": "big"})
    assert s3.get_object(Bucket=bucket, Key="again")["Body"].read() == b"".join(parts)


def test_a_part_may_be_a_copy_and_an_upload_may_end(s3, bucket):
    s3.put_object(Bucket=bucket, Key="source", Body=b"0123456789")
    made = s3.create_multipart_upload(Bucket=bucket, Key="p/made")
    named = {"Bucket": bucket, "Key": "p/made", "UploadId": made["UploadId"]}
    source = {"Bucket": bucket, "Key": "source"}

    def copy(**asked):
        answer = s3.upload_part_copy(CopySource=source, PartNumber=1, **named, **asked)
        return answer["CopyPartResult"]["ETag"]

    refused(lambda: copy(CopySourceRange="bytes=-5"), "InvalidArgument", 400)
    refused(lambda: copy(CopySourceRange="bytes=5-10"), "InvalidRange", 400)
    tag = copy(CopySourceRange="bytes=2-4")
    listed = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert [(upload["Key"], upload["UploadId"]) for upload in listed] == [("p/made", made["UploadId"])]
    folded = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert [entry["Prefix"] for entry in folded["CommonPrefixes"]] == ["p/"] and "Uploads" not in folded
    s3.complete_multipart_upload(MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": tag}]}, **named)
    assert s3.get_object(Bucket=bucket, Key="p/made")["Body"].read() == b"234"
    other = s3.create_multipart_upload(Bucket=bucket, Key="p/made")
    ended = {"Bucket": bucket, "Key": "p/made", "UploadId": other["UploadId"]}
    s3.abort_multipart_upload(**ended)
    refused(lambda: s3.abort_multipart_upload(**ended), "NoSuchUpload", 404)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="p/made")["Body"].read() == b"234"


def test_uploads_are_listed_page_by_page(s3, bucket):
    made = []
    for key in ["a", "a", "b", "c/1", "c/2"]:
        made.append((key, s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]))
    for size in [1, 2, 1000]:
        pages = s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=bucket, PaginationConfig={"PageSize": size}
        )
        found = [(entry["Key"], entry["UploadId"]) for page in pages for entry in page.get("Uploads", [])]
        assert found == sorted(made)
    by_key = s3.list_multipart_uploads(Bucket=bucket, KeyMarker="a", MaxUploads=1)
    assert [entry["Key"] for entry in by_key["Uploads"]] == ["b"]


def test_the_transfer_manager_moves_files(s3, bucket):
    body = os.urandom(12 * MIB + 1)
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB, max_concurrency=4)
    s3.upload_fileobj(io.BytesIO(body), bucket, "file", Config=config)
    assert s3.head_object(Bucket=bucket, Key="file")["ETag"].endswith('-3"')
    back = io.BytesIO()
    s3.download_fileobj(bucket, "file", back, Config=config)
    assert hashlib.sha256(back.getvalue()).digest() == hashlib.sha256(body).digest()


def test_presigned_addresses(s3, place, bucket):
    named = {"Bucket": bucket, "Key": "signed file.txt"}
    put = s3.generate_presigned_url("put_object", Params={**named, "ContentType": "text/plain"}, ExpiresIn=60)
    assert httpx.put(put, content=b"by address", headers={"content-type": "text/plain"}).status_code == 200
    # The kind is part of what was signed.
    answer = httpx.put(put, content=b"by address", headers={"content-type": "text/html"})
    assert (answer.status_code, "SignatureDoesNotMatch" in answer.text) == (403, True)
    # A header with a meaning that nobody signed.
    more = {"content-type": "text/plain", "x-amz-copy-source": f"/{bucket}/other"}
    assert httpx.put(put, content=b"", headers=more).status_code == 403
    get = s3.generate_presigned_url("get_object", Params=named, ExpiresIn=60)
    assert httpx.get(get).content == b"by address"
    assert httpx.get(get, headers={"authorization": "Bearer something"}).content == b"by address"
    assert httpx.get(get, headers={"range": "bytes=0-1"}).content == b"by"
    other, longer = get.replace("signed%20", "other%20"), get.replace("Expires=60", "Expires=61")
    for tampered in [other, longer, get + "&response-content-type=text/html"]:
        assert httpx.get(tampered).status_code in (400, 403, 404), tampered
    assert httpx.delete(get).status_code == 403
    assert httpx.get(f"{place.endpoint}/{bucket}/signed%20file.txt").status_code == 403
    over = s3.generate_presigned_url("get_object", Params=named, ExpiresIn=604801)
    assert httpx.get(over).status_code == 400


def test_forms(s3, bucket):
    def post(form, file=b"by form", **more):
        return httpx.post(form["url"], data={**form["fields"], **more}, files={"file": ("f.txt", file)})

    fields = {"Content-Type": "text/plain", "x-amz-meta-a": "1"}
    conditions = [{"Content-Type": "text/plain"}, {"x-amz-meta-a": "1"}, ["content-length-range", 1, 10]]
    form = s3.generate_presigned_post(bucket, "u/${filename}", fields, conditions, ExpiresIn=60)
    assert post(form).status_code == 200
    got = s3.get_object(Bucket=bucket, Key="u/f.txt")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"by form", "text/plain", {"a": "1"})
    assert post(form, file=b"x" * 11).status_code == 413
    assert post(form, file=b"").status_code == 400
    assert post(form, **{"x-amz-meta-b": "2"}).status_code == 403
    assert post(form, key="elsewhere").status_code == 403
    assert post(form, **{"x-amz-signature": "0" * 64}).status_code == 403
    moved = {**form, "url": form["url"].replace(bucket, "other")}
    assert post(moved).status_code == 403
    gone = s3.generate_presigned_post(bucket, "u/1", ExpiresIn=-1)
    assert post(gone).status_code == 400


def test_bodies_in_signed_pieces(place, s3, bucket):
    """As SDKs of other languages send them; boto3 has no such mode, so its signer signs by hand."""
    import hmac

    def send(change=lambda body: body, payload=b"x" * 70000, key="pieces"):
        address = f"{place.endpoint}/{bucket}/{key}"
        request = AWSRequest("PUT", address, headers={"x-amz-decoded-content-length": str(len(payload))})
        request.headers["content-encoding"] = "aws-chunked"
        kind = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

        class Pieces(S3SigV4Auth):
            def payload(self, request):
                return kind

        Pieces(Credentials(place.key, place.secret), "s3", "local").add_auth(request)
        headers = dict(request.headers.items())
        date, seed = headers["X-Amz-Date"], headers["Authorization"].rsplit("=", 1)[1]
        scope = f"{date[:8]}/local/s3/aws4_request"
        signing = ("AWS4" + place.secret).encode()
        for step in [date[:8], "local", "s3", "aws4_request"]:
            signing = hmac.new(signing, step.encode(), hashlib.sha256).digest()
        body = []
        for piece in [payload[:65536], payload[65536:], b""]:
            empty, own = hashlib.sha256(b"").hexdigest(), hashlib.sha256(piece).hexdigest()
            text = "\n".join(["AWS4-HMAC-SHA256-PAYLOAD", date, scope, seed, empty, own])
            seed = hmac.new(signing, text.encode(), hashlib.sha256).hexdigest()
            body.append(f"{len(piece):x};chunk-signature={seed}\r\n".encode() + piece + b"\r\n")
        return httpx.put(address, content=b"".join(change(body)), headers=headers)

    assert send().status_code == 200
    assert s3.get_object(Bucket=bucket, Key="pieces")["Body"].read() == b"x" * 70000
    for change in [
        lambda body: [body[1], body[0], body[2]],
        lambda body: [body[0], body[2]],
        lambda body: body[:2],
        lambda body: [body[0], body[1].replace(b"xx\r\n", b"xy\r\n"), body[2]],
    ]:
        answer = send(change, key="refused")
        assert answer.status_code in (400, 403), answer.text
        refused(lambda: s3.head_object(Bucket=bucket, Key="refused"), "404", 404)


def test_bodies_with_a_checksum_behind_them(place, s3, bucket):
    # Over TLS boto3 sends this by itself; here it is told to.
    import base64
    import zlib

    def send(checksum, key):
        payload = b"y" * 100
        address = f"{place.endpoint}/{bucket}/{key}"
        headers = {"content-encoding": "aws-chunked", "x-amz-decoded-content-length": "100"}
        headers["x-amz-trailer"] = "x-amz-checksum-crc32"
        headers["x-amz-content-sha256"] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        request = AWSRequest("PUT", address, headers=headers)

        class Trailer(S3SigV4Auth):
            def payload(self, request):
                return "STREAMING-UNSIGNED-PAYLOAD-TRAILER"

        Trailer(Credentials(place.key, place.secret), "s3", "local").add_auth(request)
        trailer = f"x-amz-checksum-crc32:{checksum}\r\n".encode() if checksum else b""
        body = b"40\r\n" + payload[:64] + b"\r\n24\r\n" + payload[64:] + b"\r\n0\r\n" + trailer + b"\r\n"
        return httpx.put(address, content=body, headers=dict(request.headers.items()))

    right = base64.b64encode(zlib.crc32(b"y" * 100).to_bytes(4, "big")).decode()
    answer = send(right, "right")
    assert (answer.status_code, answer.headers.get("x-amz-checksum-crc32")) == (200, right), answer.text
    assert "BadDigest" in send("AAAAAA==", "wrong").text
    assert "MalformedTrailerError" in send(None, "wrong").text
    refused(lambda: s3.head_object(Bucket=bucket, Key="wrong"), "404", 404)


def test_who_signs(place, s3, bucket):
    refused(lambda: client(place, secret="wrong").list_buckets(), "SignatureDoesNotMatch", 403)
    refused(lambda: client(place, key="x" * 20).list_buckets(), "InvalidAccessKeyId", 403)
    refused(lambda: client(place, region="eu-west-1").list_buckets(), "AccessDenied", 403)
    client(place, region="us-east-1").list_buckets()
    refused(lambda: client(place, key="project", secret=place.anon, token="x.y.z").list_buckets(), "InvalidJWT", 400)
    # A session token is believed when this project signed it, and until its time is over.
    claims = {"sub": ADA["id"], "role": "service_role", "aud": "authenticated", "exp": int(time.time()) + 600}
    head, late = place.token(ADA).rsplit(".", 1)[0], place.server.token(ADA, exp=int(time.time()) - 600)
    for token in [sign(claims, "another project's secret"), late, f"{head}.AAAA", f"{head}."]:
        asked = client(place, key="project", secret=place.anon, token=token)
        refused(lambda asked=asked: asked.list_objects_v2(Bucket=bucket), "InvalidJWT", 400)
    # And never without the project's key beside it.
    stolen = client(place, key="project", secret="x" * 40, token=place.token(ADA))
    refused(lambda: stolen.list_buckets(), "SignatureDoesNotMatch", 403)


def test_a_users_token_shows_what_policies_show(place, s3, bucket):
    ada, bob = (
        client(place, key="project", secret=place.anon, token=place.token(user)) for user in (ADA, BOB)
    )
    mine, other = f"{ADA['id']}/a.txt", f"{BOB['id']}/b.txt"
    ada.put_object(Bucket=bucket, Key=mine, Body=b"ada's")
    bob.put_object(Bucket=bucket, Key=other, Body=b"bob's")
    refused(lambda: ada.put_object(Bucket=bucket, Key=f"{BOB['id']}/c", Body=b""), "AccessDenied", 403)
    refused(lambda: ada.put_object(Bucket=bucket, Key=other, Body=b""), "AccessDenied", 403)
    refused(lambda: ada.get_object(Bucket=bucket, Key=other), "NoSuchKey", 404)
    refused(lambda: ada.copy_object(Bucket=bucket, Key=mine, CopySource=f"{bucket}/{other}"), "NoSuchKey", 404)
    refused(lambda: ada.create_multipart_upload(Bucket=bucket, Key=other), "AccessDenied", 403)
    for asked in [{}, {"Prefix": ""}, {"Delimiter": "/"}, {"Prefix": f"{BOB['id']}/"}, {"StartAfter": "0"}]:
        page = ada.list_objects_v2(Bucket=bucket, **asked)
        names = [entry["Key"] for entry in page.get("Contents", [])]
        names += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
        assert all(name.startswith(ADA["id"]) for name in names), names
    kept = ada.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": other}, {"Key": mine}]})
    assert [entry["Key"] for entry in kept["Errors"]] == [other]
    assert s3.get_object(Bucket=bucket, Key=other)["Body"].read() == b"bob's"
    # An upload of hers is not his to go on with, even if he knows its name.
    made = ada.create_multipart_upload(Bucket=bucket, Key=mine)
    named = {"Bucket": bucket, "Key": mine, "UploadId": made["UploadId"]}
    refused(lambda: bob.upload_part(PartNumber=1, Body=b"", **named), "AccessDenied", 403)
    refused(lambda: bob.abort_multipart_upload(**named), "AccessDenied", 403)
    elsewhere = {**named, "Key": f"{BOB['id']}/x"}
    refused(lambda: bob.upload_part(PartNumber=1, Body=b"", **elsewhere), "NoSuchUpload", 404)
    ada.abort_multipart_upload(**named)
