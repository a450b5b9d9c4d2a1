-- Returns the ids of all existing subscriptions.
select s.id from herald_internal.subscription s where s.removed_at is null order by s.id
