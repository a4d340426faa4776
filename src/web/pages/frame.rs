//! What is around every page: head, navigation, and where the script says what changed.

use maud::{DOCTYPE, Markup, html};

use super::Viewer;
use super::assets::{ICON, SCRIPT, STYLE};
use crate::web::guard::{Access, LOGIN};

/// The part of the dashboard that a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Here {
    Overview,
    Teams,
    Runs,
    Elsewhere,
}

/// A page without its content.
pub struct Frame<'a> {
    pub title: &'a str,
    pub here: Here,
    /// After so many seconds the script asks for the page again.
    pub every: Option<u32>,
    /// The stream whose events tell the script to ask for it at once.
    pub events: Option<&'a str>,
}

/// The whole page; `viewer` is nothing where it is not known who asks.
pub fn document(viewer: Option<Viewer>, frame: &Frame<'_>, content: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " · prefill" }
                link rel="icon" href=(ICON.url());
                link rel="stylesheet" href=(STYLE.url());
                script src=(SCRIPT.url()) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/" { img src=(ICON.url()) alt="" width="24" height="24"; "prefill" }
                    nav aria-label="Main" {
                        ul {
                            @for (here, path, name) in [
                                (Here::Overview, "/", "Overview"),
                                (Here::Teams, "/teams", "Teams"),
                                (Here::Runs, "/runs", "Runs"),
                            ] {
                                li {
                                    a href=(path) aria-current=[(here == frame.here).then_some("page")] { (name) }
                                }
                            }
                        }
                    }
                    @if let Some(viewer) = viewer {
                        form.find role="search" action="/teams" method="get" {
                            label.unseen for="find" { "Find a team by name or id" }
                            input #find type="search" name="q" placeholder="Team name or id" autocomplete="off";
                            button type="submit" { "Find" }
                        }
                        @if viewer.access == Access::ReadOnly {
                            span.tag { "read only" }
                        }
                        @if viewer.has_token {
                            form action=(LOGIN) method="post" {
                                button.quiet type="submit" name="leave" value="1" { "Log out" }
                            }
                        }
                    }
                }
                main #main tabindex="-1" data-every=[frame.every] data-events=[frame.events] { (content) }
                p #said.unseen role="status" {}
                p #offline.offline role="alert" hidden { "prefill does not answer: what is shown may be old. It is tried again." }
            }
        }
    }
}
