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
    /// `…` or "…": a name.
    Name,
    /// '…' or $tag$…$tag$.
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
                [b'-', b'-', ..] | [b'#', b' ' | b'!', ..] => line(rest),
                [b'/', b'*', ..] => comment(rest),
                _ => return,
            };
            self.at += skipped;
        }
    }
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
            first if is_word(first) || first >= 0x80 => {
                let length = rest
                    .iter()
                    .position(|b| !(is_word(*b) || *b == b'$' || *b >= 0x80))
                    .unwrap_or(rest.len());
                let lexeme = if first.is_ascii_digit() {
                    Lexeme::Number
                } else {
                    Lexeme::Word
                };
                (lexeme, length)
            }
            first => (Lexeme::Mark(first), 1),
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

/// Understands a text. `None` when it begins with an INSERT whose data have not begun yet, and
/// `complete` says that more text may follow.
pub fn read(text: &[u8], complete: bool) -> Option<Result<Statement, Refused>> {
    let mut tokens = Tokens { text, at: 0 };
    let first = tokens.clone().find(|token| token.mark() != Some(b'('));
    match first {
        Some(token) if token.is("INSERT") => {
            tokens.next();
            insert(text, tokens, complete)
        }
        // The last word of an unfinished text may be the first half of INSERT.
        Some(token) if !complete && token.end() < text.len() => Some(whole(text)),
        None | Some(_) if !complete => None,
        _ => Some(whole(text)),
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
                    // The name may be cut, and so may the line end after it.
                    if !complete && data_start(text, name.end()) >= text.len() {
                        return None;
                    }
                    return Some(Ok(Statement {
                        kind: Kind::Insert {
                            head: token.start,
                            data: data_start(text, name.end()),
                        },
                        format: Some(String::from_utf8_lossy(name.text).into_owned()),
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
    let (mut totals, mut inserts, mut ended) = (false, false, false);
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
            Lexeme::Word if depth == 0 && token.is("INTO") => {
                if next.is_some_and(|t| t.is("OUTFILE")) {
                    return Err(Refused::IntoOutfile);
                }
            }
            Lexeme::Word if depth == 0 && token.is("FORMAT") => {
                let last = tokens
                    .get(at + 2)
                    .is_none_or(|t| t.mark() == Some(b';') || t.is("SETTINGS"));
                if let Some(name) = next.filter(|t| t.lexeme == Lexeme::Word && last) {
                    format = Some(String::from_utf8_lossy(name.text).into_owned());
                }
            }
            _ => {}
        }
    }
    let first = tokens.iter().find(|token| token.mark() != Some(b'('));
    let begins = |words: &[&str]| first.is_some_and(|t| words.iter().any(|word| t.is(word)));
    let kind = if begins(&["SELECT", "WITH", "FROM"]) && !inserts {
        Kind::Select { totals }
    } else if begins(&["KILL"]) && tokens.get(1).is_some_and(|t| t.is("QUERY")) {
        Kind::Kill
    } else {
        Kind::Other
    };
    let reads = matches!(kind, Kind::Select { .. })
        || begins(&[
            "SHOW", "DESC", "DESCRIBE", "EXISTS", "EXPLAIN", "CHECK", "SET", "USE",
        ]);
    Ok(Statement {
        kind,
        format,
        reads,
    })
}

/// A `KILL QUERY` that the engine can run: SYNC, which would never return, becomes ASYNC, and each
/// text goes through `translate` (a client's query id becomes the engine's).
pub fn killable(text: &[u8], mut translate: impl FnMut(&str) -> Option<String>) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    let mut copied = 0;
    for token in (Tokens { text, at: 0 }) {
        let replacement = if token.is("SYNC") {
            Some("ASYNC".to_owned())
        } else if token.lexeme == Lexeme::Text && token.text.starts_with(b"'") {
            let inner = token
                .text
                .get(1..token.text.len().max(2) - 1)
                .unwrap_or_default();
            translate(&String::from_utf8_lossy(inner)).map(|id| literal(&id))
        } else {
            None
        };
        if let Some(replacement) = replacement {
            out.extend_from_slice(&text[copied..token.start]);
            out.extend_from_slice(replacement.as_bytes());
            copied = token.end();
        }
    }
    out.extend_from_slice(&text[copied..]);
    out
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
