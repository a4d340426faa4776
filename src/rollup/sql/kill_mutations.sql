-- One that cannot be done now would be done whenever it can be, unasked.
kill mutation
where database = {database:String} and table = {table:String} and not is_done
