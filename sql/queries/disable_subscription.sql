-- $1 subscription, $2 why, $3 the generation of the url that answered. Its open deliveries are then buried as gone.
select herald_internal.disable($1, $2, $3)
