//! What kind of statement a text is, without running it.
//!
//! The endpoint has to know three things that the engine does not tell: where the data of an INSERT
//! begin, in which format an answer will come, and whether a statement is a SELECT that can be
//! streamed. This reads ClickHouse's tokens (comments, strings, quoted names, heredocs, nesting),
//! never the grammar: what is wrong stays wrong, and the engine says so.

/// What to do with a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A query whose answer can come in chunks.
    Select {
        /// WITH TOTALS: the chunks of a stream would not add up to the whole.
        totals: bool,
    },
    /// `INSERT … FORMAT X` or `… VALUES`: data follow.
    Insert {
        /// The statement ends here, before FORMAT or VALUES.
        head: usize,
        /// The data begin here.
        data: usize,
    },
    /// `KILL QUERY`.
    Kill,
    /// Whatever else, run whole.
    Other,
}

/// Why the endpoint does not run a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Nothing, or what begins no statement: the engine would answer as if it had done it.
    NoStatement,
    SeveralStatements,
    IntoOutfile,
    FromInfile,
    DataForInput,
}

/// A statement, understood as far as the endpoint needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    pub kind: Kind,
    /// The FORMAT clause.
    pub format: Option<String>,
    /// It changes nothing but, at most, its session.
    pub reads: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lexeme {
    Word,
    /// `…`, "…" or “…”: a name.
    Name,
    /// '…', ‘…’ or $tag$…$tag$.
    Text,
    Number,
    Mark(u8),
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    lexeme: Lexeme,
    text: &'a [u8],
    start: usize,
}

impl Token<'_> {
    fn is(&self, word: &str) -> bool {
        self.lexeme == Lexeme::Word && self.text.eq_ignore_ascii_case(word.as_bytes())
    }

    /// The name that it is, quoted or not, of those that need no escape.
    fn name(&self) -> Option<String> {
        let text = String::from_utf8_lossy(self.text);
        match self.lexeme {
            Lexeme::Word => Some(text.into_owned()),
            Lexeme::Name => {
                let mut inner = text.chars();
                inner.next();
                inner.next_back();
                Some(inner.as_str().to_owned())
            }
            _ => None,
        }
    }

    fn mark(&self) -> Option<u8> {
        match self.lexeme {
            Lexeme::Mark(mark) => Some(mark),
            _ => None,
        }
    }

    fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

/// The tokens of a text, without comments and white space. Never fails: what is not closed runs to
/// the end, and any byte that begins nothing is a mark.
#[derive(Clone)]
struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space_and_comments(&mut self) {
        loop {
            let rest = self.rest();
            let skipped = match rest {
                [first, ..] if first.is_ascii_whitespace() || *first == 0x0b || *first == 0 => 1,
                [0x80..=0xff, ..] => match unicode_space(rest) {
                    0 => return,
                    length => length,
                },
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => line(rest),
                [b'/', b'*', ..] => comment(rest),
                _ => return,
            };
            self.at += skipped;
        }
    }
}

/// The length of one of the blanks beyond ASCII that ClickHouse skips, a byte order mark among them.
fn unicode_space(rest: &[u8]) -> usize {
    let chunk = rest[..rest.len().min(4)].utf8_chunks().next();
    let first = chunk.and_then(|chunk| chunk.valid().chars().next());
    let is_blank = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'
            )
    };
    first.filter(|c| is_blank(*c)).map_or(0, char::len_utf8)
}

/// The length of a comment that ends with its line.
fn line(rest: &[u8]) -> usize {
    rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len())
}

/// The length of `/* … */`.
fn comment(rest: &[u8]) -> usize {
    match rest
        .get(2..)
        .unwrap_or_default()
        .windows(2)
        .position(|w| w == b"*/")
    {
        Some(inner) => inner + 4,
        None => rest.len(),
    }
}

