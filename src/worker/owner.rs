//! Who a worker is, and whether one is known to be dead.
//!
//! A lease tells sooner or later that a worker is gone. On the same machine the process table tells
//! at once, so that a command that was killed can be repeated without waiting. When in doubt a worker
//! lives: then the lease decides.

use std::fs;

/// A name for this process: for people its host and number, to tell whether it lives also the machine's
/// boot, the namespace that the number is of, and when the process began.
pub fn owner() -> String {
    let host = rustix::system::uname();
    let process = std::process::id();
    let name = format!("{}:{process}", host.nodename().to_string_lossy());
    match (machine(), began(&process.to_string())) {
        (Some(machine), Some(began)) => format!("{name}:{machine}:{began}"),
        _ => name,
    }
}

/// Whether the process of this name was on this machine and is no more.
pub(super) fn is_dead(owner: &str) -> bool {
    let mut parts = owner.rsplitn(4, ':');
    let (Some(then), Some(on), Some(process)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    if process.parse::<u32>().is_err() || machine().is_none_or(|here| here != on) {
        return false;
    }
    match fs::metadata(format!("/proc/{process}")) {
        Ok(_) => began(process).is_some_and(|began| began != then),
        // For the absence to mean anything the process table has to show what others run: a mount with
        // hidepid, or a unit with ProtectProc, shows each user his own alone.
        Err(_) => fs::metadata("/proc/1").is_ok(),
    }
}

/// The running kernel and the process namespace; nothing where there is no /proc.
fn machine() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    // `pid:[4026531836]`, without the separator of the name's parts
    let namespace: String = namespace
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    Some(format!("{}-{namespace}", boot.trim()))
}

/// When a process began, in the kernel's ticks since boot: field 22 of proc_pid_stat(5). One that
/// ended and that nobody waited for yet did so at no time.
fn began(process: &str) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is a name in parentheses, which may hold anything.
    let mut after_name = stat.rsplit_once(") ")?.1.split(' ');
    match after_name.next()? {
        "Z" | "X" => Some("never".to_owned()),
        _ => after_name.nth(18).map(ToOwned::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_a_child_that_ended_is_dead() {
        assert!(!is_dead(&owner()));
        let mut child = std::process::Command::new("true").spawn().expect("started");
        let began = began(&child.id().to_string()).expect("a process");
        let machine = machine().expect("a machine");
        let name = format!("host:{}:{machine}:{began}", child.id());
        child.wait().expect("ended");
        assert!(is_dead(&name));
        // The number belongs to another process now.
        let other = format!("host:{}:{machine}:1", std::process::id());
        assert!(is_dead(&other));
    }

    #[test]
    fn in_doubt_a_worker_lives() {
        for name in [
            "one",
            "host:1",
            "host:99999999:another-boot-1:5",
            "host:x:y:z",
            "",
        ] {
            assert!(!is_dead(name), "{name}");
        }
    }
}
