//! How an import names persons and events: by what their lines say, so that importing twice, or a
//! longer version of a file, gives the same names.

use sha1::{Digest as _, Sha1};
use uuid::{Builder, Uuid};

/// Names persons by address and user agent. Chosen at random; changing it renames everybody.
pub const PERSON_NAMESPACE: Uuid = Uuid::from_u128(0x8d3c_55a6_8b0e_4f0e_9a53_4e8c_1f27_0d61);
/// Names persons by team and distinct id where a line of JSON names none. Chosen at random.
pub const DISTINCT_ID_NAMESPACE: Uuid = Uuid::from_u128(0x5a1e_c7d2_93b4_4d6f_8c20_6fb1_e4a9_0d37);
/// Names events by team and line. Chosen at random; changing it imports every file a second time.
pub const EVENT_NAMESPACE: Uuid = Uuid::from_u128(0x2f6b_9d04_61c7_4b8a_b5f9_d3a0_7ce1_94b8);

/// The version-5 UUID of a name, given in parts. `Uuid::new_v5` wants it in one piece, and its SHA-1
/// does not use the processor's own instructions: it was a fifth of the reading of a log (perf, a
/// million lines, 2026-11-24).
pub(super) fn named(namespace: &Uuid, name: &[&[u8]]) -> Uuid {
    let mut hash = Sha1::new();
    hash.update(namespace.as_bytes());
    for part in name {
        hash.update(part);
    }
    let hash: [u8; 20] = hash.finalize().into();
    let [first @ .., _, _, _, _] = hash;
    Builder::from_sha1_bytes(first).into_uuid()
}

/// The person who has this address and user agent: the version-5 UUID of both, a line each.
pub(super) fn person_of_client(address: &[u8], user_agent: &[u8]) -> Uuid {
    named(&PERSON_NAMESPACE, &[address, b"\n", user_agent])
}

/// The person who has this distinct id in a team.
pub(super) fn person_of_distinct_id(team_id: i64, distinct_id: &str) -> Uuid {
    let team = team_id.to_string();
    let name = [team.as_bytes(), b"\n", distinct_id.as_bytes()];
    named(&DISTINCT_ID_NAMESPACE, &name)
}

/// The event of a line, given without its line break.
pub(super) fn event_of_line(team_id: i64, line: &[u8]) -> Uuid {
    let team = team_id.to_string();
    named(&EVENT_NAMESPACE, &[team.as_bytes(), b"\n", line])
}

/// The event of a line that an input had `before` times already; `first` is that of the first.
pub(super) fn event_of_repeated_line(first: Uuid, before: u32) -> Uuid {
    match before {
        0 => first,
        _ => named(&first, &[&before.to_be_bytes()]),
    }
}

/// The event under a name that is in order of time: a version-7 UUID (RFC 9562, section 5.7) of its
/// second, of its place among its person's events of that second, and of `event`'s last 62 bits.
///
/// A log has whole seconds; so of two events of a session at the same instant, the one with the
/// smaller uuid is the one whose line is first.
pub(super) fn in_order(event: Uuid, seconds: u32, place: u32) -> Uuid {
    let milliseconds = u128::from(seconds) * 1_000;
    let rest = event.as_u128() & ((1 << 62) - 1);
    // Twelve bits are the place; beyond 4,094 page views of one person in one second it goes on in
    // the 32 bits after them.
    let (place, rest) = match place.checked_sub(0xfff) {
        None => (u128::from(place), rest),
        Some(beyond) => (0xfff, u128::from(beyond) << 30 | rest & ((1 << 30) - 1)),
    };
    Uuid::from_u128(milliseconds << 80 | 0x7 << 76 | place << 64 | 0b10 << 62 | rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_pinned_because_other_ones_would_import_every_file_a_second_time() {
        let person = person_of_client(b"1.2.3.4", b"Mozilla/5.0");
        let event = event_of_line(7, b"a line");
        let ids = [
            person,
            person_of_distinct_id(7, "jo"),
            event,
            event_of_repeated_line(event, 1),
        ];
        // The same by Python's uuid.uuid5.
        assert_eq!(
            ids.map(|id| id.to_string()),
            [
                "09fcda68-b1d5-5d4e-96fb-d7b5bc4cf6f5",
                "f5f3c743-c0c4-554d-9672-500cb7b4d856",
                "4a990392-4644-5492-8223-1a01868f48dd",
                "6eb6622e-ba22-5b3d-97c4-3455b5a1fea9",
            ]
        );
        assert_eq!(event_of_repeated_line(event, 0), event);
        assert_ne!(event, event_of_line(8, b"a line"));
    }

    #[test]
    fn uuids_of_a_log_are_of_version_7_and_in_order_of_time_and_of_place() {
        let (a, b) = (event_of_line(7, b"a line"), event_of_line(7, b"b line"));
        let ordered = [
            in_order(b, 9, 5),
            in_order(b, 10, 0),
            in_order(a, 10, 1),
            in_order(b, 10, 4_094),
            in_order(b, 10, 4_095),
            in_order(a, 10, 4_096),
            in_order(b, 10, 5_000),
            in_order(a, 10, u32::MAX),
            in_order(a, 11, 0),
        ];
        assert!(ordered.is_sorted());
        assert_eq!(
            in_order(a, 1_431_857_103, 1).to_string(),
            "014d6155-8098-7001-8223-1a01868f48dd"
        );
        assert!(ordered.iter().all(|uuid| uuid.get_version_num() == 7));
        assert_eq!(ordered[0].get_variant(), uuid::Variant::RFC4122);
    }
}
