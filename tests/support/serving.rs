//! `prefill serve` as a process of its own, killed at the end.

#![allow(dead_code)] // each story uses its part

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{World, until};

/// `prefill serve` on a world, killed at the end.
pub struct Serving {
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// With its log in a file of that name in the data directory.
    pub async fn start(world: &World, name: &str) -> Self {
        let log = world.dir.path().join(format!("{name}.log"));
        let child = world
            .command(&["--log-format", "json", "serve"])
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a log"))
            .spawn()
            .expect("started");
        let serving = Self { child, log };
        until("serving", Duration::from_secs(30), || async {
            serving.log().contains("serving: teams").then_some(())
        })
        .await;
        serving
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let process = Pid::from_child(&self.child);
        kill_process(process, signal).expect("it runs");
    }

    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("ended");
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("asked").is_none()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
