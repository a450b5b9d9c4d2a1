select herald._shed_backlog()
