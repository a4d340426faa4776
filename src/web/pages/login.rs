//! The way in where a token is needed: it is kept in a cookie that no script can read.

use std::sync::Arc;

use axum::extract::State;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::asked::{Form, Query};
use super::frame::{Frame, Here, document};
use super::wants_page;
use crate::config;
use crate::web::Shared;
use crate::web::guard::{COOKIE, LOGIN};
use crate::web::problem::Problem;

/// What the form has: a token and where to go with it, or the wish to leave.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    token: String,
    to: String,
    leave: String,
}

/// The page that was asked for.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Wanted {
    to: String,
}

/// The login before a page.
pub fn before(page: &Uri) -> String {
    let wanted = page.path_and_query().map_or("/", PathAndQuery::as_str);
    match local(wanted) {
        "/" => LOGIN.to_owned(),
        to => {
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            let query = query.append_pair("to", to).finish();
            format!("{LOGIN}?{query}")
        }
    }
}

/// A page of this server, whatever a link to the login says: what browsers may take for another host's
/// address, with two slashes, a backslash or characters that they leave out, is not one.
fn local(to: &str) -> &str {
    let rest = to.strip_prefix('/');
    let is_local = rest.is_some_and(|rest| {
        !rest.starts_with('/') && rest.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
    });
    if is_local && !to.starts_with(LOGIN) {
        to
    } else {
        "/"
    }
}

pub async fn ask(State(shared): State<Arc<Shared>>, Query(wanted): Query<Wanted>) -> Response {
    let to = local(&wanted.to);
    if shared.guard.has_tokens() {
        form(StatusCode::OK, to, None)
    } else {
        Redirect::to(to).into_response()
    }
}

pub async fn take(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    Form(entry): Form<Entry>,
) -> Response {
    let is_secure = headers
        .get(header::ORIGIN)
        .is_some_and(|origin| origin.as_bytes().starts_with(b"https://"));
    let secure = if is_secure { "; Secure" } else { "" };
    let (to, cookie) = if entry.leave.is_empty() {
        let token = entry.token.trim();
        let is_known = shared.guard.access(token).is_some();
        match HeaderValue::try_from(format!(
            "{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}"
        )) {
            Ok(cookie) if is_known => (local(&entry.to), cookie),
            _ => {
                let why = "The token is not one of those known.";
                if wants_page(&headers) {
                    return form(StatusCode::UNAUTHORIZED, local(&entry.to), Some(why));
                }
                return Problem::new(StatusCode::UNAUTHORIZED, why).into_response();
            }
        }
    } else {
        let gone = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
        (
            LOGIN,
            HeaderValue::try_from(gone).unwrap_or(HeaderValue::from_static("")),
        )
    };
    let mut response = Redirect::to(to).into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

fn form(status: StatusCode, to: &str, wrong: Option<&str>) -> Response {
    let frame = Frame {
        title: "Log in",
        here: Here::Elsewhere,
        every: None,
        events: None,
    };
    let content = html! {
        section.login {
            h1 { "Log in" }
            p { "Tokens are configured here, so prefill asks for one: of those in "
                code { "token_file" } " or " code { "read_only_token_file" } " under " code { "[http]" }
                ", or in " code { (config::TOKEN_VARIABLE) } " or " code { (config::READ_ONLY_TOKEN_VARIABLE) } "." }
            @if let Some(wrong) = wrong { p #wrong.note.bad role="alert" { (wrong) } }
            form action=(LOGIN) method="post" {
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password" autofocus
                    aria-describedby=[wrong.map(|_| "wrong")] aria-invalid=[wrong.map(|_| "true")];
                @if to != "/" { input type="hidden" name="to" value=(to); }
                button type="submit" { "Log in" }
            }
        }
    };
    (status, Html(document(None, &frame, &content).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_this_server_are_gone_to() {
        for page in ["/", "/teams/1", "/teams?q=a%20b&page=2", "/runs?after=x"] {
            assert_eq!(local(page), page);
        }
        for elsewhere in [
            "",
            "teams",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /teams",
            "https://evil.example/",
            "javascript:alert(1)",
            "/teams\\..\\..",
            "/login?to=/login",
        ] {
            assert_eq!(local(elsewhere), "/", "{elsewhere:?}");
        }
        let uri = Uri::from_static("/teams?q=a&page=2");
        assert_eq!(before(&uri), "/login?to=%2Fteams%3Fq%3Da%26page%3D2");
        assert_eq!(before(&Uri::from_static("/")), "/login");
    }
}
