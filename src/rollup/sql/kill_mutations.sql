-- One that cannot be done now would be done whenever it can be, unasked. What others delete is theirs.
kill mutation
where database = {database:String} and table = {table:String} and not is_done
    and position(command, {mark:String}) > 0
