//! What the program told, and whether it told it the way that people and programs rely on.

#![allow(dead_code)] // each story uses its part

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The end of one run of the program.
#[derive(Debug)]
pub struct Told {
    /// The exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        let told = Self {
            code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        };
        for panic in ["panicked", "RUST_BACKTRACE", "stack backtrace"] {
            assert!(!told.err.contains(panic), "{told:?}");
        }
        for said in [&told.out, &told.err] {
            assert!(
                !said.contains(['\u{1b}', '\r']),
                "neither colours nor bars in a pipe: {told:?}"
            );
        }
        told
    }
}

impl Told {
    /// It did what it should; on standard error is nothing but notes and hints.
    #[track_caller]
    pub fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        assert!(!self.err.contains("error:"), "{self:?}");
        self
    }

    /// It did what it should, and what it found is bad.
    #[track_caller]
    pub fn found_trouble(self) -> Self {
        assert_eq!(self.code, Some(1), "{self:?}");
        assert!(!self.err.contains("error:"), "{self:?}");
        self
    }

    /// The answer, which is all that is on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The lines of a table, the spaces between its columns made one.
    pub fn lines(&self) -> Vec<String> {
        self.out
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    /// It refused, with one error that names `what`, and a next step that names `next`.
    #[track_caller]
    pub fn refused(self, code: i32, what: &str, next: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        let lines: Vec<&str> = self.err.lines().collect();
        let of = |begin: &str| {
            lines
                .iter()
                .filter(|line| line.starts_with(begin))
                .copied()
                .collect::<Vec<_>>()
        };
        let errors = of("error: ");
        assert_eq!(errors.len(), 1, "{self:?}");
        assert!(
            errors[0].contains(what),
            "{what:?} is not in {:?}",
            errors[0]
        );
        assert!(!errors[0].contains(": error: "), "{errors:?}");
        assert!(
            errors[0].len() < 700,
            "an error that nobody reads: {errors:?}"
        );
        let hints = of("hint: ");
        assert_eq!(hints.len(), 1, "{self:?}");
        assert!(hints[0].contains(next), "{next:?} is not in {:?}", hints[0]);
        assert_eq!(lines.len(), 2, "{self:?}");
    }

    /// The words of the command line are wrong: clap says so, naming `what`.
    #[track_caller]
    pub fn misspelt(self, what: &str) {
        assert_eq!(self.code, Some(2), "{self:?}");
        assert_eq!(self.out, "", "{self:?}");
        assert!(self.err.starts_with("error: "), "{self:?}");
        assert!(self.err.contains(what), "{what:?} is not in {self:?}");
    }
}

/// Whether an object has these fields, which callers rely on; more may be added.
#[track_caller]
pub fn has(object: &Value, names: &[&str]) {
    let object = object
        .as_object()
        .unwrap_or_else(|| panic!("no object: {object}"));
    for name in names {
        assert!(
            object.contains_key(*name),
            "{name} is missing in {:?}",
            object.keys()
        );
    }
}

/// The program while it runs, ended at the end.
pub struct Running {
    child: Child,
    err: Arc<Mutex<Vec<String>>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let err = Arc::new(Mutex::new(Vec::new()));
        let lines = BufReader::new(child.stderr.take().expect("a pipe"));
        let to = Arc::clone(&err);
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                to.lock().expect("no panic").push(line);
            }
        });
        Self { child, err }
    }

    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("it runs");
    }

    /// What it wrote to standard error up to now.
    pub fn said(&self) -> Vec<String> {
        self.err.lock().expect("no panic").clone()
    }

    /// Waits for a line on standard error that contains `what`.
    pub fn says(&self, what: &str) -> String {
        look(&format!("{what:?}"), || {
            self.said().into_iter().find(|line| line.contains(what))
        })
    }

    /// Waits for the end.
    pub fn end(mut self) -> Told {
        let status = look("the end of the program", || {
            self.child.try_wait().expect("a child")
        });
        let mut out = String::new();
        self.child
            .stdout
            .take()
            .expect("a pipe")
            .read_to_string(&mut out)
            .expect("text");
        Told {
            code: status.code(),
            out,
            err: self.said().join("\n"),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Looks again until something is there, up to a limit.
pub fn look<T>(what: &str, mut at: impl FnMut() -> Option<T>) -> T {
    let limit = Duration::from_secs(60);
    let begun = Instant::now();
    loop {
        if let Some(found) = at() {
            return found;
        }
        assert!(begun.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
