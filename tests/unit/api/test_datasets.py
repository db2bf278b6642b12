"""Datasets over HTTP: whole or not at all, by safe names, within limits that are told."""

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest
from anyio import to_thread
from blockbuster import blockbuster_ctx
from starlette.testclient import TestClient
from starlette.types import Message

from api import buffers
from api.app import create_app
from api.buffers import INTAKE
from api.dataset_schemas import DatasetAnswer, DatasetsAnswer
from api.routes import datasets
from api.settings import ServerSettings
from runtime.settings import Settings
from tests.unit.api.conftest import BASE_URL
from tools import Registry
from tools.data_quality.datasets import limits
from tools.data_quality.datasets.store import DatasetStore

TABLE = b"code,name\n007,Bond\n"
CSV = {"content-type": "text/csv"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "datasets"


@pytest.fixture
def settings(folder: Path, tmp_path: Path) -> ServerSettings:
    engine = Settings(
        journal="memory:",
        log_format="none",
        close_grace_s=0.1,
        datasets_dir=folder,
        artifacts_dir=tmp_path / "artifacts",
    )
    return ServerSettings(engine=engine)


@pytest.fixture
def client(settings: ServerSettings, registry: Registry) -> Iterator[TestClient]:
    with TestClient(create_app(settings, tools=registry), base_url=BASE_URL, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Whatever was counted is given back."""
    yield
    assert (INTAKE.uploads, INTAKE.body_bytes) == (0, 0)


def put(client: TestClient, name: str, content: Any = TABLE, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    response = client.put(f"/api/datasets/{name}", content=content, headers=headers)
    return response.status_code, response.json()


def left(folder: Path) -> list[str]:
    """Return every file there is, with its path."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def test_a_new_dataset_is_201_and_answers_what_a_state_needs(client: TestClient, folder: Path) -> None:
    response = client.put("/api/datasets/agents.csv", content=TABLE, headers=CSV)
    assert response.status_code == 201
    told = DatasetAnswer.model_validate_json(response.content)
    assert (told.rows, told.columns, told.bytes, told.change) == (1, 2, len(TABLE), "created")
    assert told.dataset.model_dump() == {"path": "agents.csv", "sha256": told.sha256}
    assert response.headers["etag"] == f'"{told.sha256}"'
    assert (folder / "agents.csv").read_bytes() == TABLE


def test_the_same_again_is_200_and_so_is_another_content(client: TestClient) -> None:
    _, first = put(client, "a.csv")
    status, again = put(client, "a.csv")
    assert (status, again["change"], again["modified_at"]) == (200, "unchanged", first["modified_at"])
    status, other = put(client, "a.csv", b"x\n1\n")
    assert (status, other["change"]) == (200, "replaced")


def test_a_download_is_the_upload_with_safe_headers(client: TestClient) -> None:
    _, told = put(client, "a.csv", TABLE * 30_000)
    response = client.get("/api/datasets/a.csv")
    assert (response.status_code, response.content) == (200, TABLE * 30_000)
    assert response.headers["etag"] == f'"{told["sha256"]}"'
    assert response.headers["content-type"] == "text/csv"
    assert response.headers["content-disposition"] == 'attachment; filename="a.csv"'
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'"
    head = client.head("/api/datasets/a.csv")
    assert (head.content, head.headers) == (b"", response.headers)
    known = client.get("/api/datasets/a.csv", headers={"if-none-match": f'"x", W/{response.headers["etag"]}'})
    assert (known.status_code, known.content) == (304, b"")


def test_each_kind_of_file_has_its_media_type(client: TestClient) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1]}).write_parquet(buffer)
    for name, content, media_type in (
        ("a.parquet", buffer.getvalue(), "application/vnd.apache.parquet"),
        ("a.ndjson", b'{"a": 1}\n', "application/x-ndjson"),
        ("a.jsonl", b'{"a": 1}\n', "application/x-ndjson"),
    ):
        assert put(client, name, content, {"content-type": media_type})[0] == 201
        assert client.get(f"/api/datasets/{name}").headers["content-type"] == media_type


