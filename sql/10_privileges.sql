-- Nothing for PUBLIC, and the first entry of the log.

do $$
begin
    if current_setting('server_encoding') <> 'UTF8' then
        raise exception using
            errcode = 'feature_not_supported',
            message = 'pg_herald needs a database with the encoding UTF8',
            detail = format('This database has %s; events are JSON, which is UTF-8.', current_setting('server_encoding')),
            hint = 'Create the database with: create database ... encoding ''UTF8'' template template0;';
    end if;
end
$$;

-- Reading starts here: nothing before this transaction is an event.
insert into herald.window (number, origin, slot, state, from_snapshot, to_snapshot, floor_seq, upper_seq, next_seq, next_floor_seq)
values (0, herald._origin(), 0, 'open', pg_current_snapshot(), pg_current_snapshot(), 0, 0, 0, 0);
insert into herald.window (number, origin, slot, state) values (0, herald._origin(), 0, 'closed');

revoke all on schema herald, herald_watch from public;
revoke all on all tables in schema herald from public;
revoke all on all functions in schema herald from public;

select herald._want_worker_at_commit();
