-- Inserts one attempt through the executor: see insert_event.sql. The columns and parameters are those of ATTEMPT in
-- attempts.rs.
insert into herald_internal.attempt (
    event_seq, subscription_id, at, attempt, duration_ms, event_slot, slot, status_code, outcome, error_class, error,
    response, request)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
