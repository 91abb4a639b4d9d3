// Cars: a participant of sagas, with its journal in PostgreSQL. The rules are in docs/participants.md.
package main

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed schema.sql
var schema string

// contents are the fields of a booking that a repeat must have too.
type contents struct {
	Traveller string `json:"traveller"`
	City      string `json:"city"`
}

type booking struct {
	TransactionID string `json:"transaction_id"`
	contents
}

type object map[string]any

type answer struct {
	status int
	body   []byte
	found  string // the header Saga-Action
}

type service struct{ pool *pgxpool.Pool }

func reply(status int, body any) answer {
	text, _ := json.Marshal(body) // strings and numbers only
	return answer{status: status, body: text}
}

func (s service) book(r *http.Request) (done answer, err error) {
	var b booking
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.TransactionID == "" || b.Traveller == "" || b.City == "" {
		return reply(http.StatusBadRequest, object{"error": "transaction_id, traveller and city are required"}), nil
	}
	canonical, _ := json.Marshal(b.contents)
	ctx := r.Context()
	// One transaction: the effect and its journal row are committed together or not at all.
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Claims the key. A concurrent repeat waits here until the first transaction has ended.
		claimed, err := tx.Exec(ctx, `insert into cars.journal (transaction_id, contents) values ($1, $2)
			on conflict do nothing`, b.TransactionID, string(canonical))
		if err == nil && claimed.RowsAffected() == 0 {
			done, err = repeat(ctx, tx, b.TransactionID, string(canonical))
			return err
		}
		if err == nil {
			done, err = decide(ctx, tx, b)
		}
		if err == nil {
			_, err = tx.Exec(ctx, "update cars.journal set status = $2, reply = $3 where transaction_id = $1",
				b.TransactionID, done.status, string(done.body))
		}
		return err
	})
	return done, err
}

// repeat answers from the journal. It is a statement of its own, with a fresh snapshot: it sees what the first
// transaction committed.
func repeat(ctx context.Context, tx pgx.Tx, id, canonical string) (first answer, err error) {
	var recorded string
	err = tx.QueryRow(ctx, `select coalesce(contents, ''), coalesce(status, 0), coalesce(reply, ''), coalesce(found, '')
		from cars.journal where transaction_id = $1`, id).Scan(&recorded, &first.status, &first.body, &first.found)
	if first.found != "" {
		return reply(http.StatusConflict, object{"error": "compensated already"}), err
	}
	if recorded != canonical {
		return reply(http.StatusUnprocessableEntity, object{"error": "this transaction has other contents"}), err
	}
	return first, err
}

// decide decides a new booking. The rules of your business go here.
func decide(ctx context.Context, tx pgx.Tx, b booking) (answer, error) {
	if b.City == "Venice" {
		return reply(http.StatusConflict, object{"error": "no cars in Venice"}), nil
	}
	var id int64
	err := tx.QueryRow(ctx, `insert into cars.bookings (transaction_id, traveller, city) values ($1, $2, $3)
		returning booking_id`, b.TransactionID, b.Traveller, b.City).Scan(&id)
	return reply(http.StatusOK, object{"booking_id": id, "city": b.City}), err
}

func (s service) cancel(r *http.Request) (answer, error) {
	ctx, id := r.Context(), r.PathValue("id")
	done := reply(http.StatusOK, object{"status": "cancelled", "transaction_id": id})
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// If the action never came, this row is the tombstone that refuses it.
		if _, err := tx.Exec(ctx, `insert into cars.journal (transaction_id, found) values ($1, 'none')
			on conflict do nothing`, id); err != nil {
			return err
		}
		var before string
		if err := tx.QueryRow(ctx, `select coalesce(found, ''),
			coalesce(found, case status when 200 then 'done' else 'refused' end)
			from cars.journal where transaction_id = $1 for update`, id).Scan(&before, &done.found); err != nil {
			return err
		}
		if before != "" {
			return nil
		}
		if _, err := tx.Exec(ctx, "update cars.bookings set cancelled = true where transaction_id = $1", id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "update cars.journal set found = $2 where transaction_id = $1", id, done.found)
		return err
	})
	return done, err
}

func (s service) bookings(r *http.Request) (answer, error) {
	rows, _ := s.pool.Query(r.Context(), `select booking_id from cars.bookings
		where transaction_id = $1 and not cancelled`, r.PathValue("id")) // CollectRows returns the error
	live, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	return reply(http.StatusOK, object{"bookings": live}), err
}

func handle(work func(*http.Request) (answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		done, err := work(r)
		if err != nil {
			if r.Context().Err() == nil { // else the caller has left
				log.Print(err)
			}
			done = reply(http.StatusServiceUnavailable, object{"error": "the outcome is unknown: ask again"})
		}
		w.Header().Set("Content-Type", "application/json")
		if done.status == http.StatusConflict {
			w.Header().Set("Saga-Decision", "refused")
		}
		if done.found != "" && done.status == http.StatusOK {
			w.Header().Set("Saga-Action", done.found)
		}
		w.WriteHeader(done.status)
		w.Write(done.body)
	}
}

func main() {
	pool, err := pgxpool.New(context.Background(), os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := pool.Exec(context.Background(), schema); err != nil {
		log.Fatal(err)
	}
	s := service{pool}
	http.HandleFunc("POST /bookings", handle(s.book))
	http.HandleFunc("DELETE /bookings/by-transaction/{id}", handle(s.cancel))
	http.HandleFunc("GET /bookings/by-transaction/{id}", handle(s.bookings))
	address := net.JoinHostPort(cmp.Or(os.Getenv("HOST"), "127.0.0.1"), os.Getenv("PORT"))
	log.Fatal(http.ListenAndServe(address, nil))
}
