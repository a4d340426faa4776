//! The grammar of one access log line: the common and the combined log format.
//!
//! ```text
//! [virtual-host[:port]] address ident user [time] "request" status bytes ["referrer" "user agent"] …
//! ```
//!
//! It is what Apache's `common`, `combined` and `vhost_combined` and nginx's `combined` write
//! (<https://httpd.apache.org/docs/2.4/logs.html>,
//! <https://nginx.org/en/docs/http/ngx_http_log_module.html>). Further fields at the end are
//! ignored. The parser works on bytes, because a log holds whatever a client sent.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;

/// `17/May/2015:10:05:03 +0000`
const TIME_LENGTH: usize = 26;

/// No clock is further from UTC than Kiritimati's.
pub(super) const MOST_OFFSET_SECONDS: i32 = 14 * 3600;

/// The fields of a line that mean something to an import.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct LogLine<'a> {
    /// The leading virtual host, without its port.
    pub virtual_host: Option<&'a [u8]>,
    pub address: &'a [u8],
    /// Seconds since 1970.
    pub time_seconds: i64,
    /// `GET /path HTTP/1.1`, with the escapes undone; whatever the client sent instead, too.
    pub request: Cow<'a, [u8]>,
    /// None where the server wrote `-`.
    pub status: Option<u16>,
    /// Empty where the client sent none.
    pub referrer: Cow<'a, [u8]>,
    /// Empty where the client sent none; none where the format has no such field.
    pub user_agent: Option<Cow<'a, [u8]>>,
    /// How many fields stand after the request.
    pub fields: usize,
    /// Whether the last of them is in quotes, both of which are there: of any other the end may be missing.
    pub ends_in_quotes: bool,
}

/// Reads a line without its line break, or says why it can't.
pub(super) fn parse(line: &[u8]) -> Result<LogLine<'_>, &'static str> {
    let (before, time, rest) = split_at_time(line).ok_or_else(|| match line.contains(&b'[') {
        true => "no time like [17/May/2015:10:05:03 +0000]",
        false => "no time in brackets",
    })?;
    let (virtual_host, address) = parse_hosts(before)?;
    let time_seconds = parse_time(time)?;

    let rest = rest.strip_prefix(b" ").ok_or("no request in quotes")?;
    let (request, rest) = quoted(rest).ok_or("no request in quotes")?;
    let (status, rest) = split_token(rest);
    let status = match status {
        b"-" => None,
        [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            Some(u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'))
        }
        _ => return Err("no status of three digits after the request"),
    };
    let (bytes, rest) = split_token(rest);
    if bytes != b"-" && (bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit)) {
        return Err("no number of bytes after the status");
    }

    // Some formats put a number of their own between the bytes and the referrer.
    let mut rest = rest;
    let mut fields = 2;
    while !rest.is_empty() && rest.first() != Some(&b'"') {
        rest = split_token(rest).1;
        fields += 1;
    }
    let (mut referrer, mut user_agent) = (Cow::Borrowed(&b""[..]), None);
    let mut ends_in_quotes = false;
    if !rest.is_empty() {
        (referrer, rest) = quoted(rest).ok_or("the referrer's quote is not closed")?;
        fields += 1;
        ends_in_quotes = true;
        if rest.first() == Some(&b'"') {
            let (agent, after) = quoted(rest).ok_or("the user agent's quote is not closed")?;
            (user_agent, rest) = (Some(agent), after);
            fields += 1;
        }
    }
    while !rest.is_empty() {
        let field = quoted(rest);
        ends_in_quotes = field.is_some();
        rest = field.map_or_else(|| split_token(rest).1, |(_, after)| after);
        fields += 1;
    }
    Ok(LogLine {
        virtual_host,
        address,
        time_seconds,
        request,
        status,
        referrer: empty_if_missing(referrer),
        user_agent: user_agent.map(empty_if_missing),
        fields,
        ends_in_quotes,
    })
}

