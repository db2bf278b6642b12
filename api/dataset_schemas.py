"""The wire models of datasets and artifacts; see `schemas.py`, of which they are a part in all but place."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

_TIME: Final = "2026-01-31T12:00:00.000000Z"
_SHA256: Final = "fa7cb5e1d36b98d8ffbfc0a6de4ee6be36f6fb0af4ba0a9cf8a6d8d1fe4a3d35"
_LINE: Final = {
    "name": "airports.csv",
    "sha256": _SHA256,
    "rows": 1458,
    "columns": 12,
    "bytes": 157014,
    "modified_at": _TIME,
}


def _example(**members: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", strict=True, json_schema_extra={"examples": [members]})


class DatasetReference(BaseModel):
    """What a state says instead of a table: this file, with exactly this content."""

    path: str
    sha256: str


class DatasetLine(BaseModel):
    """A dataset in a list. Of a file that was not uploaded, digest, rows and columns are null."""

    name: str
    sha256: str | None
    rows: int | None
    columns: int | None
    bytes: int
    modified_at: datetime


class DatasetsAnswer(BaseModel):
    """A page of datasets, by name."""

    model_config = _example(datasets=[_LINE], next_cursor=None)
    datasets: list[DatasetLine]
    next_cursor: str | None


class DatasetAnswer(DatasetLine):
    """A dataset that was uploaded: `dataset` is for the state of a run, `notes` say what reading it had to assume."""

    model_config = _example(
        **_LINE,
        change="created",
        dataset={"path": "airports.csv", "sha256": _SHA256},
        notes=[],
        message="Dataset 'airports.csv' is stored.",
    )
    change: Literal["created", "replaced", "unchanged"]
    dataset: DatasetReference
    notes: list[str]
    message: str


class ArtifactLine(BaseModel):
    """A file that a run left behind. `created_at` is when the name got this content."""

    name: str
    media_type: str
    bytes: int
    sha256: str
    created_at: datetime


class ArtifactsAnswer(BaseModel):
    """The artifacts of a run, by name; at most 1,000."""

    model_config = _example(
        run_id="run-6578e423fbb4443db31ee6da89ce7c75",
        artifacts=[
            {
                "name": "report.html",
                "media_type": "text/html; charset=utf-8",
                "bytes": 18211,
                "sha256": _SHA256,
                "created_at": _TIME,
            }
        ],
    )
    run_id: str
    artifacts: list[ArtifactLine]
