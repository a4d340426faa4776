-- Texts as one, which costs much less to carry about, to compare and to group by than many. They are
-- told apart by a zero byte; where one of them has that itself, all are written otherwise.
texts -> if(
    arrayExists(text -> position(text, '\0') > 0, texts) or startsWith(texts[1], '\x01'),
    concat('\x01', arrayStringConcat(
        arrayMap(text -> replaceAll(replaceAll(text, '\x01', '\x01b'), '\0', '\x01a'), texts), '\0')),
    arrayStringConcat(texts, '\0'))
