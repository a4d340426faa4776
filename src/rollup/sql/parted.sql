-- The texts that joined.sql has made one of.
one -> arrayMap(text -> replaceAll(replaceAll(text, '\x01a', '\0'), '\x01b', '\x01'), splitByChar('\0', one))
