-- Whose page view was the last, as the sender has it: who that is by now is said by it.
argMaxIf(sender, moment, is_page_view)
