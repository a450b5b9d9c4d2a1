-- $1 subscription, $2 why. Its open deliveries are buried as gone.
select herald._disable($1, $2)
