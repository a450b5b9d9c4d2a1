select h.period_micros, h.has_more from herald._keep_house() h
