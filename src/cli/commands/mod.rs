//! What each command does, in the order of the help. The work is in the modules above; here it is
//! put together and told.

mod alerting;
pub(super) mod describing;
mod explaining;
mod filling;
mod importing;
mod looking;
mod running;
mod stopping;
mod teams;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::cli::arguments::{Alerts, Command, Import, Team};

use crate::cli::{Ended, Surroundings};
use crate::error::{Class, Error, Result};
use crate::ledger::Ledger;
use crate::service::{Prefill, open_ledger};

pub(super) async fn run(to: Surroundings, command: Command) -> Result<Ended> {
    match command {
        Command::Serve => running::serve(to).await,
        Command::List => looking::list(to).await,
        Command::Team(Team::Add(team)) => teams::team_add(to, team).await,
        Command::Team(Team::Set(team)) => teams::team_set(to, team).await,
        Command::Team(Team::List) => teams::team_list(to).await,
        Command::Enable(team) => teams::enable(to, team.team_id, true).await,
        Command::Disable(team) => teams::enable(to, team.team_id, false).await,
        Command::Backfill(asked) => filling::backfill(to, asked).await,
        Command::Validate(asked) => {
            until_told(&to.stop.clone(), looking::validate(to, asked)).await
        }
        Command::Cleanup(asked) => filling::cleanup(to, asked).await,
        Command::Status(asked) => looking::status(to, asked).await,
        Command::Explain(asked) => {
            until_told(&to.stop.clone(), explaining::explain(to, asked)).await
        }
        Command::Pause(which) => stopping::pause(to, which).await,
        Command::Resume(which) => stopping::resume(to, which).await,
        Command::Cancel(which) => stopping::cancel(to, which).await,
        Command::Retry(which) => stopping::retry(to, which).await,
        Command::Health => until_told(&to.stop.clone(), looking::health(to)).await,
        Command::Metrics(asked) => until_told(&to.stop.clone(), looking::metrics(to, asked)).await,
        Command::Alerts(Alerts::Test) => until_told(&to.stop.clone(), alerting::test(to)).await,
        Command::Import(Import::AccessLog(asked)) => importing::import_access_log(to, asked).await,
        Command::Import(Import::Jsonl(asked)) => importing::import_jsonl(to, asked).await,
        Command::Query(asked) => running::query(to, asked).await,
        Command::Migrate(asked) => running::migrate(to, asked).await,
        Command::Demo(asked) => running::demo_site(to, asked).await,
        Command::Engine(asked) => running::engine_process(to, asked).await,
    }
}

/// Ends what only reads at the first Ctrl-C; what writes sees to it that it stops in good order.
async fn until_told<T>(
    stop: &CancellationToken,
    reading: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        read = reading => read,
        () = stop.cancelled() => Err(told_to_stop("nothing was changed: run the same command again")),
    }
}

fn told_to_stop(hint: &str) -> Error {
    Error::new(Class::Lost, "told to stop").hint(hint)
}

async fn open(to: &Surroundings) -> Result<Prefill> {
    Prefill::open(&to.place, to.config.clone()).await
}

/// As [`open`], for a command that has no need of tables which are not there.
async fn open_as_it_is(to: &Surroundings) -> Result<Prefill> {
    Ok(open(to).await?.without_remaking())
}

async fn ledger(to: &Surroundings) -> Result<Ledger> {
    open_ledger(&to.place.data_dir, &to.config).await
}

fn task_id(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| {
        Error::misuse(format!("{text:?} is no task id"))
            .hint("run prefill status to see the latest ones")
    })
}
