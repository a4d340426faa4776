//! A partition that is not a claim's own, while it is replaced or rows are deleted from it: no claim and no cleanup gets
//! in there.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::error::{Class, Error, Result};
use crate::ledger::Ledger;

pub(super) struct Hold<'a> {
    pub ledger: &'a Ledger,
    pub warehouse: &'a str,
    pub partition: i64,
    pub owner: String,
    pub lease: Duration,
}

impl Hold<'_> {
    /// Takes hold of it, unless somebody else has it or a fill is under way there.
    pub async fn take(&self) -> Result<bool> {
        let (ledger, warehouse, partition) = (self.ledger, self.warehouse, self.partition);
        // Who comes in vain is in nobody's way.
        if ledger.runs_in(warehouse, partition).await? {
            return Ok(false);
        }
        if !ledger
            .hold(warehouse, partition, &self.owner, self.lease)
            .await?
        {
            return Ok(false);
        }
        // Whoever claims from here on sees the hold.
        let is_free = !ledger.runs_in(warehouse, partition).await?;
        if !is_free {
            ledger.let_go(&self.owner).await?;
        }
        Ok(is_free)
    }

    /// Whether nobody else can have had it since it was taken.
    pub async fn is_kept(&self) -> Result<bool> {
        Ok(self.ledger.renew_holds(&self.owner, self.lease).await? > 0)
    }

    /// Does something while it is taken, and lets go of it.
    pub async fn during(&self, work: impl Future<Output = Result<()>>) -> Result<()> {
        let done = tokio::select! {
            done = work => done,
            () = self.keep() => Err(Error::new(
                Class::Later,
                format!("the hold on partition {} was lost", self.partition),
            )),
        };
        let let_go = self.ledger.let_go(&self.owner).await;
        done?;
        let_go
    }

    /// Renews it until it is lost.
    async fn keep(&self) {
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(self.lease / 4).await;
            let asked = Instant::now();
            match self.is_kept().await {
                Ok(true) => since = asked,
                Ok(false) => return,
                Err(error) => {
                    warn!(
                        error = error.chain(),
                        "could not renew the hold on a partition"
                    );
                    if since.elapsed() > self.lease / 2 {
                        return;
                    }
                }
            }
        }
    }
}
