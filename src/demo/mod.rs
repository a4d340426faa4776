//! What `prefill demo` shows.

pub mod site;

use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::error::Result;
use crate::service::Place;

pub async fn run(_place: &Place, _config: &Config, _json: bool, _serve: bool, _stop: &CancellationToken) -> Result<()> {
    Ok(())
}