/// Cuts a line into what stands before the bracketed time, the time, and what follows.
///
/// The user's name before it may contain spaces and brackets, so the bracket that counts is the
/// first that holds something of a time's shape.
fn split_at_time(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut from = 0;
    while let Some(at) = line[from..].iter().position(|&byte| byte == b'[') {
        let open = from + at;
        let time = line.get(open + 1..open + 1 + TIME_LENGTH);
        let after = line.get(open + 1 + TIME_LENGTH);
        if let (Some(time), Some(b']')) = (time, after)
            && open > 0
            && line[open - 1] == b' '
            && (time[2], time[6], time[11]) == (b'/', b'/', b':')
        {
            return Some((&line[..open - 1], time, &line[open + 2 + TIME_LENGTH..]));
        }
        from = open + 1;
    }
    None
}

/// The virtual host, if one leads, and the address, of `[host[:port]] address ident user`.
fn parse_hosts(before: &[u8]) -> Result<(Option<&[u8]>, &[u8]), &'static str> {
    let (first, mut rest) = split_token(before);
    // A list of addresses that a proxy passed on (X-Forwarded-For): the first is the client.
    if let Some(client) = first.strip_suffix(b",") {
        let mut proxy = first;
        while proxy.ends_with(b",") {
            (proxy, rest) = split_token(rest);
        }
        let (identity, user) = split_token(rest);
        if client.is_empty() || identity.is_empty() || user.is_empty() {
            return Err("no address, identity and user before the time");
        }
        return Ok((None, without_socket_port(client)));
    }
    let (second, rest) = split_token(rest);
    let (third, fourth) = split_token(rest);
    if first.is_empty() || second.is_empty() || third.is_empty() {
        return Err("no address, identity and user before the time");
    }
    // A user's name may have spaces, so four words alone don't tell a virtual host. No user's name
    // begins with a word that is `-`: then that is the identity, and two stand before it. An identity
    // is never an address, and `name:port` is none either. Where the server looked names up, both
    // are names: then the second has a dot, which an identity hasn't.
    let identity_is_third = third == b"-" && (second != b"-" || fourth == b"-");
    let leads = !fourth.is_empty()
        && (identity_is_third
            || second != b"-"
                && (is_address(second)
                    || (!is_address(first) && (has_port(first) || second.contains(&b'.')))));
    if leads {
        let host = without_port(first);
        let host = (!host.is_empty() && host != b"-").then_some(host);
        return Ok((host, without_socket_port(second)));
    }
    Ok((None, without_socket_port(first)))
}

fn is_address(token: &[u8]) -> bool {
    str_of(token).is_some_and(|text| IpAddr::from_str(text).is_ok())
}

/// True for `name:443`, false for an IPv6 address.
fn has_port(token: &[u8]) -> bool {
    without_port(token).len() < token.len()
}

/// `example.com` of `example.com:443` and `[::1]` of `[::1]:443`.
pub(super) fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|&byte| byte == b':') else {
        return host;
    };
    let (name, port) = (&host[..colon], &host[colon + 1..]);
    let is_bare_ipv6 = name.contains(&b':') && name.last() != Some(&b']');
    let is_port = !port.is_empty() && port.iter().all(u8::is_ascii_digit);
    if is_port && !is_bare_ipv6 { name } else { host }
}

/// The address of `1.2.3.4:5678`, as some proxies log it: a port would make each connection a
/// person of its own.
fn without_socket_port(address: &[u8]) -> &[u8] {
    let is_socket = address.contains(&b':')
        && str_of(address).is_some_and(|text| SocketAddr::from_str(text).is_ok());
    if is_socket {
        without_port(address)
    } else {
        address
    }
}

fn str_of(token: &[u8]) -> Option<&str> {
    std::str::from_utf8(token).ok()
}

