//! The files of an engine in its data directory, and the locks that say who is alive.
//!
//! | file | meaning |
//! |---|---|
//! | `clickhouse/` | ClickHouse's own data |
//! | `engine.lock` | held exclusively by the serving process |
//! | `engine.json` | how to reach it: written once it answers, removed when it stops |
//! | `engine.users` | held shared by everyone who uses it |
//! | `engine.log` | what a started engine says |
//!
//! The kernel drops a lock with its process, however it dies, so nothing here has to be cleaned up
//! after a crash.

use std::fs::{DirEntry, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Endpoint;
use crate::error::{Class, Context as _, Error, Result};

const ENGINE_USERS: &str = "engine.users";
/// How the names of tables begin that nobody misses.
const FOR_A_WHILE: &str = "prefill_";

/// What `engine.json` says.
#[derive(Clone, Serialize, Deserialize)]
pub struct Card {
    pub pid: u32,
    pub url: String,
    pub user: String,
    pub password: String,
    pub version: String,
}

impl Card {
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            url: self.url.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
        }
    }
}

/// The data directory of an engine.
#[derive(Clone, Debug)]
pub struct Place(PathBuf);

impl Place {
    /// The directory, created when it is missing; absolute, because the engine is another process.
    ///
    /// # Errors
    ///
    /// When it cannot be created.
    pub fn open(data_dir: &Path) -> Result<Self> {
        let at = || format!("failed to create the data directory {}", data_dir.display());
        std::fs::create_dir_all(data_dir).map_err(|error| unusable(at(), error))?;
        let absolute = data_dir
            .canonicalize()
            .map_err(|error| unusable(at(), error))?;
        Ok(Self(absolute))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn data(&self) -> PathBuf {
        self.0.join("clickhouse")
    }

    /// Sets the definitions without a text aside that a full disk left of tables for a while: ClickHouse does not start
    /// with one, and does not look at a `.sql.bak`. Of another table somebody has to look what became of it.
    pub fn set_empty_definitions_aside(&self) -> std::io::Result<()> {
        let databases = match std::fs::read_dir(self.data().join("metadata")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            databases => databases?,
        };
        // Of each database there is a link to the directory of its definitions.
        let databases = databases.collect::<std::io::Result<Vec<_>>>()?;
        for database in databases.iter().map(DirEntry::path) {
            if !database.is_dir() {
                continue;
            }
            for definition in std::fs::read_dir(database)? {
                let path = definition?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                let is_for_a_while = name.starts_with(FOR_A_WHILE) && name.ends_with(".sql");
                if is_for_a_while && path.metadata()?.len() == 0 {
                    let aside = path.with_extension("sql.bak");
                    std::fs::rename(&path, &aside)?;
                    tracing::warn!(
                        "the definition of a table was empty (was the disk full?) and is now {}",
                        aside.display()
                    );
                }
            }
        }
        Ok(())
    }

    pub fn log(&self) -> PathBuf {
        self.0.join("engine.log")
    }

    fn card_path(&self) -> PathBuf {
        self.0.join("engine.json")
    }

    /// Opens one of the lock files, which nobody else on the machine may read or lock.
    fn lock_file(&self, name: &str) -> Result<File> {
        let path = self.0.join(name);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600);
        options
            .open(&path)
            .map_err(|error| unusable(format!("failed to open {}", path.display()), error))
    }

    pub fn engine_lock(&self) -> Result<File> {
        self.lock_file("engine.lock")
    }

    /// What tells the directory of ClickHouse's data from another one that is there instead.
    pub fn inode_of_data(&self) -> std::io::Result<(u64, u64)> {
        std::fs::metadata(self.data()).map(|metadata| inode(&metadata))
    }

    /// Whether others find this file of `engine.users`, too.
    pub fn has_users(&self, users: &File) -> bool {
        let there = std::fs::metadata(self.0.join(ENGINE_USERS));
        let held = users.metadata();
        there.is_ok_and(|there| held.is_ok_and(|held| inode(&held) == inode(&there)))
    }

    pub fn users_lock(&self) -> Result<File> {
        self.lock_file(ENGINE_USERS)
    }

    /// The engine that says it is here; nobody says that it is alive.
    pub fn card(&self) -> Option<Card> {
        let text = std::fs::read(self.card_path()).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Writes `engine.json`, whole or not at all, for this user alone.
    pub fn publish(&self, card: &Card) -> Result<()> {
        let path = self.card_path();
        let at = || format!("failed to write {}", path.display());
        let text = serde_json::to_vec_pretty(card).classed(Class::Never, at)?;
        self.write_private(&path, &text)
    }

    /// Writes a file that only this user may read, atomically.
    pub fn write_private(&self, path: &Path, text: &[u8]) -> Result<()> {
        let at = |error| unusable(format!("failed to write {}", path.display()), error);
        // tempfile creates with mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(&self.0).map_err(at)?;
        file.write_all(text).map_err(at)?;
        file.persist(path).map_err(|error| at(error.error))?;
        Ok(())
    }

    pub fn withdraw(&self) {
        match std::fs::remove_file(self.card_path()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(%error, "failed to remove engine.json"),
        }
    }
}

fn inode(metadata: &std::fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// An error of the data directory, with what to do about it.
pub fn unusable(doing: String, error: std::io::Error) -> Error {
    let hint = match error.kind() {
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            "make the data directory writable, or choose another with --data-dir"
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "free some space, or choose another directory with --data-dir"
        }
        _ => "check the data directory, or choose another with --data-dir",
    };
    Error::operator(doing).caused_by(error).hint(hint)
}
