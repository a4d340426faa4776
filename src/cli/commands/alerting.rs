//! Whether alerts arrive.

use jiff::Timestamp;
use serde_json::json;

use crate::alert;
use crate::cli::{Ended, Surroundings};
use crate::error::Result;
use crate::output::{self, line};

pub(super) async fn test(to: Surroundings) -> Result<Ended> {
    let tested = alert::test(&to.config, Timestamp::now()).await?;
    if to.json {
        output::json(&json!({ "receivers": tested }))?;
    } else {
        for one in &tested {
            let taken = if one.taken { "taken" } else { "not taken" };
            line(format!(
                "{} ({}): {taken}: {}",
                one.receiver, one.host, one.answer
            ));
        }
    }
    Ok(match tested.iter().all(|one| one.taken) {
        true => Ended::Well,
        false => Ended::Badly,
    })
}
