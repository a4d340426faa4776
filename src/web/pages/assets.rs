//! Style, script and icon: files of the repository that are in the binary. Each is named with what is in
//! it, so a browser keeps it for good and asks for the new one after an upgrade.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};

use super::super::problem::{Problem, no_such_route};
use super::asked::Path;

/// Where they are: without a token, because the page that asks for one needs them.
pub const PATH: &str = "/assets/";

/// A file.
pub struct Asset {
    name: &'static str,
    kind: &'static str,
    text: &'static str,
}

pub const STYLE: Asset = Asset {
    name: "prefill.css",
    kind: "text/css; charset=utf-8",
    text: include_str!("assets/prefill.css"),
};
pub const SCRIPT: Asset = Asset {
    name: "prefill.js",
    kind: "text/javascript; charset=utf-8",
    text: include_str!("assets/prefill.js"),
};
pub const ICON: Asset = Asset {
    name: "prefill.svg",
    kind: "image/svg+xml",
    text: include_str!("assets/prefill.svg"),
};
const ALL: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];

static DIGESTS: LazyLock<[String; 3]> = LazyLock::new(|| {
    ALL.map(|asset| {
        let sum = Sha256::digest(asset.text.as_bytes());
        sum.iter().take(8).fold(String::new(), |mut text, byte| {
            // Writing to a string never fails.
            _ = write!(text, "{byte:02x}");
            text
        })
    })
});

impl Asset {
    /// Its address, which changes with it.
    pub fn url(&self) -> String {
        format!("{PATH}{}?v={}", self.name, self.digest())
    }

    fn digest(&self) -> &'static str {
        let digests = ALL.iter().zip(DIGESTS.iter());
        let mut named = digests.filter(|(asset, _)| asset.name == self.name);
        named.next().map_or("", |(_, digest)| digest)
    }
}

pub async fn asset(
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Some(asset) = ALL.into_iter().find(|asset| asset.name == name) else {
        return Err(no_such_route(uri).await);
    };
    let tag = format!("\"{}\"", asset.digest());
    let kept = match uri.query() {
        Some(query) if query == format!("v={}", asset.digest()) => {
            "public, max-age=31536000, immutable"
        }
        _ => "no-cache",
    };
    let about = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, kept.to_owned()),
    ];
    let known = headers.get(header::IF_NONE_MATCH);
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    Ok((about, [(header::CONTENT_TYPE, asset.kind)], asset.text).into_response())
}
