//! What `prefill demo` shows.

pub mod site;
