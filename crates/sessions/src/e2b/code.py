# Runs Python that remembers what was run before: a line of JSON in for each
# piece of code, lines of JSON out for what it says, its value, its error.
import ast
import json
import os
import sys
import threading
import time
import traceback

out = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8")
lock = threading.Lock()
now = {"id": 0}


def tell(kind, **fields):
    with lock:
        out.write(json.dumps({"type": kind, "id": now["id"], **fields}) + "\n")
        out.flush()


def listen(number, kind):
    """What is written to this descriptor, by whomever, is told."""
    source, target = os.pipe()
    os.dup2(target, number)
    os.close(target)
    seen = threading.Event()
    mark = os.urandom(16).hex().encode()

    def read():
        rest = b""
        while True:
            piece = os.read(source, 65536)
            if not piece:
                return
            rest += piece
            ended = mark in rest
            if ended:
                rest = rest.replace(mark, b"")
            try:
                text, rest = rest.decode(), b""
            except UnicodeDecodeError as error:
                # A letter whose end is still to come; what is none is shown so.
                whole = error.start if len(rest) - error.start < 4 and not ended else len(rest)
                text, rest = rest[:whole].decode(errors="replace"), rest[whole:]
            if text:
                tell(kind, text=text, timestamp=time.time_ns() // 1000)
            if ended:
                seen.set()

    threading.Thread(target=read, daemon=True).start()

    def settle():
        seen.clear()
        os.write(number, mark)
        seen.wait(2)

    return settle


settle_out, settle_err = listen(1, "stdout"), listen(2, "stderr")
sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
space = {"__name__": "__main__", "__builtins__": __builtins__}
shapes = {"_repr_html_": "html", "_repr_markdown_": "markdown", "_repr_svg_": "svg", "_repr_latex_": "latex"}


def result(value):
    fields = {"text": repr(value)}
    for method, name in shapes.items():
        try:
            shape = getattr(value, method)()
        except Exception:
            continue
        if isinstance(shape, str):
            fields[name] = shape
    tell("result", is_main_result=True, **fields)


def run(code):
    tree = ast.parse(code, "<code>")
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, "<code>", "exec"), space)
    if last is not None:
        value = eval(compile(last, "<code>", "eval"), space)
        if value is not None:
            result(value)


count = 0
while True:
    try:
        line = sys.stdin.readline()
    except KeyboardInterrupt:
        continue
    if not line:
        break
    asked = json.loads(line)
    now["id"] = asked["id"]
    count += 1
    before = dict(os.environ)
    try:
        os.environ.update(asked.get("env") or {})
        run(asked["code"])
    except BaseException as error:
        tell("error", name=type(error).__name__, value=str(error), traceback=traceback.format_exc())
    try:
        os.environ.clear()
        os.environ.update(before)
        sys.stdout.flush()
        sys.stderr.flush()
        settle_out()
        settle_err()
        tell("number_of_executions", execution_count=count)
        tell("end")
    except KeyboardInterrupt:
        tell("end")