def test_datasets_are_listed_page_by_page(client: TestClient, folder: Path) -> None:
    assert client.get("/api/datasets").json() == {"datasets": [], "next_cursor": None}
    for name in ("c.csv", "a.csv", "b.csv"):
        put(client, name)
    (folder / "d.csv").write_bytes(TABLE)
    first = DatasetsAnswer.model_validate_json(client.get("/api/datasets?limit=2").content)
    assert ([one.name for one in first.datasets], first.next_cursor) == (["a.csv", "b.csv"], "b.csv")
    second = DatasetsAnswer.model_validate_json(client.get("/api/datasets?limit=2&cursor=b.csv").content)
    assert ([one.name for one in second.datasets], second.next_cursor) == (["c.csv", "d.csv"], None)
    assert (second.datasets[1].sha256, second.datasets[1].rows) == (None, None)


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=../x", "more=1"])
def test_a_wrong_page_is_refused(client: TestClient, query: str) -> None:
    response = client.get(f"/api/datasets?{query}")
    assert (response.status_code, response.json()["code"]) == (422, "INVALID_INPUT")


def test_deleting_frees_the_name_and_cannot_be_done_twice(client: TestClient) -> None:
    put(client, "a.csv")
    assert client.delete("/api/datasets/a.csv").status_code == 200
    for method in ("GET", "HEAD", "DELETE"):
        assert client.request(method, "/api/datasets/a.csv").status_code == 404
    assert client.get("/api/datasets/a.csv").json()["code"] == "UNKNOWN_DATASET"
    assert put(client, "a.csv")[0] == 201


# ---- What is refused.

