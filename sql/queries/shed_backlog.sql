-- $1 how many of each subscription are buried at once.
select herald._shed_backlog($1)
