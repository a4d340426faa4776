//! The way in where a token is needed: it is kept in a cookie that no script can read.

use std::sync::Arc;

use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use maud::html;
use serde::Deserialize;

use super::frame::{Frame, Here, document};
use super::wants_page;
use crate::web::Shared;
use crate::web::guard::{COOKIE, LOGIN};
use crate::web::problem::Problem;

/// What the form has: a token, or the wish to leave.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Entry {
    token: String,
    leave: String,
}

pub async fn ask(State(shared): State<Arc<Shared>>) -> Response {
    if shared.guard.has_tokens() {
        form(StatusCode::OK, None)
    } else {
        Redirect::to("/").into_response()
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
            Ok(cookie) if is_known => ("/", cookie),
            _ => {
                let why = "The token is not one of those known.";
                if wants_page(&headers) {
                    return form(StatusCode::UNAUTHORIZED, Some(why));
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

fn form(status: StatusCode, wrong: Option<&str>) -> Response {
    let frame = Frame {
        title: "Log in",
        here: Here::Elsewhere,
        every: None,
        events: None,
    };
    let content = html! {
        section.login {
            h1 { "Log in" }
            p { "prefill can be reached from other machines here, so it asks for a token: one of those in "
                code { "token_file" } " or " code { "read_only_token_file" } " under " code { "[http]" }
                ", or in " code { "PREFILL_HTTP_TOKEN" } "." }
            @if let Some(wrong) = wrong { p #wrong.note.bad role="alert" { (wrong) } }
            form action=(LOGIN) method="post" {
                label for="token" { "Token" }
                input #token type="password" name="token" required autocomplete="current-password" autofocus
                    aria-describedby=[wrong.map(|_| "wrong")] aria-invalid=[wrong.map(|_| "true")];
                button type="submit" { "Log in" }
            }
        }
    };
    (status, Html(document(None, &frame, &content).into_string())).into_response()
}