/// The length of a quoted text: a backslash or a doubled quote does not end it.
fn quoted(rest: &[u8]) -> usize {
    let quote = rest[0];
    let mut at = 1;
    while let Some(byte) = rest.get(at) {
        match byte {
            b'\\' => at += 2,
            byte if *byte == quote => {
                if rest.get(at + 1) != Some(&quote) {
                    return at + 1;
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
    rest.len()
}

/// What stands in the quotes of a word processor, which ClickHouse takes for its own: ‘a text’, “a name”.
fn typographic(rest: &[u8]) -> Option<(Lexeme, usize)> {
    let (lexeme, close) = match rest {
        [0xe2, 0x80, 0x98, ..] => (Lexeme::Text, [0xe2, 0x80, 0x99]),
        [0xe2, 0x80, 0x9c, ..] => (Lexeme::Name, [0xe2, 0x80, 0x9d]),
        _ => return None,
    };
    let closed = rest.windows(close.len()).position(|w| w == close);
    Some((lexeme, closed.map_or(rest.len(), |at| at + close.len())))
}

/// The length of `$tag$ … $tag$`, where the text begins one.
fn heredoc(rest: &[u8]) -> Option<usize> {
    let tag = rest[1..].iter().position(|b| !is_word(*b))? + 1;
    if rest.get(tag) != Some(&b'$') {
        return None;
    }
    let tag = &rest[..=tag];
    let body = &rest[tag.len()..];
    let inner = body.windows(tag.len()).position(|w| w == tag)?;
    Some(inner + 2 * tag.len())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_space_and_comments();
        let rest = self.rest();
        let (lexeme, length) = match *rest.first()? {
            b'\'' => (Lexeme::Text, quoted(rest)),
            b'`' | b'"' => (Lexeme::Name, quoted(rest)),
            b'$' => match heredoc(rest) {
                Some(length) => (Lexeme::Text, length),
                None => (Lexeme::Mark(b'$'), 1),
            },
            first if is_word(first) => {
                let length = rest
                    .iter()
                    .position(|b| !(is_word(*b) || *b == b'$'))
                    .unwrap_or(rest.len());
                let lexeme = if first.is_ascii_digit() {
                    Lexeme::Number
                } else {
                    Lexeme::Word
                };
                (lexeme, length)
            }
            first => typographic(rest).unwrap_or((Lexeme::Mark(first), 1)),
        };
        let token = Token {
            lexeme,
            text: &rest[..length.min(rest.len())],
            start: self.at,
        };
        self.at += token.text.len();
        Some(token)
    }
}

/// Understands a text. `None` while more of it may follow (`complete` is false) and it is no INSERT
/// whose data have begun.
pub fn read(text: &[u8], complete: bool) -> Option<Result<Statement, Refused>> {
    let mut tokens = Tokens { text, at: 0 };
    match tokens.next() {
        Some(token) if token.is("INSERT") => insert(text, tokens, complete),
        first => complete.then(|| match first {
            Some(token) if begins_statement(&token) => whole(text),
            _ => Err(Refused::NoStatement),
        }),
    }
}

/// Whether the engine says what is wrong with a statement that begins so. A byte that begins no
/// token, a quote that is not closed and a word that ends ClickHouse's own client it passes over.
fn begins_statement(token: &Token) -> bool {
    match token.lexeme {
        Lexeme::Word => {
            let ends_client = ["exit", "quit", "logout", "q"];
            token.text[0].is_ascii() && !ends_client.iter().any(|word| token.is(word))
        }
        Lexeme::Mark(mark) => matches!(mark, b'(' | b';'),
        Lexeme::Number => true,
        Lexeme::Name | Lexeme::Text => false,
    }
}

/// Reads what comes after INSERT.
fn insert(text: &[u8], mut tokens: Tokens, complete: bool) -> Option<Result<Statement, Refused>> {
    let mut token = tokens.next();
    for word in ["INTO", "TABLE", "FUNCTION"] {
        if token.is_some_and(|t| t.is(word)) {
            // A table may have one of these names: then a dot, a parenthesis or a clause follows.
            token = tokens.next();
        }
    }
    // `token` is the (first part of the) name, which may be any word.
    let mut depth = 0usize;
    let mut first_in_columns = None;
    let mut from = false;
    if let Some(b'{' | b'(') = token.and_then(|t| t.mark()) {
        depth += 1;
    }
    while let Some(token) = tokens.next() {
        let after_from = std::mem::take(&mut from);
        match token.lexeme {
            Lexeme::Mark(b'(' | b'{' | b'[') => {
                depth += 1;
                if first_in_columns.is_none() {
                    first_in_columns = Some(tokens.clone().next());
                }
            }
            Lexeme::Mark(b')' | b'}' | b']') => depth = depth.saturating_sub(1),
            Lexeme::Mark(b'.') if depth == 0 => {
                tokens.next();
            }
            Lexeme::Word if depth == 0 => {
                if token.is("VALUES") {
                    return Some(Ok(Statement {
                        kind: Kind::Insert {
                            head: token.start,
                            data: token.end(),
                        },
                        format: Some("Values".to_owned()),
                        reads: false,
                    }));
                }
                if token.is("FORMAT") {
                    let Some(name) = tokens.next() else { break };
                    // The name may be cut, and so may the blanks and the line end after it.
                    let data = data_start(text, name.end());
                    if !complete && data == text.len() && !text.ends_with(b"\n") {
                        return None;
                    }
                    return Some(Ok(Statement {
                        kind: Kind::Insert {
                            head: token.start,
                            data,
                        },
                        // What is no name the engine refuses.
                        format: name
                            .name()
                            .or_else(|| Some(String::from_utf8_lossy(name.text).into_owned())),
                        reads: false,
                    }));
                }
                if token.is("INFILE") && after_from {
                    return Some(Err(Refused::FromInfile));
                }
                if token.is("SELECT") || token.is("WITH") {
                    return selected(text, tokens, complete);
                }
                from = token.is("FROM");
            }
            _ => {}
        }
    }
    if !complete {
        return None;
    }
    // `INSERT INTO t (SELECT …)`; else no clause at all: the data come in the default format.
    if first_in_columns
        .flatten()
        .is_some_and(|t| t.is("SELECT") || t.is("WITH"))
    {
        return Some(whole(text));
    }
    let end = text.len();
    Some(Ok(Statement {
        kind: Kind::Insert {
            head: end,
            data: end,
        },
        format: None,
        reads: false,
    }))
}

/// `INSERT … SELECT`, after the SELECT: runs whole, unless it wants data for `input(…)`.
fn selected(text: &[u8], tokens: Tokens, complete: bool) -> Option<Result<Statement, Refused>> {
    let mut previous_is_input = false;
    for token in tokens {
        if previous_is_input && token.mark() == Some(b'(') {
            return Some(Err(Refused::DataForInput));
        }
        previous_is_input = token.is("input");
    }
    complete.then(|| whole(text))
}

/// Where the data begin after the name of a format: after blanks and one line end.
fn data_start(text: &[u8], mut at: usize) -> usize {
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

/// Understands a statement that has no data.
fn whole(text: &[u8]) -> Result<Statement, Refused> {
    let tokens: Vec<Token> = Tokens { text, at: 0 }.collect();
    let mut depth = 0usize;
    let (mut totals, mut inserts, mut ended, mut parallel) = (false, false, false, false);
    let mut format = None;
    for (at, token) in tokens.iter().enumerate() {
        if ended && token.mark() != Some(b';') {
            return Err(Refused::SeveralStatements);
        }
        let next = tokens.get(at + 1);
        match token.lexeme {
            Lexeme::Mark(b'(' | b'{' | b'[') => depth += 1,
            Lexeme::Mark(b')' | b'}' | b']') => depth = depth.saturating_sub(1),
            Lexeme::Mark(b';') if depth == 0 => ended = true,
            Lexeme::Word if token.is("TOTALS") => totals = true,
            Lexeme::Word if depth == 0 && token.is("INSERT") => inserts = true,
            Lexeme::Word if token.is("PARALLEL") && next.is_some_and(|t| t.is("WITH")) => {
                // After a column of that name it may be another clause.
                parallel |= !tokens.get(at + 2).is_some_and(|t| t.is("TOTALS"));
            }
            Lexeme::Word
                if depth == 0 && token.is("INTO") && next.is_some_and(|t| t.is("OUTFILE")) =>
            {
                return Err(Refused::IntoOutfile);
            }
            Lexeme::Word if depth == 0 && token.is("FORMAT") => {
                let last = tokens
                    .get(at + 2)
                    .is_none_or(|t| t.mark() == Some(b';') || t.is("SETTINGS"));
                if let Some(name) = next.filter(|_| last).and_then(Token::name) {
                    format = Some(name);
                }
            }
            _ => {}
        }
    }
    let first = tokens.iter().find(|token| token.mark() != Some(b'('));
    let begins = |words: &[&str]| first.is_some_and(|t| words.iter().any(|word| t.is(word)));
    let kind = if parallel {
        // Whatever comes beside the first one.
        Kind::Other
    } else if begins(&["SELECT", "WITH", "FROM"]) && !inserts {
        Kind::Select { totals }
    } else if begins(&["KILL"]) && tokens.get(1).is_some_and(|t| t.is("QUERY")) {
        Kind::Kill
    } else {
        Kind::Other
    };
    let reads = matches!(kind, Kind::Select { .. })
        || !parallel
            && begins(&[
                "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK", "SET", "USE",
            ]);
    Ok(Statement {
        kind,
        format,
        reads,
    })
}

/// Reads the data of `VALUES` as they pass, as far as it takes to see what comes after their end.
#[derive(Default)]
pub struct Values {
    depth: usize,
    quote: Option<u8>,
    is_escaped: bool,
    has_ended: bool,
}

impl Values {
    /// Whether something follows a `;` after a row. The engine leaves it out and calls the INSERT done, where a server
    /// refuses it.
    pub fn go_on_after_end(&mut self, data: &[u8]) -> bool {
        for byte in data {
            if self.has_ended {
                if !byte.is_ascii_whitespace() {
                    return true;
                }
                continue;
            }
            match (self.quote, byte) {
                (Some(_), _) if std::mem::take(&mut self.is_escaped) => {}
                (Some(_), b'\\') => self.is_escaped = true,
                (Some(quote), byte) if *byte == quote => self.quote = None,
                (Some(_), _) => {}
                (None, b'\'' | b'"' | b'`') => self.quote = Some(*byte),
                (None, b'(' | b'[' | b'{') => self.depth += 1,
                (None, b')' | b']' | b'}') => self.depth = self.depth.saturating_sub(1),
                (None, b';') if self.depth == 0 => self.has_ended = true,
                (None, _) => {}
            }
        }
        false
    }
}

/// A `KILL QUERY`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Killing {
    /// `KILL QUERY … WHERE`
    pub head: Vec<u8>,
    /// What a row of `system.processes` is asked, without the name of that table before its columns.
    pub condition: Vec<u8>,
    /// From ASYNC on. SYNC, which would never return, is ASYNC here.
    pub tail: Vec<u8>,
    /// With TEST it kills nothing.
    pub only_tells: bool,
}

/// Takes a `KILL QUERY` apart, with `processes` in the place of `system.processes` in subqueries; `None` when it has no
/// condition.
pub fn killing(text: &[u8], processes: &str) -> Option<Killing> {
    let tokens: Vec<Token> = Tokens { text, at: 0 }.collect();
    let start = tokens.iter().position(|token| token.is("WHERE"))? + 1;
    let mut depth = 0usize;
    let mut ends = |(at, token): (usize, &Token)| {
        match token.lexeme {
            Lexeme::Mark(b'(' | b'{' | b'[') => depth += 1,
            Lexeme::Mark(b')' | b'}' | b']') => depth = depth.saturating_sub(1),
            _ => {}
        }
        let mark = |at: usize| tokens.get(at).and_then(Token::mark);
        // A column is called Settings, too.
        let sets = token.is("SETTINGS") && mark(start + at + 2) == Some(b'=');
        let words = ["ASYNC", "SYNC", "TEST", "FORMAT"];
        depth == 0
            && (sets || token.mark() == Some(b';') || words.iter().any(|word| token.is(word)))
    };
    let length = tokens[start..].iter().enumerate().position(&mut ends);
    let (condition, tail) = tokens[start..].split_at(length.unwrap_or(tokens.len() - start));
    let from = tokens[start - 1].end();
    let until = tail.first().map_or(text.len(), |token| token.start);
    let mut killing = Killing {
        head: text[..from].to_vec(),
        condition: Vec::new(),
        tail: Vec::new(),
        only_tells: tail.iter().any(|token| token.is("TEST")),
    };
    let is_called = |at: usize, name: &str| {
        let token = condition.get(at).and_then(Token::name);
        token.is_some_and(|found| found == name)
    };
    let is_dot = |at: usize| condition.get(at).and_then(Token::mark) == Some(b'.');
    let (mut copied, mut at) = (from, 0);
    while at < condition.len() {
        if !(is_called(at, "system") && is_dot(at + 1) && is_called(at + 2, "processes")) {
            at += 1;
            continue;
        }
        killing
            .condition
            .extend_from_slice(&text[copied..condition[at].start]);
        // `system.processes.query_id` is `query_id`.
        let last = if is_dot(at + 3) {
            at + 3
        } else {
            killing.condition.extend_from_slice(processes.as_bytes());
            at + 2
        };
        copied = condition[last].end();
        at = last + 1;
    }
    killing.condition.extend_from_slice(&text[copied..until]);
    copied = until;
    for token in tail.iter().filter(|token| token.is("SYNC")) {
        killing.tail.extend_from_slice(&text[copied..token.start]);
        killing.tail.extend_from_slice(b"ASYNC");
        copied = token.end();
    }
    killing.tail.extend_from_slice(&text[copied..]);
    Some(killing)
}

/// A text as ClickHouse writes it in a statement, for the places that take no parameter (SET).
pub fn literal(value: &str) -> String {
    enclosed(value, '\'')
}

/// A name as ClickHouse writes it in a statement, for the places that take no parameter (USE).
pub fn name(value: &str) -> String {
    enclosed(value, '`')
}

fn enclosed(value: &str, quote: char) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push(quote);
    for char in value.chars() {
        match char {
            '\0' => out.push_str("\\0"),
            '\\' => out.push_str("\\\\"),
            char => {
                if char == quote {
                    out.push('\\');
                }
                out.push(char);
            }
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The value of a quoted text.
    fn unquoted(text: &[u8]) -> String {
        let mut value = Vec::new();
        let mut bytes = text[1..text.len() - 1].iter();
        while let Some(byte) = bytes.next() {
            let escapes = *byte == b'\\';
            value.extend(if escapes { bytes.next() } else { Some(byte) });
        }
        String::from_utf8(value).expect("text")
    }

    fn insert_of(text: &str) -> (String, String, Option<String>) {
        match read(text.as_bytes(), true) {
            Some(Ok(Statement {
                kind: Kind::Insert { head, data },
                format,
                ..
            })) => (text[..head].to_owned(), text[data..].to_owned(), format),
            other => panic!("{text}: {other:?}"),
        }
    }

    fn kind_of(text: &str) -> (Kind, Option<String>) {
        let statement = read(text.as_bytes(), true)
            .expect("complete")
            .expect("not refused");
        (statement.kind, statement.format)
    }

    #[test]
    fn the_data_of_an_insert_begin_after_its_format_or_values() {
        for (text, head, data, format) in [
            (
                "INSERT INTO t FORMAT TSV\n1\t2",
                "INSERT INTO t ",
                "1\t2",
                "TSV",
            ),
            (
                "insert into t format CSV\r\n1",
                "insert into t ",
                "1",
                "CSV",
            ),
            (
                "insert into t format RowBinary\n\n\n",
                "insert into t ",
                "\n\n",
                "RowBinary",
            ),
            (
                "insert into t format JSONEachRow {\"a\":1}",
                "insert into t ",
                "{\"a\":1}",
                "JSONEachRow",
            ),
            (
                "insert into t values (1, ';')",
                "insert into t ",
                " (1, ';')",
                "Values",
            ),
            ("insert t(a,b)values(1)", "insert t(a,b)", "(1)", "Values"),
            (
                "insert into t format `TSV`\n1",
                "insert into t ",
                "1",
                "TSV",
            ),
            (
                "insert into t\u{a0}format\u{a0}TSV\n1",
                "insert into t\u{a0}",
                "1",
                "TSV",
            ),
            (
                "insert into `format` format TSV\n",
                "insert into `format` ",
                "",
                "TSV",
            ),
            (
                "insert into format format TSV\n",
                "insert into format ",
                "",
                "TSV",
            ),
            (
                "insert into values.values values (1)",
                "insert into values.values ",
                " (1)",
                "Values",
            ),
            (
                "insert into table table format TSV\n",
                "insert into table table ",
                "",
                "TSV",
            ),
            (
                "insert into d.t (`values`, \"format\") values (1)",
                "insert into d.t (`values`, \"format\") ",
                " (1)",
                "Values",
            ),
            (
                "insert into t (format, values, select) values (1)",
                "insert into t (format, values, select) ",
                " (1)",
                "Values",
            ),
            (
                "insert into function file('values', 'CSV', 'a Int8') values (1)",
                "insert into function file('values', 'CSV', 'a Int8') ",
                " (1)",
                "Values",
            ),
            (
                "insert into t settings a = 'format x', b = 1 format TSV\n1",
                "insert into t settings a = 'format x', b = 1 ",
                "1",
                "TSV",
            ),
            (
                "insert into {t:Identifier} format TSV\n1",
                "insert into {t:Identifier} ",
                "1",
                "TSV",
            ),
            (
                "-- values\n/* format x */ insert into t -- select\n# values\nvalues (1)",
                "-- values\n/* format x */ insert into t -- select\n# values\n",
                " (1)",
                "Values",
            ),
            (
                "insert into t settings c = $a$ values $b$ $a$ values (1)",
                "insert into t settings c = $a$ values $b$ $a$ ",
                " (1)",
                "Values",
            ),
        ] {
            assert_eq!(
                insert_of(text),
                (head.to_owned(), data.to_owned(), Some(format.to_owned()))
            );
        }
        assert_eq!(
            insert_of("insert into t (a)"),
            ("insert into t (a)".to_owned(), String::new(), None)
        );
    }

    #[test]
    fn an_insert_is_known_only_once_its_data_can_begin() {
        for text in [
            "",
            "ins",
            "insert into t",
            "insert into t (a, b) form",
            "insert into t format",
            "insert into t format Row",
            "insert into t format TSV ",
            "insert into t -- values",
            "insert into t settings a = 'values (1)",
        ] {
            assert_eq!(read(text.as_bytes(), false), None, "{text}");
        }
        for text in [
            "insert into t format TSV\n",
            "insert into t format TSV 1",
            "insert into t values",
        ] {
            assert!(read(text.as_bytes(), false).is_some(), "{text}");
        }
    }

    #[test]
    fn kinds_and_formats() {
        let select = Kind::Select { totals: false };
        for (text, kind, format) in [
            ("select 1", select.clone(), None),
            (
                " ( select 1 ) union all (select 2) format CSV ",
                select.clone(),
                Some("CSV"),
            ),
            (
                "select 1 FORMAT JSON SETTINGS a = 1;",
                select.clone(),
                Some("JSON"),
            ),
            ("select ' format CSV' as format", select.clone(), None),
            ("select format from t", select.clone(), None),
            ("select 1 -- format CSV", select.clone(), None),
            ("select (select 1 format CSV)", select.clone(), None),
            ("from t select 1", select.clone(), None),
            ("with a as (select 1) select * from a", select.clone(), None),
            (
                "with a as (select 1) insert into t select * from a",
                Kind::Other,
                None,
            ),
            (
                "select a, count() from t group by a with totals",
                Kind::Select { totals: true },
                None,
            ),
            ("insert into t select 1", Kind::Other, None),
            ("insert into t (select 1)", Kind::Other, None),
            (
                "insert into t (a) with x as (select 1) select * from x",
                Kind::Other,
                None,
            ),
            ("show tables format TSV", Kind::Other, Some("TSV")),
            ("kill query where 1", Kind::Kill, None),
            ("kill mutation where 1", Kind::Other, None),
            ("create table t (a Int8) engine = Memory", Kind::Other, None),
            ("\u{feff}\u{a0}select 1", select.clone(), None),
            ("select 1 format `CSV`", select.clone(), Some("CSV")),
            ("select 1 format \"CSV\";", select.clone(), Some("CSV")),
            ("select 1 format“CSV”", select.clone(), Some("CSV")),
            (
                "select 1 format\u{a0}CSV\u{200b}",
                select.clone(),
                Some("CSV"),
            ),
            (
                "select ‘it's’ format CSV\u{feff}",
                select.clone(),
                Some("CSV"),
            ),
            ("select “it's;” format CSV", select.clone(), Some("CSV")),
        ] {
            assert_eq!(kind_of(text), (kind, format.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn what_a_server_refuses_is_refused() {
        for (text, refused) in [
            ("", Refused::NoStatement),
            (" -- select 1", Refused::NoStatement),
            ("\u{feff}", Refused::NoStatement),
            ("'select 1", Refused::NoStatement),
            ("\u{1}select 1", Refused::NoStatement),
            ("ſelect 1", Refused::NoStatement),
            ("quit;", Refused::NoStatement),
            ("select 1; select 2", Refused::SeveralStatements),
            ("select 1 into outfile 'x'", Refused::IntoOutfile),
            (
                "insert into t from infile 'x' format CSV",
                Refused::FromInfile,
            ),
            (
                "insert into t select * from input('a Int8') format CSV\n1",
                Refused::DataForInput,
            ),
        ] {
            assert_eq!(read(text.as_bytes(), true), Some(Err(refused)), "{text}");
        }
        assert!(read(b"select 1;;  -- done", true).is_some_and(|read| read.is_ok()));
    }

    #[test]
    fn what_follows_the_end_of_values_is_seen_wherever_the_data_are_cut() {
        for (data, goes_on) in [
            (" (1, 'a'), (2, 'b')", false),
            ("(1, 'a');\n \t", false),
            ("(1, ';(2)'), (2, 'it\\'s; ;'), (3, '''; x')", false),
            ("(`a;b`, \"c;d\", f(';'), [';'], {';': ';'})", false),
            ("(1, 'a'); (2, 'b')", true),
            ("(1); insert into t values (2)", true),
            ("(1);;", true),
        ] {
            for cut in 0..=data.len() {
                let (first, second) = data.as_bytes().split_at(cut);
                let mut values = Values::default();
                let found = values.go_on_after_end(first) || values.go_on_after_end(second);
                assert_eq!(found, goes_on, "{data} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_kill_is_taken_apart_and_made_asynchronous() {
        for (text, condition, tail, only_tells) in [
            ("kill query where 1", " 1", "", false),
            (
                "KILL QUERY WHERE (a = 'x async') AND f(sync) SYNC FORMAT TSV;",
                " (a = 'x async') AND f(sync) ",
                "ASYNC FORMAT TSV;",
                false,
            ),
            (
                "kill query on cluster c where a -- sync\nasync",
                " a -- sync\n",
                "async",
                false,
            ),
            (
                "kill query where Settings['a'] = 'b' settings b = 1",
                " Settings['a'] = 'b' ",
                "settings b = 1",
                false,
            ),
            (
                "kill query where system.processes.query_id = 'system.processes.x' and `system`.processes . user = ''",
                " query_id = 'system.processes.x' and  user = ''",
                "",
                false,
            ),
            (
                "kill query where query_id in (select query_id from system.processes where Settings is not null)",
                " query_id in (select query_id from THESE where Settings is not null)",
                "",
                false,
            ),
            ("kill query where 1;", " 1", ";", false),
            (
                "kill query where 1 test format JSON",
                " 1 ",
                "test format JSON",
                true,
            ),
        ] {
            let found = killing(text.as_bytes(), "THESE").expect("a condition");
            let text_of = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
            let parts = (
                text_of(&found.condition),
                text_of(&found.tail),
                found.only_tells,
            );
            assert_eq!(
                parts,
                (condition.to_owned(), tail.to_owned(), only_tells),
                "{text}"
            );
            assert!(text.as_bytes().starts_with(&found.head), "{text}");
        }
        assert_eq!(killing(b"kill query", ""), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(text: Vec<u8>, complete: bool) {
            let known = read(&text, complete);
            prop_assert!(known.is_some() || !complete);
            let _ = killing(&text, "");
            let mut insert = b"insert into t ".to_vec();
            insert.extend_from_slice(&text);
            let _ = read(&insert, complete);
        }

        #[test]
        fn tokens_lie_in_order_and_miss_only_space_and_comments(text in "[-a-z'`\"$#/* \n;(){}\\\\.0-9é]{0,80}") {
            let mut end = 0;
            for token in (Tokens { text: text.as_bytes(), at: 0 }) {
                prop_assert!(token.start >= end);
                prop_assert!(!token.text.is_empty());
                end = token.end();
            }
            prop_assert!(end <= text.len());
        }

        #[test]
        fn whatever_is_quoted_never_ends_the_head_of_an_insert(value in ".{0,40}", data in ".{0,40}") {
            let head = format!("insert into {} settings log_comment = {} /* values */ ", name(&value), literal(&value));
            let text = format!("{head}format TSV\n{data}");
            let (found, rest, format) = insert_of(&text);
            prop_assert_eq!(&found, &head);
            prop_assert_eq!(rest, data);
            prop_assert_eq!(format.as_deref(), Some("TSV"));
            // The same, however the text comes in: known once, and never wrong.
            for cut in 0..=text.len() {
                match read(&text.as_bytes()[..cut], false) {
                    None => {}
                    Some(Ok(Statement { kind: Kind::Insert { head: found, .. }, .. })) => prop_assert_eq!(found, head.len()),
                    other => prop_assert!(false, "{:?}", other),
                }
            }
        }

        #[test]
        fn a_literal_reads_as_one_text_with_its_value(value in ".{0,40}") {
            let quoted = literal(&value);
            let tokens: Vec<Token> = Tokens { text: quoted.as_bytes(), at: 0 }.collect();
            prop_assert_eq!(tokens.len(), 1);
            prop_assert_eq!(tokens[0].lexeme, Lexeme::Text);
            if !value.contains('\0') {
                prop_assert_eq!(unquoted(tokens[0].text), value);
            }
        }
    }
}
