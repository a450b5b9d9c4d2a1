-- $1 subscription, $2 the rate that its receiver granted, $3 why it granted none, $4 the generation of the url and
-- handshake that asked.
select herald_internal.note_consent($1, $2::integer, $3, $4)
