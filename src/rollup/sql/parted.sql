-- The texts that joined.sql has made one of.
one -> if(
    startsWith(one, '\x01'),
    arrayMap(
        text -> replaceAll(replaceAll(text, '\x01a', '\0'), '\x01b', '\x01'),
        splitByChar('\0', substring(one, 2))),
    splitByChar('\0', one))
