-- Texts as one, which costs much less to carry about, to compare and to group by than many. They are told apart
-- by a zero byte; where one has that itself, or the byte that says so, it is written otherwise. All are looked at,
-- one like the other: to ask first whether any needs it saves nothing, and costs more where ClickHouse computes
-- anew for the branch what the texts are made of.
texts -> arrayStringConcat(
    arrayMap(text -> replaceAll(replaceAll(text, '\x01', '\x01b'), '\0', '\x01a'), texts), '\0')