/// Seconds since 1970 of `17/May/2015:10:05:03 +0000`. A leap second counts as the one before it.
fn parse_time(time: &[u8]) -> Result<i64, &'static str> {
    const WRONG: &str = "no such time";
    let number = |from: usize, until: usize| -> Result<i16, &'static str> {
        time[from..until].iter().try_fold(0_i16, |sum, byte| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i16::from(byte - b'0'))
                .ok_or(WRONG)
        })
    };
    let small = |from: usize, until: usize| -> Result<i8, &'static str> {
        i8::try_from(number(from, until)?).map_err(|_| WRONG)
    };
    let separators = (time[14], time[17], time[20]);
    if separators != (b':', b':', b' ') {
        return Err(WRONG);
    }
    let month = month_of(&time[3..6]).ok_or(WRONG)?;
    let second = small(18, 20)?;
    let second = if second == 60 { 59 } else { second };
    let local = DateTime::new(
        number(7, 11)?,
        month,
        small(0, 2)?,
        small(12, 14)?,
        small(15, 17)?,
        second,
        0,
    )
    .map_err(|_| WRONG)?;
    let sign = match time[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return Err(WRONG),
    };
    let (hours, minutes) = (i32::from(small(22, 24)?), i32::from(small(24, 26)?));
    let offset = hours * 3600 + minutes * 60;
    if minutes > 59 || offset > MOST_OFFSET_SECONDS {
        return Err(WRONG);
    }
    Offset::from_seconds(sign * offset)
        .and_then(|offset| offset.to_timestamp(local))
        .map(|timestamp| timestamp.as_second())
        .map_err(|_| WRONG)
}

/// 1 to 12 of an English abbreviation, in any case.
fn month_of(name: &[u8]) -> Option<i8> {
    const MONTHS: [&[u8; 3]; 12] = [
        b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov",
        b"dec",
    ];
    (1..=12)
        .zip(MONTHS)
        .find_map(|(number, month)| name.eq_ignore_ascii_case(month).then_some(number))
}

/// The text up to the next space, and what follows that space.
fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (text, &[]),
    }
}

/// The field in quotes that `text` begins with, its escapes undone, and what follows it and a
/// space.
///
/// The closing quote is one that is not escaped and that a space or the end follows, so that a
/// server that doesn't escape quotes is read, too.
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut has_escape = false;
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'\\' => {
                has_escape = true;
                at += 2;
            }
            b'"' if matches!(text.get(at + 1), None | Some(b' ')) => break,
            _ => at += 1,
        }
    }
    let field = &text[..at];
    let rest = text.get(at + 2..).unwrap_or(&[]);
    let field = if has_escape {
        Cow::Owned(unescape(field))
    } else {
        Cow::Borrowed(field)
    };
    Some((field, rest))
}

