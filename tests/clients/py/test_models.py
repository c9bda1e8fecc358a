"""The official libraries of OpenAI and Anthropic, unmodified, against `/ai/v1` of the built binary.
Behind it stands a provider that is imitated at its HTTP wire and keeps what it was asked.
"""

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import httpx
import openai
import pytest
from pydantic import BaseModel
from server import Server

ADA = {"id": str(uuid.uuid4()), "email": "ada@example.com"}
# What the provider is shown, and nobody else.
KEY = "sk-only-for-the-provider-4711"
FRAMES = 20


class Provider(BaseHTTPRequestHandler):
    """Chat completions, always streamed, as most servers speak them."""

    asked: list = []
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((dict(self.headers), body))
        if self.path.endswith("/embeddings"):
            texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
            data = [{"index": n, "embedding": [0.25, -1.0, n]} for n in range(len(texts))]
            return self.whole(200, {"data": data, "model": "e", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
        last = body["messages"][-1].get("content") or ""
        last = last if isinstance(last, str) else "".join(part.get("text", "") for part in last)
        if "refuse" in last:
            return self.whole(400, {"error": {"message": "not like this", "type": "invalid_request_error"}})
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for delta, reason in self.deltas(body, last):
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            if reason:
                chunk["usage"] = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17}
            self.send(chunk)
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def deltas(self, body, last):
        if body.get("tools") and body["messages"][-1]["role"] != "tool":
            name = body["tools"][0]["function"]["name"]
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
            yield {"tool_calls": [call]}, None
            for piece in ['{"city": ', '"Bern"}']:
                yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}, None
            yield {}, "tool_calls"
        elif body.get("response_format"):
            yield {"content": '{"name": "Ada", "age": 36}'}, None
            yield {}, "stop"
        elif "slowly" in last:
            for n in range(FRAMES):
                yield {"content": f"{n} "}, None
                time.sleep(0.003)
            yield {}, "stop"
        else:
            for piece in ["It is ", "sunny."]:
                yield {"content": piece}, None
            yield {}, "stop"

    def send(self, chunk):
        self.wfile.write(b"data: " + json.dumps(chunk).encode() + b"\n\n")
        self.wfile.flush()

    def whole(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class WithModels(Server):
    """The shared project, with a provider and roles."""

    def start(self) -> None:
        self.provider = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
        threading.Thread(target=self.provider.serve_forever, daemon=True).start()
        (self.folder / "ferrobase.toml").write_text(f"""
[ai.providers.double]
kind = "openai-compatible"
url = "http://127.0.0.1:{self.provider.server_port}/v1"
key = "{KEY}"
free = false

[ai.roles.coder]
routes = ["double/m"]
[ai.roles.embed]
routes = ["double/e"]
""")
        super().start()

    def remove(self) -> None:
        super().remove()
        self.provider.shutdown()


@pytest.fixture(scope="module")
def server():
    one = WithModels()
    try:
        yield one
    finally:
        one.remove()


@pytest.fixture(scope="module")
def ada(server):
    return server.token(ADA)


@pytest.fixture(scope="module")
def gpt(server, ada):
    return openai.OpenAI(base_url=server.ready["api_url"] + "/ai/v1", api_key=ada, max_retries=0)


@pytest.fixture(scope="module")
def claude(server, ada):
    return anthropic.Anthropic(base_url=server.ready["api_url"] + "/ai", api_key=ada, max_retries=0)


USER = [{"role": "user", "content": "How is the weather?"}]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


class Person(BaseModel):
    name: str
    age: int


def test_openai_chat(gpt):
    raw = gpt.chat.completions.with_raw_response.create(model="coder", messages=USER)
    answer = raw.parse()
    assert answer.choices[0].message.content == "It is sunny."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == 17
    assert raw.headers["x-model"] == "double/m" and raw.headers["x-attempts"] == "1"
    assert "x-cost" not in raw.headers, "nobody knows the price"


def test_openai_chat_streamed(gpt):
    with gpt.chat.completions.create(
        model="coder", messages=USER, stream=True, stream_options={"include_usage": True}
    ) as stream:
        chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "It is sunny."
    assert chunks[-1].usage.prompt_tokens == 12


def test_openai_tools(gpt):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}]
    answer = gpt.chat.completions.create(model="coder", messages=USER, tools=tools).choices[0]
    assert answer.finish_reason == "tool_calls"
    call = answer.message.tool_calls[0]
    assert json.loads(call.function.arguments) == {"city": "Bern"}
    messages = [*USER, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    final = gpt.chat.completions.create(model="coder", messages=messages, tools=tools)
    assert final.choices[0].message.content == "It is sunny."


def test_openai_structured(gpt):
    answer = gpt.chat.completions.parse(model="coder", messages=USER, response_format=Person)
    assert answer.choices[0].message.parsed == Person(name="Ada", age=36)


def test_openai_responses(gpt):
    answer = gpt.responses.create(model="coder", input="How is the weather?", instructions="be brief")
    assert answer.output_text == "It is sunny." and answer.status == "completed"
    with gpt.responses.stream(model="coder", input="How is the weather?") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert final.output_text == "It is sunny." and final.usage.output_tokens == 5
    assert gpt.responses.parse(model="coder", input="Who?", text_format=Person).output_parsed == Person(
        name="Ada", age=36
    )


def test_openai_embeddings(gpt):
    answer = gpt.embeddings.create(model="embed", input=["a", "b"])
    assert [item.embedding for item in answer.data] == [[0.25, -1.0, 0.0], [0.25, -1.0, 1.0]]


def test_openai_models_and_errors(gpt, server):
    assert "coder" in [model.id for model in gpt.models.list()]
    assert gpt.models.retrieve("double/m").owned_by == "double"
    with pytest.raises(openai.NotFoundError):
        gpt.chat.completions.create(model="nobody", messages=USER)
    with pytest.raises(openai.BadRequestError) as wrong:
        gpt.chat.completions.create(model="coder", messages=USER, temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError):
        gpt.chat.completions.create(model="coder", messages=[{"role": "user", "content": "refuse"}])
    for key in ["not a key", server.ready["anon_key"]]:
        with pytest.raises(openai.AuthenticationError):
            gpt.with_options(api_key=key).chat.completions.create(model="coder", messages=USER)


def test_keys_of_every_kind(gpt, server):
    for key in [server.ready["service_role_key"], server.ready["secret_key"]]:
        client = gpt.with_options(api_key=key)
        assert client.chat.completions.create(model="coder", messages=USER).choices
        models = anthropic.Anthropic(base_url=server.ready["api_url"] + "/ai", api_key=key).models.list()
        assert "coder" in [model.id for model in models]


def test_anthropic_messages(claude):
    answer = claude.messages.create(model="coder", max_tokens=100, messages=USER, system="be brief")
    assert answer.content[0].text == "It is sunny."
    assert (answer.stop_reason, answer.usage.input_tokens) == ("end_turn", 12)
    with claude.messages.stream(model="coder", max_tokens=100, messages=USER) as stream:
        assert "".join(stream.text_stream) == "It is sunny."
        assert stream.get_final_message().usage.output_tokens == 5
    assert claude.messages.count_tokens(model="coder", messages=USER).input_tokens > 0


def test_anthropic_tools(claude):
    tools = [{"name": "weather", "description": "", "input_schema": PARAMETERS}]
    asked = {"model": "coder", "max_tokens": 100, "tools": tools}
    with claude.messages.stream(**asked, messages=USER) as stream:
        answer = stream.get_final_message()
    call = answer.content[-1]
    assert (answer.stop_reason, call.name, call.input) == ("tool_use", "weather", {"city": "Bern"})
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
    messages = [*USER, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    assert claude.messages.create(**asked, messages=messages).content[0].text == "It is sunny."


def test_anthropic_errors(claude):
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="nobody", max_tokens=1, messages=USER)
    with pytest.raises(anthropic.BadRequestError):
        claude.messages.create(model="coder", max_tokens=0, messages=USER)
    with pytest.raises(anthropic.AuthenticationError):
        claude.with_options(api_key="no").messages.create(model="coder", max_tokens=1, messages=USER)


def test_a_budget_refuses_before_anything_is_sent(gpt, server, ada):
    api, key = server.ready["api_url"], server.ready["service_role_key"]
    budgets = f"{api}/rest/v1/budgets"
    headers = {"apikey": key, "authorization": f"Bearer {key}", "content-profile": "ai"}
    budget = {"scope": "user", "subject": ADA["id"], "period": "month", "tokens": 1}
    httpx.post(budgets, headers=headers, json=budget).raise_for_status()
    try:
        before = len(Provider.asked)
        with pytest.raises(openai.RateLimitError) as refused:
            gpt.with_options(max_retries=3).chat.completions.create(model="coder", messages=USER)
        assert refused.value.code == "insufficient_quota"
        assert len(Provider.asked) == before
        calls = httpx.get(
            f"{api}/rest/v1/calls?select=outcome,owner&outcome=eq.refused",
            headers={"apikey": key, "authorization": f"Bearer {ada}", "accept-profile": "ai"},
        ).json()
        assert calls == [{"outcome": "refused", "owner": ADA["id"]}], "once: nobody tries that again"
    finally:
        httpx.delete(f"{budgets}?scope=eq.user", headers=headers).raise_for_status()


def test_pieces_leave_at_once(server, ada):
    """Without TCP_NODELAY, most frames that come 3 ms apart are held back and merged."""
    body = {"model": "coder", "stream": True, "messages": [{"role": "user", "content": "slowly"}]}
    url = server.ready["api_url"] + "/ai/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers={"authorization": f"Bearer {ada}"}, timeout=60) as answer:
        reads = list(answer.iter_raw())
    text = b"".join(reads).decode()
    assert text.count('"content":"') >= FRAMES
    assert len(reads) >= FRAMES * 3 // 4, f"{len(reads)} reads of {FRAMES} frames"


def test_the_providers_key_stays_with_the_provider(server, ada):
    shown = {headers.get("authorization") or headers.get("Authorization") for headers, _ in Provider.asked}
    assert shown == {f"Bearer {KEY}"}, "the caller's token went nowhere"
    assert KEY not in server.output and ada not in server.output
