"""The same work in FastAPI: asyncpg, redis.asyncio, uvicorn with uvloop and httptools, a response model."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import asyncpg
import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from redis import asyncio as redis
from redis.exceptions import NoScriptError

from bench import work

SELECT = work.PROFILE.format("$1")
SET_CONTEXT = (
    "SELECT set_config('app.current_org_id', $1, true), set_config('app.current_org_proof', $2, true)"
)
CONNECTIONS = 10
cache = redis.Redis.from_url(os.environ["REDIS_URL"], protocol=2)


class OrganizationAnswer(BaseModel):
    id: UUID
    slug: str
    name: str
    plan: str
    access: str


class ProfileAnswer(BaseModel):
    id: UUID
    email: str
    email_verified: bool
    name: str
    role: str
    locale: str
    timezone: str
    created_at: datetime
    last_login_at: datetime | None
    org: OrganizationAnswer


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS
    ) as app.state.pool:
        yield


app = FastAPI(lifespan=lifespan)


async def caller(authorization: Annotated[str, Header()]) -> work.Bearer:
    try:
        bearer = work.verify(authorization)
    except jwt.InvalidTokenError as error:
        raise HTTPException(401) from error
    if not work.is_admitted(await _gate(bearer)):
        raise HTTPException(429)
    return bearer


async def _gate(bearer: work.Bearer) -> Any:
    keys = work.gate_keys(bearer)
    try:
        return await cache.evalsha(work.GATE_SHA, len(keys), *keys, *work.GATE_ARGS)
    except NoScriptError:
        return await cache.eval(work.GATE_TEXT, len(keys), *keys, *work.GATE_ARGS)


@app.get("/users/me")
async def me(bearer: Annotated[work.Bearer, Depends(caller)]) -> ProfileAnswer:
    async with app.state.pool.acquire() as connection, connection.transaction():
        await connection.execute(SET_CONTEXT, *work.context(bearer))
        row = await connection.fetchrow(SELECT, UUID(bearer.user_id))
    return ProfileAnswer.model_validate(work.profile(row))
