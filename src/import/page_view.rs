//! Which requests are page views, and what their target, query and referrer say.
//!
//! A page view is a GET with a status from 200 to 399 whose path, without query and fragment, has a
//! last segment without an asset's extension. `pathname` is the path as it was requested: percent
//! encoding stays as it is, which is what a browser's `location.pathname` gives, too.

use std::borrow::Cow;

use crate::event::Event;

use super::log_line::without_port;

/// Extensions of what a page loads, in any case.
const ASSETS: &str = " avif avi bmp css eot gif gz ico jpeg jpg js json map mjs mov mp3 mp4 mpeg \
    mpg ogg otf pdf png rss svg tar tgz ttf txt wasm wav webm webp woff woff2 xbm xml zip ";

/// The referring domain of a visit without a (readable) referrer, as PostHog has it.
pub(super) const DIRECT: &str = "$direct";

/// Why a request is not a page view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotAPage {
    NotGet,
    BadStatus,
    Asset,
}

/// What was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The host of an absolute target, `GET http://host/path`; else empty.
    pub host: &'a [u8],
    pub path: &'a [u8],
    /// Without the question mark.
    pub query: &'a [u8],
}

/// The target of a page view, given the request line `GET /path HTTP/1.1`.
pub(super) fn page_view(request: &[u8], status: Option<u16>) -> Result<Target<'_>, NotAPage> {
    let target = request.strip_prefix(b"GET ").ok_or(NotAPage::NotGet)?;
    // HTTP/0.9 has no protocol after the target, and a target may have spaces in it.
    let target = match target.iter().rposition(|&byte| byte == b' ') {
        Some(space) if target[space + 1..].starts_with(b"HTTP/") => &target[..space],
        _ => target,
    };
    if !status.is_some_and(|status| (200..400).contains(&status)) {
        return Err(NotAPage::BadStatus);
    }
    // What a browser asks for has a path.
    if target.is_empty() {
        return Err(NotAPage::NotGet);
    }
    let target = split_target(target);
    if is_asset(target.path) {
        return Err(NotAPage::Asset);
    }
    Ok(target)
}

fn split_target(target: &[u8]) -> Target<'_> {
    let (host, target) = match after_scheme(target) {
        Some(rest) if !target.starts_with(b"/") => {
            let end = end_of_authority(rest);
            (host_of_authority(&rest[..end]), &rest[end..])
        }
        _ => (&b""[..], target),
    };
    let end = target.iter().position(|&byte| byte == b'#');
    let target = &target[..end.unwrap_or(target.len())];
    let (path, query) = match target.iter().position(|&byte| byte == b'?') {
        Some(mark) => (&target[..mark], &target[mark + 1..]),
        None => (target, &b""[..]),
    };
    let path = if path.is_empty() && !host.is_empty() {
        b"/"
    } else {
        path
    };
    Target { host, path, query }
}

/// True when the last segment of a path has an asset's extension.
fn is_asset(path: &[u8]) -> bool {
    let segment = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let Some(dot) = segment.iter().rposition(|&byte| byte == b'.') else {
        return false;
    };
    let extension = &segment[dot + 1..];
    !extension.is_empty()
        && ASSETS
            .split_ascii_whitespace()
            .any(|asset| extension.eq_ignore_ascii_case(asset.as_bytes()))
}

/// What follows `scheme://`.
fn after_scheme(url: &[u8]) -> Option<&[u8]> {
    let colon = url.iter().position(|&byte| byte == b':')?;
    let is_scheme = url.first().is_some_and(u8::is_ascii_alphabetic)
        && url[..colon]
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    if is_scheme {
        url[colon..].strip_prefix(b"://")
    } else {
        None
    }
}

fn end_of_authority(rest: &[u8]) -> usize {
    let end = rest.iter().position(|byte| b"/?#".contains(byte));
    end.unwrap_or(rest.len())
}

/// `host` of `user:password@host:port`.
fn host_of_authority(authority: &[u8]) -> &[u8] {
    let at = authority.iter().rposition(|&byte| byte == b'@');
    without_port(&authority[at.map_or(0, |at| at + 1)..])
}

/// The referrer's host in lower case without its port; `$direct` where there is none to be read.
pub(super) fn referring_domain(referrer: &[u8]) -> Cow<'static, str> {
    let host = after_scheme(referrer)
        .map(|rest| host_of_authority(&rest[..end_of_authority(rest)]))
        .and_then(|host| std::str::from_utf8(host).ok())
        .filter(|host| !host.is_empty())
        .filter(|host| !host.chars().any(|c| c.is_whitespace() || c.is_control()));
    host.map_or(Cow::Borrowed(DIRECT), |host| {
        Cow::Owned(host.to_lowercase())
    })
}

