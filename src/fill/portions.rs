//! What of a claim is filled together, by how many events it has.

use std::collections::BTreeMap;

use clickhouse::Row;
use serde::Deserialize;

use crate::error::Result;
use crate::ledger::{Claim, Claimed};
use crate::rollup::{Tables, sql};
use crate::warehouse::Warehouse;

/// So many events, or those of one team, are read for at once.
const MOST_EVENTS: u64 = 1_000_000;

#[derive(Row, Deserialize)]
struct EventsOf {
    team_id: i64,
    events: u64,
}

/// The slices of a claim, in the portions that are filled one after the other, the small teams first: a
/// team with many events is alone, and the others do not wait for it.
///
/// # Errors
///
/// As the warehouse's errors are classed.
pub async fn portions(
    warehouse: &Warehouse,
    tables: &Tables,
    claim: &Claim,
) -> Result<Vec<Vec<Claimed>>> {
    let [first, _, ..] = claim.slices.as_slice() else {
        return Ok(vec![claim.slices.clone()]);
    };
    let ids: Vec<i64> = claim.slices.iter().map(|slice| slice.team_id.0).collect();
    let comment = claim.comment();
    let rows = warehouse
        .statement(&tables.render(sql::WEIGH, &[]), &comment)
        .param("teams", ids)
        .param("from_us", first.bounds.from.as_microsecond())
        .param("until_us", first.bounds.until.as_microsecond())
        .rows::<EventsOf>("see how many events each team has")
        .await?;
    let events: BTreeMap<i64, u64> = rows
        .into_iter()
        .map(|row| (row.team_id, row.events))
        .collect();
    let weight = |slice: &Claimed| events.get(&slice.team_id.0).copied().unwrap_or_default();
    Ok(shared(claim.slices.clone(), weight))
}

/// Slices in portions of at most [`MOST_EVENTS`] by their weights, or of one.
fn shared(mut slices: Vec<Claimed>, weight: impl Fn(&Claimed) -> u64) -> Vec<Vec<Claimed>> {
    slices.sort_by_key(|slice| (weight(slice), slice.team_id));
    let mut portions: Vec<Vec<Claimed>> = Vec::new();
    let mut room = 0;
    for slice in slices {
        let needed = weight(&slice);
        match portions.last_mut() {
            Some(portion) if needed <= room => {
                room -= needed;
                portion.push(slice);
            }
            _ => {
                room = MOST_EVENTS.saturating_sub(needed);
                portions.push(vec![slice]);
            }
        }
    }
    portions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::{Bounds, TeamId};

    fn slice(team: i64) -> Claimed {
        Claimed {
            team_id: TeamId(team),
            day: "2026-05-01".parse().expect("a date"),
            timezone: "UTC".to_owned(),
            bounds: Bounds {
                from: "2026-05-01T00:00:00Z".parse().expect("an instant"),
                until: "2026-05-02T00:00:00Z".parse().expect("an instant"),
            },
            partition: 20_260_501,
            fence: 1,
            attempts: 1,
            pieces: 1,
            is_wider: false,
            reason: "requested".to_owned(),
            left_bucket: None,
        }
    }

    /// The teams of the portions, those of `events` being 1, 2 and so on.
    fn portions_of(events: &[u64]) -> Vec<Vec<i64>> {
        let slices = (1..).zip(events).map(|(team, _)| slice(team)).collect();
        let weight = |slice: &Claimed| events[usize::try_from(slice.team_id.0 - 1).expect("small")];
        let teams = |portion: Vec<Claimed>| portion.iter().map(|slice| slice.team_id.0).collect();
        shared(slices, weight).into_iter().map(teams).collect()
    }

    #[test]
    fn small_teams_share_a_portion_and_come_before_a_big_one() {
        assert_eq!(portions_of(&[]), Vec::<Vec<i64>>::new());
        assert_eq!(portions_of(&[0, 0, 0]), [[1, 2, 3]]);
        assert_eq!(
            portions_of(&[MOST_EVENTS * 30, 7, 0, MOST_EVENTS - 7]),
            [vec![3, 2, 4], vec![1]]
        );
        // What is more than a portion is alone, and none is empty.
        let big = MOST_EVENTS + 1;
        assert_eq!(portions_of(&[big, big]), [[1], [2]]);
        assert_eq!(
            portions_of(&[MOST_EVENTS / 2, 1, MOST_EVENTS / 2]),
            [vec![2, 1], vec![3]]
        );
    }
}
