"""Flights: a participant of sagas, with its journal in PostgreSQL. The rules are in docs/participants.md."""

import os
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from psycopg_pool import ConnectionPool
from pydantic import BaseModel, Field

# One row per saga. `found` is set by the compensation: the state in which it found the action.
SCHEMA = """
select pg_advisory_xact_lock(hashtext('flights'));
create schema if not exists flights;
create table if not exists flights.journal (
    transaction_id text primary key,
    contents jsonb,
    status integer,
    reply jsonb,
    found text check (found in ('done', 'refused', 'none'))
);
create table if not exists flights.bookings (
    booking_id bigint generated always as identity primary key,
    transaction_id text not null,
    traveller text not null,
    city text not null,
    cancelled boolean not null default false
);
"""

pool = ConnectionPool(os.environ["DATABASE_URL"], max_size=10, open=False, kwargs={"row_factory": dict_row})


@asynccontextmanager
async def lifespan(_: FastAPI):
    pool.open(wait=True)
    with pool.connection() as connection:
        connection.execute(SCHEMA)
    yield
    pool.close()


app = FastAPI(title="flights", lifespan=lifespan)


class Booking(BaseModel):
    transaction_id: str = Field(min_length=1, max_length=100)
    traveller: str = Field(min_length=1, max_length=100)
    city: str = Field(min_length=1, max_length=100)
    price: int = Field(ge=0)


@app.exception_handler(RequestValidationError)
def bad_fields(_: Request, error: RequestValidationError) -> JSONResponse:
    """Answers 400: a 422 says that the key is taken by other contents."""
    errors = [{"field": ".".join(map(str, e["loc"])), "message": e["msg"]} for e in error.errors()]
    return JSONResponse({"errors": errors}, 400)


def refusal(reply: dict) -> JSONResponse:
    return JSONResponse(reply, 409, {"Saga-Decision": "refused"})


@app.get("/health")
def health() -> dict:
    return {"status": "healthy", "service": "flights"}


@app.get("/quotes/{city}")
def quote(city: str) -> dict:
    return {"city": city, "price": 80 + 20 * len(city)}


@app.post("/bookings")
def book(booking: Booking) -> Response:
    contents = booking.model_dump(exclude={"transaction_id"})
    # The block is one transaction: the effect and its journal row are committed together or not at all.
    with pool.connection() as connection:
        # Claims the key. A concurrent repeat waits here until the first transaction has ended.
        claimed = connection.execute(
            "insert into flights.journal (transaction_id, contents) values (%s, %s) on conflict do nothing",
            (booking.transaction_id, Jsonb(contents)),
        ).rowcount
        if not claimed:
            # A statement of its own, with a fresh snapshot: it sees what the first transaction committed.
            row = connection.execute(
                "select contents, status, reply, found from flights.journal where transaction_id = %s",
                (booking.transaction_id,),
            ).fetchone()
            if row["found"]:
                return refusal({"error": "compensated already"})
            if row["contents"] != contents:
                return JSONResponse({"error": "this transaction has other contents"}, 422)
            return JSONResponse(row["reply"]) if row["status"] == 200 else refusal(row["reply"])
        status, reply = decide(connection, booking)
        connection.execute(
            "update flights.journal set status = %s, reply = %s where transaction_id = %s",
            (status, Jsonb(reply), booking.transaction_id),
        )
    return JSONResponse(reply) if status == 200 else refusal(reply)


def decide(connection, booking: Booking) -> tuple[int, dict]:
    """Decides a new booking. The rules of your business go here."""
    if booking.city == "Atlantis":
        return 409, {"error": "no airport in Atlantis"}
    row = connection.execute(
        "insert into flights.bookings (transaction_id, traveller, city) values (%s, %s, %s) returning booking_id",
        (booking.transaction_id, booking.traveller, booking.city),
    ).fetchone()
    return 200, {"booking_id": row["booking_id"], "city": booking.city, "price": booking.price}


@app.delete("/bookings/by-transaction/{transaction_id}")
def cancel(transaction_id: str) -> JSONResponse:
    with pool.connection() as connection:
        # If the action never came, this row is the tombstone that refuses it.
        connection.execute(
            "insert into flights.journal (transaction_id, found) values (%s, 'none') on conflict do nothing",
            (transaction_id,),
        )
        row = connection.execute(
            "select status, found from flights.journal where transaction_id = %s for update", (transaction_id,)
        ).fetchone()
        found = row["found"] or ("done" if row["status"] == 200 else "refused")
        if not row["found"]:
            connection.execute(
                "update flights.bookings set cancelled = true where transaction_id = %s", (transaction_id,)
            )
            connection.execute(
                "update flights.journal set found = %s where transaction_id = %s", (found, transaction_id)
            )
    return JSONResponse({"status": "cancelled", "transaction_id": transaction_id}, 200, {"Saga-Action": found})


@app.get("/bookings/by-transaction/{transaction_id}")
def bookings(transaction_id: str) -> dict:
    with pool.connection() as connection:
        live = connection.execute(
            "select booking_id, traveller, city from flights.bookings where transaction_id = %s and not cancelled",
            (transaction_id,),
        ).fetchall()
    return {"bookings": live}


if __name__ == "__main__":
    uvicorn.run(app, host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ["PORT"]), log_level="warning")
