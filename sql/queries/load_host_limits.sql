-- Returns what hosts take.
select h.host, h.rate_limit, h.max_concurrency::bigint as max_concurrency
from herald.host_limit h