HOSTILE = [
    "%2e%2e",
    ".a.csv",
    "a%00.csv",
    "a%0a.csv",
    "a.csv.gz",
    "a.zip",
    "a.pkl",
    "a",
    ".csv",
    "*.csv",
    "x" * 117 + ".csv",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_could_be_something_else_is_refused(client: TestClient, folder: Path, name: str) -> None:
    status, told = put(client, name)
    assert (status, told["code"]) == (422, "INVALID_INPUT")
    assert told["errors"][0]["pointer"] == "/path/name"
    assert client.get(f"/api/datasets/{name}").json()["code"] == "UNKNOWN_DATASET"
    assert client.delete(f"/api/datasets/{name}").json()["code"] == "UNKNOWN_DATASET"
    assert not folder.exists()


@pytest.mark.parametrize("name", ["..%2fa.csv", "a%2fb.csv", "%2e%2e%2f%2e%2e%2fetc%2fpasswd"])
def test_a_name_with_a_slash_is_no_name(client: TestClient, folder: Path, name: str) -> None:
    for method in ("PUT", "GET", "DELETE"):
        response = client.request(method, f"/api/datasets/{name}", content=TABLE if method == "PUT" else None)
        assert (response.status_code, response.json()["code"]) == (404, "NOT_FOUND")
    assert not folder.exists()


def test_a_link_that_somebody_planted_is_neither_read_nor_followed(
    client: TestClient, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_bytes(b"a\nsecret\n")
    folder.mkdir()
    (folder / "a.csv").symlink_to(secret)
    assert client.get("/api/datasets/a.csv").status_code == 404
    assert client.get("/api/datasets").json()["datasets"] == []
    assert client.delete("/api/datasets/a.csv").status_code == 404
    assert put(client, "a.csv")[0] == 200
    assert client.get("/api/datasets/a.csv").content == TABLE
    assert secret.read_bytes() == b"a\nsecret\n"


def test_a_pipe_keeps_nobody_waiting(client: TestClient, folder: Path) -> None:
    folder.mkdir()
    os.mkfifo(folder / "a.csv")
    assert client.get("/api/datasets/a.csv").status_code == 404
    assert client.get("/api/datasets").json()["datasets"] == []


def test_the_name_of_a_folder_is_taken(client: TestClient, folder: Path) -> None:
    (folder / "a.csv").mkdir(parents=True)
    status, told = put(client, "a.csv")
    assert (status, told["code"]) == (422, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"a,a\n"),
        ("a.csv", b"\x1f\x8b\x08..."),
        ("a.csv", b"PK\x03\x04..."),
        ("a.ndjson", b"[1]\n"),
        ("a.parquet", TABLE),
        ("a.parquet", b"\x80\x04\x95pickle"),
    ],
)
def test_what_is_no_table_is_told_why_and_changes_nothing(
    client: TestClient, folder: Path, name: str, content: bytes
) -> None:
    status, told = put(client, name, content)
    assert (status, told["code"], told["dataset"]) == (422, "DATASET_INVALID", name)
    assert left(folder) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "application/json"},
        {"content-type": "application/x-www-form-urlencoded"},
        {"content-type": "text/csv", "content-encoding": "gzip"},
    ],
)
def test_another_kind_of_body_is_refused_before_it_is_read(
    client: TestClient, folder: Path, headers: dict[str, str]
) -> None:
    status, told = put(client, "a.csv", TABLE, headers)
    assert (status, told["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert not folder.exists()


def test_a_file_that_is_announced_over_the_limit_is_not_read(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", 10)
    response = client.put("/api/datasets/a.csv", content=TABLE)
    told = response.json()
    assert (response.status_code, told["code"]) == (413, "DATASET_TOO_LARGE")
    assert f"it has {len(TABLE)} bytes or more, the limit is 10." in told["detail"]
    assert response.headers["connection"] == "close"
    assert left(folder) == []


def test_a_file_at_the_limit_is_taken(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", len(TABLE))
    assert put(client, "a.csv")[0] == 201


@pytest.mark.parametrize(("limit", "most"), [("ROWS", 0), ("COLUMNS", 1), ("CELL_BYTES", 3)])
def test_a_table_over_a_limit_is_told_both_numbers(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int
) -> None:
    monkeypatch.setattr(limits, limit, most)
    status, told = put(client, "a.csv")
    assert (status, told["code"]) == (413, "DATASET_TOO_LARGE")
    assert f"the limit is {most}" in told["detail"]
    assert left(folder) == []


def test_uploads_beyond_the_bound_are_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "MAX_UPLOADS", 0)
    response = client.put("/api/datasets/a.csv", content=TABLE)
    assert (response.status_code, response.json()["code"]) == (503, "OVERLOADED")
    assert response.headers["retry-after"]


def test_a_server_that_stops_takes_no_uploads_and_still_sends_what_there_is(client: TestClient) -> None:
    put(client, "a.csv")
    assert client.portal is not None
    app: Any = client.app
    client.portal.call(app.state.context.engine.begin_closing)
    assert put(client, "a.csv")[1]["code"] == "CLOSING"
    assert client.get("/api/datasets/a.csv").content == TABLE


def test_a_full_disk_is_told_and_leaves_nothing(
    client: TestClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_self: object, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tools.objects.Incoming.write", full)
    status, told = put(client, "a.csv")
    assert (status, told["code"]) == (503, "STORAGE_FULL")
    assert left(folder) == []


def test_a_server_without_a_folder_says_so(registry: Registry) -> None:
    settings = ServerSettings(engine=Settings(journal="memory:", log_format="none", close_grace_s=0.1))
    with TestClient(create_app(settings, tools=registry), base_url=BASE_URL) as client:
        for method, path in (("GET", ""), ("GET", "/a.csv"), ("PUT", "/a.csv"), ("DELETE", "/a.csv")):
            response = client.request(method, f"/api/datasets{path}", content=b"" if method == "PUT" else None)
            assert (response.status_code, response.json()["code"]) == (501, "NO_DATASETS")


# ---- Uploads that break off, and uploads at once, on the application itself: a test client sends a body whole.


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def asked(app: Any, name: str, receive: Callable[[], Any]) -> list[Message]:
    """Upload to `app` what `receive` yields, and return what it answered."""
    answered: list[Message] = []

    async def send(message: Message) -> None:
        answered.append(message)

    path = f"/api/datasets/{name}"
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "PUT",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8000")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    await app(scope, receive, send)
    return answered


def body_of(*pieces: bytes) -> Callable[[], Any]:
    """Return what lets pieces arrive, and then the client leave."""
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"})
    arriving = iter(messages)

    async def receive() -> Message:
        return next(arriving)

    return receive


async def test_a_file_over_the_limit_is_refused_while_it_arrives(
    settings: ServerSettings, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FILE_BYTES", 3 << 20)
    app = create_app(settings, tools=registry)
    sent = 0

    async def receive() -> Message:
        nonlocal sent
        sent += 1 << 19
        return {"type": "http.request", "body": b"a" * (1 << 19), "more_body": True}

    async with app.router.lifespan_context(app):
        start, end = await asked(app, "a.csv", receive)
    assert (start["status"], sent) == (413, 4 << 20)
    assert b"4,194,304 bytes or more, the limit is 3,145,728" in end["body"]
    assert left(folder) == []


async def test_a_client_that_leaves_in_the_middle_leaves_nothing(
    settings: ServerSettings, registry: Registry, folder: Path
) -> None:
    app = create_app(settings, tools=registry)
    async with app.router.lifespan_context(app):
        assert await asked(app, "a.csv", body_of(b"a\n", b"1\n" * 1_000_000)) == []
    assert left(folder) == []


async def test_a_client_that_stops_sending_is_told_after_a_while(
    settings: ServerSettings, registry: Registry, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "BODY_TIMEOUT_S", 0.05)
    app = create_app(settings, tools=registry)
    first = True

    async def receive() -> Message:
        nonlocal first
        if not first:
            await anyio.sleep_forever()
        first = False
        return {"type": "http.request", "body": b"a\n", "more_body": True}

    async with app.router.lifespan_context(app):
        answered = await asked(app, "a.csv", receive)
    assert answered[0]["status"] == 408
    assert left(folder) == []


async def test_an_upload_that_is_cancelled_leaves_nothing(
    settings: ServerSettings, registry: Registry, folder: Path
) -> None:
    app = create_app(settings, tools=registry)
    arrived = anyio.Event()
    pieces = iter([b"a\n" * 1_000_000])

    async def receive() -> Message:
        piece = next(pieces, None)
        if piece is None:
            arrived.set()
            await anyio.sleep_forever()
        return {"type": "http.request", "body": piece, "more_body": True}

    async with app.router.lifespan_context(app), anyio.create_task_group() as tasks:
        tasks.start_soon(asked, app, "a.csv", receive)
        await arrived.wait()
        assert len(left(folder)) == 1
        tasks.cancel_scope.cancel()
    assert left(folder) == []


async def test_uploads_of_one_name_at_once_leave_one_of_them_whole(
    settings: ServerSettings, registry: Registry, folder: Path
) -> None:
    app = create_app(settings, tools=registry)
    tables = [f"a\n{number}\n".encode() * 1_000 for number in range(6)]
    statuses: list[int] = []

    async def upload(table: bytes) -> None:
        messages: list[Message] = [{"type": "http.request", "body": table, "more_body": False}]

        async def receive() -> Message:
            return messages.pop()

        statuses.append((await asked(app, "a.csv", receive))[0]["status"])

    async with app.router.lifespan_context(app):
        with blockbuster_ctx():
            async with anyio.create_task_group() as tasks:
                for table in tables:
                    tasks.start_soon(upload, table)
        [listed] = await to_thread.run_sync(DatasetStore(folder).listing, "", 10)
    assert sorted(statuses) == [200] * 5 + [201]
    assert (folder / "a.csv").read_bytes() in tables
    assert listed.rows == 1_999
    assert [path for path in left(folder) if "incoming" in path] == []


def test_others_are_answered_while_a_table_is_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, go_on = threading.Event(), threading.Event()
    real = DatasetStore.put

    def slow(self: DatasetStore, name: str, incoming: Any) -> Any:
        reading.set()
        assert go_on.wait(20)
        return real(self, name, incoming)

    monkeypatch.setattr(DatasetStore, "put", slow)
    thread = threading.Thread(target=put, args=(client, "a.csv"))
    thread.start()
    assert reading.wait(20)
    assert client.get("/livez").status_code == 200
    used = {use["name"]: use["in_use"] for use in client.get("/health").json()["buffers"]}
    assert (used["uploads"], used["dataset_checks"]) == (1, 1)
    go_on.set()
    thread.join(20)
    assert client.get("/api/datasets/a.csv").content == TABLE