/// Undoes the escapes of Apache and nginx: `\"`, `\\`, `\xNN` and the C escapes of white space.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let (unescaped, used) = match rest {
            [b'x', high, low, ..] => match (hex_digit(*high), hex_digit(*low)) {
                (Some(high), Some(low)) => (high * 16 + low, 3),
                _ => (b'\\', 0),
            },
            [b'n', ..] => (b'\n', 1),
            [b'r', ..] => (b'\r', 1),
            [b't', ..] => (b'\t', 1),
            [b'b', ..] => (0x08, 1),
            [b'v', ..] => (0x0b, 1),
            [quote @ (b'"' | b'\\'), ..] => (*quote, 1),
            _ => (b'\\', 0),
        };
        plain.push(unescaped);
        rest = &rest[used..];
    }
    plain
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// A server writes `-` where a client sent nothing.
fn empty_if_missing(field: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if *field == *b"-" {
        Cow::Borrowed(b"")
    } else {
        field
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const COMMON: &str = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 203023"#;

    fn read(line: &str) -> LogLine<'_> {
        parse(line.as_bytes()).unwrap_or_else(|reason| panic!("{reason}: {line}"))
    }

    fn reason(line: &str) -> &'static str {
        parse(line.as_bytes()).expect_err(line)
    }

    #[test]
    fn the_common_format_has_no_user_agent_and_the_combined_has() {
        let common = read(COMMON);
        assert_eq!(common.address, b"1.2.3.4");
        assert_eq!(common.time_seconds, 1_431_857_103);
        assert_eq!(*common.request, *b"GET /a HTTP/1.1");
        assert_eq!(common.status, Some(200));
        assert_eq!((&*common.referrer, common.user_agent), (&b""[..], None));
        let combined = format!(r#"{COMMON} "http://a.com/" "Mozilla/5.0 (X11)""#);
        assert_eq!(*read(&combined).referrer, *b"http://a.com/");
        assert_eq!(
            read(&combined).user_agent.as_deref(),
            Some(&b"Mozilla/5.0 (X11)"[..])
        );
        let missing = format!(r#"{COMMON} "-" "-""#);
        assert_eq!(*read(&missing).referrer, *b"");
        assert_eq!(read(&missing).user_agent.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn further_fields_are_ignored_before_and_after_the_quoted_ones() {
        for line in [
            format!(r#"{COMMON} "r" "agent" 0.003 "10.0.0.1, 10.0.0.2" host=a"#),
            format!(r#"{COMMON} 0.003 - "r" "agent" "-""#),
        ] {
            assert_eq!(
                read(&line).user_agent.as_deref(),
                Some(&b"agent"[..]),
                "{line}"
            );
        }
        assert_eq!(read(&format!("{COMMON} 4711")).user_agent, None);
    }

    #[test]
    fn the_fields_after_the_request_are_counted_a_quoted_one_as_one() {
        for (further, fields) in [
            ("", 2),
            (" 4711", 3),
            (r#" "r""#, 3),
            (r#" "r" "agent of words""#, 4),
            (r#" "r" "agent" 0.003 "10.0.0.1, 10.0.0.2" host=a"#, 7),
            // Not closed: its words.
            (r#" "r" "agent" "10.0.0.1, 10.0.0.2"#, 6),
        ] {
            assert_eq!(
                read(&format!("{COMMON}{further}")).fields,
                fields,
                "{further}"
            );
        }
    }

    #[test]
    fn a_leading_virtual_host_is_told_from_a_name_with_spaces() {
        let hosts = |before: &str| {
            let line = COMMON.replace("1.2.3.4 - -", before);
            let line = read(&line);
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (line.virtual_host.map(text), text(line.address))
        };
        let some = |host: &str, address: &str| (Some(host.to_owned()), address.to_owned());
        let none = |address: &str| (None, address.to_owned());
        assert_eq!(
            hosts("example.com:443 1.2.3.4 - -"),
            some("example.com", "1.2.3.4")
        );
        assert_eq!(
            hosts("example.com 1.2.3.4 - jo"),
            some("example.com", "1.2.3.4")
        );
        assert_eq!(
            hosts("example.com 2001:db8::1 - -"),
            some("example.com", "2001:db8::1")
        );
        assert_eq!(
            hosts("10.0.0.1:80 1.2.3.4 - -"),
            some("10.0.0.1", "1.2.3.4")
        );
        assert_eq!(hosts("[::1]:80 ::1 - -"), some("[::1]", "::1"));
        assert_eq!(hosts("a.com dsl.isp.net - -"), some("a.com", "dsl.isp.net"));
        for address in [
            "pc1",
            "localhost",
            "unknown",
            "my_host",
            "unix:",
            "fe80::1%eth0",
            "-",
        ] {
            let before = format!("ex.com {address} - -");
            assert_eq!(hosts(&before), some("ex.com", address), "{before}");
        }
        assert_eq!(hosts("intranet host7 - bob"), some("intranet", "host7"));
        assert_eq!(hosts("1.2.3.4 - jo doe"), none("1.2.3.4"));
        assert_eq!(hosts("pc1 - - bob"), none("pc1"));
        assert_eq!(hosts("- 1.2.3.4 - -"), none("1.2.3.4"));
        assert_eq!(hosts("1.2.3.4, 10.0.0.1 - -"), none("1.2.3.4"));
        assert_eq!(hosts("::1, 10.0.0.1, 10.0.0.2 - jo"), none("::1"));
        assert_eq!(hosts("2001:db8::1 - Mary Ann Lee"), none("2001:db8::1"));
        assert_eq!(hosts("1.2.3.4 - mary [at] home.org"), none("1.2.3.4"));
        assert_eq!(hosts("1.2.3.4 ident mary ann"), none("1.2.3.4"));
        assert_eq!(hosts("dsl.isp.net - -"), none("dsl.isp.net"));
        assert_eq!(hosts("1.2.3.4:5678 - -"), none("1.2.3.4"));
        assert_eq!(hosts("[2001:db8::1]:5678 - -"), none("[2001:db8::1]"));
        assert_eq!(hosts("unix: - -"), none("unix:"));
    }

    #[test]
    fn quotes_and_bytes_that_the_server_escaped_are_restored() {
        let line = format!(r#"{COMMON} "\"q\" \\ \x41\xff \t\z" "a \"b\" c""#);
        assert_eq!(*read(&line).referrer, *b"\"q\" \\ A\xff \t\\z");
        assert_eq!(read(&line).user_agent.as_deref(), Some(&b"a \"b\" c"[..]));
        let unescaped = format!(r#"{COMMON} "/"q"x" "a "b"c""#);
        assert_eq!(*read(&unescaped).referrer, *b"/\"q\"x");
    }

    #[test]
    fn whatever_a_client_sent_as_its_request_is_readable() {
        for request in [
            "-",
            "",
            r"\x16\x03\x01",
            "GET",
            "GET /a b c HTTP/1.1",
            "PRI * HTTP/2.0",
        ] {
            let line = COMMON.replace("GET /a HTTP/1.1", request);
            assert_eq!(read(&line).status, Some(200), "{line}");
        }
        assert_eq!(
            read(&COMMON.replace(" 200 203023", " 400 -")).status,
            Some(400)
        );
        assert_eq!(read(&COMMON.replace(" 200 203023", " - -")).status, None);
        assert_eq!(read(&COMMON.replace("/a", "/\0")).status, Some(200));
    }

    #[test]
    fn times_have_an_offset_and_a_calendar() {
        let at = |time: &str| {
            let line = COMMON.replace("17/May/2015:10:05:03 +0000", time);
            parse(line.as_bytes()).map(|line| line.time_seconds)
        };
        assert_eq!(at("17/MAY/2015:15:35:03 +0530"), Ok(1_431_857_103));
        assert_eq!(at("17/may/2015:02:05:03 -0800"), Ok(1_431_857_103));
        // The leap second at the end of 2016-12-31.
        assert_eq!(at("31/Dec/2016:23:59:60 +0000"), Ok(1_483_228_799));
        assert_eq!(at("29/Feb/2016:00:00:00 +0000"), Ok(1_456_704_000));
        for wrong in [
            "29/Feb/2015:00:00:00 +0000",
            "17/Mai/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:05:61 +0000",
            "17/May/2015:10:05:03 +0060",
            "17/May/2015:10:05:03 +1401",
            "17/May/2015:10:05:03 -1500",
            "17/May/2015:10:05:03 +9900",
            "17/May/2015:10:05:03  0000",
            "17/May/2015:10-05-03 +0000",
            "xx/May/2015:10:05:03 +0000",
        ] {
            assert_eq!(at(wrong), Err("no such time"), "{wrong}");
        }
        let otherwise = Err("no time like [17/May/2015:10:05:03 +0000]");
        assert_eq!(at("17/May/2015:10:05:03"), otherwise);
        assert_eq!(at("2015-05-17T10:05:03+00:00"), otherwise);
    }

    #[test]
    fn an_unreadable_line_says_what_is_missing() {
        assert_eq!(reason("hello"), "no time in brackets");
        let time = "[17/May/2015:10:05:03 +0000]";
        let no_hosts = "no address, identity and user before the time";
        assert_eq!(
            reason(&format!("1.2.3.4 - {time} \"GET /\" 200 1")),
            no_hosts
        );
        let start = format!("1.2.3.4 - - {time}");
        assert_eq!(reason(&start), "no request in quotes");
        assert_eq!(reason(&format!("{start} \"GET /")), "no request in quotes");
        let no_status = "no status of three digits after the request";
        assert_eq!(reason(&format!("{start} \"GET /\"")), no_status);
        assert_eq!(reason(&format!("{start} \"GET /\" 2000 1")), no_status);
        let no_bytes = "no number of bytes after the status";
        assert_eq!(reason(&format!("{start} \"GET /\" 200")), no_bytes);
        let open = "the user agent's quote is not closed";
        assert_eq!(reason(&format!("{COMMON} \"-\" \"Mozi")), open);
        assert_eq!(reason(&format!(r#"{COMMON} "-" "Mozi\""#)), open);
    }

    /// Escapes as Apache does (`ap_escape_logitem`).
    fn escape(field: &[u8]) -> String {
        let mut escaped = String::new();
        for &byte in field {
            match byte {
                b'"' | b'\\' => escaped.extend(['\\', char::from(byte)]),
                b' '..=b'~' => escaped.push(char::from(byte)),
                _ => escaped.push_str(&format!("\\x{byte:02x}")),
            }
        }
        escaped
    }

    /// Lines of every shape that is read, damaged in a few places by what means something to the parser.
    fn damaged_line() -> impl Strategy<Value = Vec<u8>> {
        let whole = prop::sample::select(vec![
            format!(r#"{COMMON} "http://a.com/" "Mozilla/5.0 (X11)""#),
            format!(r#"example.com:443 {COMMON} 0.003 - "r" "agent" "-""#),
            COMMON.replace("1.2.3.4 - -", "2001:db8::1, 10.0.0.1 - Mary [x] Lee"),
            COMMON.replace("GET /a", r#"\x16\"\\GET /\xff"#),
        ]);
        let part = prop_oneof![
            Just(Vec::new()),
            proptest::collection::vec(any::<u8>(), 1..3),
            proptest::collection::vec(prop::sample::select(b"\" [],\\-:/+\0x\n9".to_vec()), 1..4),
            prop::sample::select(vec![
                &b"[17/May/2015:10:05:03 +0000]"[..],
                b"31/Dec/9999:23:59:59 -2359",
                b"[::1]:80",
                b"\xff\xfe",
                b"\\",
                b"\\x",
                b"\\x4",
                b"\"",
                b"\" \"",
                b"99999999999999999999",
            ])
            .prop_map(<[u8]>::to_vec),
        ];
        let edit = (0_usize..200, 0_usize..12, part);
        (whole, proptest::collection::vec(edit, 1..4)).prop_map(|(line, edits)| {
            let mut line = line.into_bytes();
            for (at, removed, part) in edits {
                let from = at % (line.len() + 1);
                let until = (from + removed).min(line.len());
                line.splice(from..until, part);
            }
            line
        })
    }

    proptest! {
        #[test]
        fn a_damaged_line_is_read_as_a_request_or_refused(line in damaged_line()) {
            if let Ok(read) = parse(&line) {
                prop_assert!(!read.address.is_empty() && !read.address.contains(&b' '));
                prop_assert!(read.status.is_none_or(|status| status < 1000));
                // The years 0 to 9999, which is what four digits can say, and an offset.
                prop_assert!((-62_167_305_600..=253_402_387_200).contains(&read.time_seconds));
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&line);
        }

        #[test]
        fn no_damage_to_a_line_makes_the_parser_panic(at in 0_usize..120, byte: u8, cut in 0_usize..120) {
            let mut line = format!(r#"{COMMON} "http://a.com/" "Mozilla/5.0 (X11)""#).into_bytes();
            let at = at % line.len();
            line[at] = byte;
            let _ = parse(&line);
            let cut = cut % line.len();
            line.truncate(cut);
            let _ = parse(&line);
        }

        #[test]
        fn a_formatted_line_is_read_as_it_was(
            seconds in 0_i64..4_291_747_200,
            offset_minutes in -14 * 60..=14 * 60_i32,
            address in any::<IpAddr>(),
            user in "[a-z\\[][a-z \\[\\]\"]{0,9}",
            request in proptest::collection::vec(any::<u8>(), 0..40),
            status in 100_u16..600,
            referrer in proptest::collection::vec(any::<u8>(), 0..40),
            agent in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let offset = Offset::from_seconds(offset_minutes * 60).expect("under 26 hours");
            let local = offset.to_datetime(jiff::Timestamp::from_second(seconds).expect("in range"));
            let sign = if offset_minutes < 0 { '-' } else { '+' };
            let line = format!(
                "{address} - {user} [{} {sign}{:02}{:02}] \"{}\" {status} - \"{}\" \"{}\" 0.1",
                local.strftime("%d/%b/%Y:%H:%M:%S"),
                offset_minutes.abs() / 60,
                offset_minutes.abs() % 60,
                escape(&request),
                escape(&referrer),
                escape(&agent),
            );
            let missing = |field: &[u8]| if field == b"-" { Vec::new() } else { field.to_vec() };
            let expected = LogLine {
                virtual_host: None,
                address: address.to_string().into_bytes().leak(),
                time_seconds: seconds,
                request: Cow::Owned(request),
                status: Some(status),
                referrer: Cow::Owned(missing(&referrer)),
                user_agent: Some(Cow::Owned(missing(&agent))),
                fields: 5,
                ends_in_quotes: false,
            };
            prop_assert_eq!(parse(line.as_bytes()), Ok(expected));
        }
    }
}
