select herald._end_tenants_in_the_way()
