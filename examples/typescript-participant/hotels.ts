// Hotels: a participant of sagas, with its journal in PostgreSQL. The rules are in docs/participants.md.
import { isDeepStrictEqual } from "node:util";
import Fastify, { type FastifyReply } from "fastify";
import pg from "pg";

// One row per saga. `found` is set by the compensation: the state in which it found the action.
const SCHEMA = `
  select pg_advisory_xact_lock(hashtext('hotels'));
  create schema if not exists hotels;
  create table if not exists hotels.journal (
    transaction_id text primary key,
    contents jsonb,
    status integer,
    reply jsonb,
    found text check (found in ('done', 'refused', 'none'))
  );
  create table if not exists hotels.bookings (
    booking_id bigint generated always as identity primary key,
    transaction_id text not null,
    traveller text not null,
    city text not null,
    nights integer not null,
    cancelled boolean not null default false
  );`;

interface Booking {
  transaction_id: string;
  traveller: string;
  city: string;
  nights: number;
}

interface Decision {
  status: number;
  reply: object;
}

const text = { type: "string", minLength: 1, maxLength: 100 } as const;
const bookingSchema = {
  type: "object",
  required: ["transaction_id", "traveller", "city"],
  properties: {
    transaction_id: text,
    traveller: text,
    city: text,
    nights: { type: "integer", minimum: 1, maximum: 365, default: 1 },
  },
} as const;

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 10 });

/** Runs `work` in one transaction: the effect and its journal row are committed together or not at all. */
async function inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  try {
    await client.query("begin");
    const result = await work(client);
    await client.query("commit");
    client.release();
    return result;
  } catch (error) {
    // The connection is in an unknown state: close it, which rolls back.
    client.release(true);
    throw error;
  }
}

/** Decides a new booking. The rules of your business go here. */
async function decide(client: pg.PoolClient, booking: Booking): Promise<Decision> {
  if (booking.city === "Pompeii") {
    return { status: 409, reply: { error: "no hotel left in Pompeii" } };
  }
  const { rows } = await client.query(
    `insert into hotels.bookings (transaction_id, traveller, city, nights) values ($1, $2, $3, $4)
     returning booking_id`,
    [booking.transaction_id, booking.traveller, booking.city, booking.nights],
  );
  return { status: 200, reply: { booking_id: Number(rows[0].booking_id), city: booking.city } };
}

function send(answer: FastifyReply, { status, reply }: Decision): FastifyReply {
  if (status === 409) answer.header("Saga-Decision", "refused");
  return answer.code(status).send(reply);
}

const app = Fastify({ forceCloseConnections: true });

app.get("/health", async () => ({ status: "healthy", service: "hotels" }));

app.post<{ Body: Booking }>("/bookings", { schema: { body: bookingSchema } }, async (request, answer) => {
  const { transaction_id, traveller, city, nights } = request.body;
  const contents = { traveller, city, nights };
  const decision = await inTransaction(async (client): Promise<Decision> => {
    // Claims the key. A concurrent repeat waits here until the first transaction has ended.
    const claimed = await client.query(
      "insert into hotels.journal (transaction_id, contents) values ($1, $2) on conflict do nothing",
      [transaction_id, contents],
    );
    if (claimed.rowCount === 0) {
      // A statement of its own, with a fresh snapshot: it sees what the first transaction committed.
      const { rows } = await client.query(
        "select contents, status, reply, found from hotels.journal where transaction_id = $1",
        [transaction_id],
      );
      if (rows[0].found) return { status: 409, reply: { error: "compensated already" } };
      if (!isDeepStrictEqual(rows[0].contents, contents)) {
        return { status: 422, reply: { error: "this transaction has other contents" } };
      }
      return rows[0];
    }
    const decided = await decide(client, request.body);
    await client.query("update hotels.journal set status = $2, reply = $3 where transaction_id = $1", [
      transaction_id,
      decided.status,
      decided.reply,
    ]);
    return decided;
  });
  return send(answer, decision);
});

app.delete<{ Params: { id: string } }>("/bookings/by-transaction/:id", async (request, answer) => {
  const { id } = request.params;
  const found = await inTransaction(async (client): Promise<string> => {
    // If the action never came, this row is the tombstone that refuses it.
    await client.query(
      "insert into hotels.journal (transaction_id, found) values ($1, 'none') on conflict do nothing",
      [id],
    );
    const { rows } = await client.query(
      "select status, found from hotels.journal where transaction_id = $1 for update",
      [id],
    );
    if (rows[0].found) return rows[0].found;
    const state = rows[0].status === 200 ? "done" : "refused";
    await client.query("update hotels.bookings set cancelled = true where transaction_id = $1", [id]);
    await client.query("update hotels.journal set found = $2 where transaction_id = $1", [id, state]);
    return state;
  });
  return answer.header("Saga-Action", found).send({ status: "cancelled", transaction_id: id });
});

app.get<{ Params: { id: string } }>("/bookings/by-transaction/:id", async (request) => {
  const { rows } = await pool.query(
    "select booking_id, traveller, city, nights from hotels.bookings where transaction_id = $1 and not cancelled",
    [request.params.id],
  );
  return { bookings: rows };
});

await pool.query(SCHEMA);
await app.listen({ host: process.env.HOST ?? "127.0.0.1", port: Number(process.env.PORT) });
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => app.close().then(() => pool.end()));