/// Fills the campaign and the click ids from the query string; where a parameter comes twice the
/// first counts.
pub(super) fn fill_campaign(event: &mut Event, query: &[u8]) {
    let mut filled: Vec<Cow<'_, str>> = Vec::new();
    for (name, value) in url::form_urlencoded::parse(query) {
        let field = match &*name {
            "utm_source" => &mut event.utm_source,
            "utm_medium" => &mut event.utm_medium,
            "utm_campaign" => &mut event.utm_campaign,
            "utm_term" => &mut event.utm_term,
            "utm_content" => &mut event.utm_content,
            "gclid" => &mut event.gclid,
            "gad_source" => &mut event.gad_source,
            "fbclid" => &mut event.fbclid,
            _ => continue,
        };
        if !filled.contains(&name) {
            *field = value.into_owned();
            filled.push(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path_of(request: &str) -> Result<String, NotAPage> {
        page_view(request.as_bytes(), Some(200))
            .map(|target| String::from_utf8_lossy(target.path).into_owned())
    }

    #[test]
    fn a_page_view_is_a_get_with_a_good_status() {
        let at = |status| page_view(b"GET / HTTP/1.1", status).err();
        assert_eq!([200, 304, 399].map(|status| at(Some(status))), [None; 3]);
        assert_eq!(
            [Some(199), Some(400), Some(500), Some(0), None].map(at),
            [Some(NotAPage::BadStatus); 5]
        );
        for request in [
            "POST / HTTP/1.1",
            "HEAD / HTTP/1.1",
            "get / HTTP/1.1",
            "-",
            "",
            "GET",
            "GET ",
            "GET  HTTP/1.1",
            "\u{16}\u{3}",
        ] {
            assert_eq!(path_of(request), Err(NotAPage::NotGet), "{request}");
        }
    }

    #[test]
    fn the_last_segment_decides_what_is_an_asset() {
        for asset in [
            "/a.css",
            "/a.CSS",
            "/a.b.Js",
            "/.txt",
            "/a/b.woff2?v=1",
            "/robots.txt#x",
            "/a.tar.gz",
            "/x?y/../z.png/../../a.png#",
            "http://h.com/a.png",
        ] {
            let request = format!("GET {asset} HTTP/1.1");
            let is_page = asset.starts_with("/x?");
            assert_eq!(path_of(&request).is_ok(), is_page, "{asset}");
        }
        for page in [
            "/",
            "/a.html",
            "/a.css/",
            "/a.css/b",
            "/css",
            "/a.",
            "/a.cssx",
            "/a.c",
            "/a?b=c.css",
            "//a",
            "/a%2ecss",
            "/a.woff2.php",
        ] {
            let request = format!("GET {page} HTTP/1.1");
            assert!(path_of(&request).is_ok(), "{page}");
        }
    }

    #[test]
    fn targets_come_in_several_forms() {
        let target = |request: &'static str| {
            let target = page_view(request.as_bytes(), Some(200)).expect(request);
            let text = |bytes| std::str::from_utf8(bytes).expect("ASCII");
            (text(target.host), text(target.path), text(target.query))
        };
        assert_eq!(target("GET /a?b=1&c#d HTTP/1.1"), ("", "/a", "b=1&c"));
        assert_eq!(target("GET /a#d?b=1 HTTP/1.1"), ("", "/a", ""));
        assert_eq!(target("GET /a"), ("", "/a", ""));
        assert_eq!(target("GET /a b HTTP/1.0"), ("", "/a b", ""));
        assert_eq!(target("GET //a//b HTTP/1.1"), ("", "//a//b", ""));
        assert_eq!(target("GET /%C3%BC HTTP/1.1"), ("", "/%C3%BC", ""));
        assert_eq!(
            target("GET http://A.com:80/b?c HTTP/1.1"),
            ("A.com", "/b", "c")
        );
        assert_eq!(target("GET HTTPS://u:p@a.com HTTP/1.1"), ("a.com", "/", ""));
        assert_eq!(
            target("GET /r?u=http://b.com/ HTTP/1.1"),
            ("", "/r", "u=http://b.com/")
        );
        assert_eq!(
            target("GET /http://b.com/ HTTP/1.1"),
            ("", "/http://b.com/", "")
        );
        assert_eq!(target("GET a?b HTTP/1.1"), ("", "a", "b"));
    }

    #[test]
    fn the_referring_domain_is_the_host_in_lower_case_or_direct() {
        for (referrer, domain) in [
            ("http://www.Google.com/search?q=a", "www.google.com"),
            ("https://a.com:8080", "a.com"),
            ("https://u@a.com?x", "a.com"),
            ("http://[::1]:80/", "[::1]"),
            (
                "android-app://com.google.android.gm/",
                "com.google.android.gm",
            ),
            ("", DIRECT),
            ("a.com/x", DIRECT),
            ("/x?y=http://a.com", DIRECT),
            ("http://", DIRECT),
            ("http:///x", DIRECT),
            ("http://a b.com/", DIRECT),
            ("about:blank", DIRECT),
        ] {
            assert_eq!(referring_domain(referrer.as_bytes()), domain, "{referrer}");
        }
    }

    #[test]
    fn the_first_of_a_repeated_campaign_parameter_counts() {
        let mut event = Event::default();
        fill_campaign(
            &mut event,
            b"x=1&utm_source=a+b%21&utm_source=c&gclid=&gclid=d&fbclid=%FF&UTM_TERM=e&utm_term",
        );
        assert_eq!(event.utm_source, "a b!");
        assert_eq!(event.gclid, "");
        assert_eq!(event.fbclid, "\u{fffd}");
        assert_eq!(event.utm_term, "");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            request in proptest::collection::vec(any::<u8>(), 0..100),
            referrer in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut get = b"GET ".to_vec();
            get.extend(&request);
            if let Ok(target) = page_view(&get, Some(200)) {
                fill_campaign(&mut Event::default(), target.query);
            }
            referring_domain(&referrer);
        }
    }
}
