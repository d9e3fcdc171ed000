"""GET /inboxes as a plain FastAPI service, as its documentation teaches: parameters and answer declared as types, the
key checked by a dependency, and plain functions, which FastAPI runs in threads because SQLite blocks. Uvicorn runs one
worker process a core, and logs one line a request."""

import hashlib
import os
import sqlite3
import threading
import time
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Query
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

FIND_KEY = """
    SELECT k.account_id, k.scopes, k.expires_at, k.revoked_at FROM api_key_hashes h
    JOIN api_keys k ON k.account_id = h.account_id AND k.id = h.key_id WHERE h.key_hash = ?"""
MATCHING = """
    FROM inboxes WHERE account_id = :account AND (:type IS NULL OR type = :type) AND (:status IS NULL OR status = :status)"""
COUNT = f"SELECT COUNT(*) {MATCHING}"
LIST = f"""
    SELECT id, name, type, status, phone_number, instagram_account_id,
        strftime('%Y-%m-%dT%H:%M:%SZ', created_at, 'unixepoch') AS created_at, messages_count
    {MATCHING} ORDER BY created_at, id LIMIT :limit OFFSET :offset"""


class Channel(StrEnum):
    whatsapp = "whatsapp"
    instagram = "instagram"
    livechat = "livechat"
    telegram = "telegram"


class Status(StrEnum):
    active = "active"
    inactive = "inactive"
    pending = "pending"


class Wanted(BaseModel):
    type: Channel | None = None
    status: Status | None = None
    limit: int = Query(50, ge=1, le=100)
    offset: int = Query(0, ge=0)


class Inbox(BaseModel):
    id: str
    name: str
    type: Channel
    status: Status
    phone_number: str | None = None
    instagram_account_id: str | None = None
    created_at: str
    messages_count: int


class Pagination(BaseModel):
    total: int
    limit: int
    offset: int


class Page(BaseModel):
    success: bool = True
    data: list[Inbox]
    pagination: Pagination


app = FastAPI()
bearer = HTTPBearer(auto_error=False)
# A connection of SQLite is best used by one thread.
here = threading.local()


def database() -> sqlite3.Connection:
    if not hasattr(here, "connection"):
        here.connection = sqlite3.connect(os.environ["DATABASE"], isolation_level=None)
        here.connection.row_factory = sqlite3.Row
        here.connection.execute("PRAGMA journal_mode = WAL")
    return here.connection


def account(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> str:
    key = credentials.credentials if credentials else ""
    known = database().execute(FIND_KEY, (hashlib.sha256(key.encode()).digest(),)).fetchone()
    if (
        known is None
        or known["revoked_at"] is not None
        or (known["expires_at"] is not None and known["expires_at"] <= time.time())
        or "read" not in known["scopes"].split(",")
    ):
        raise HTTPException(401, "Invalid or expired API key", {"WWW-Authenticate": "Bearer"})
    return known["account_id"]


@app.get("/inboxes", response_model_exclude_none=True)
def inboxes(account: Annotated[str, Depends(account)], wanted: Annotated[Wanted, Query()]) -> Page:
    parameters = {**wanted.model_dump(), "account": account}
    connection = database()
    # Total and page of one snapshot.
    connection.execute("BEGIN")
    try:
        (total,) = connection.execute(COUNT, parameters).fetchone()
        rows = connection.execute(LIST, parameters).fetchall()
    finally:
        connection.execute("COMMIT")
    data = [Inbox(**row) for row in rows]
    return Page(data=data, pagination=Pagination(total=total, limit=wanted.limit, offset=wanted.offset))
