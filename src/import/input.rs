//! The bytes of an import: files or standard input, plain or gzip, cut into lines.
//!
//! Gzip is known by its first two bytes, not by a name, and may consist of several members, as log
//! rotation that appends leaves it. A line has a limit, so that a binary file without a line
//! break cannot fill the memory.

use std::collections::{HashSet, VecDeque};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use crate::error::{Error, Result};

/// The first bytes of a gzip file (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What else files of text are packed in, by their first bytes, and what unpacks them to standard output.
const OTHER_PACKINGS: [(&[u8], &str, &str); 5] = [
    (b"\xfd7zXZ\0", "xz", "xz -dc"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", "zstd -dc"),
    (b"BZh", "bzip2", "bzip2 -dc"),
    (b"PK\x03\x04", "zip", "unzip -p"),
    (b"\xff\xfe", "UTF-16", "iconv -f UTF-16 -t UTF-8"),
];
/// How many first bytes tell.
const MAGIC_BYTES: u64 = 6;
/// What some editors put before the first line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Larger reads than `BufReader`'s own 8 KiB save system calls.
const BUFFER_BYTES: usize = 256 * 1024;

/// An open file, or standard input.
pub struct Input {
    reader: Box<dyn Read + Send>,
    /// The size of the file as it lies on the disk; none for standard input and pipes.
    pub size_bytes: Option<u64>,
    /// How to call it in a message.
    pub name: String,
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
///
/// [`Misuse`](crate::error::Class::Misuse) when there is no such file or it is a directory, [`Operator`](crate::error::Class::Operator)
/// when it may not be read.
pub fn open(path: &Path) -> Result<Input> {
    if path.as_os_str() == "-" {
        return Ok(Input {
            reader: Box::new(io::stdin()),
            size_bytes: None,
            name: "standard input".to_owned(),
        });
    }
    let name = path.display().to_string();
    let doing = || format!("failed to open {name}");
    let file = File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Error::misuse(doing())
            .caused_by(source)
            .hint("name an existing file, or - for standard input"),
        io::ErrorKind::PermissionDenied => Error::operator(doing())
            .caused_by(source)
            .hint("give this user the right to read it, or pipe it to standard input (-)"),
        _ => Error::operator(doing()).caused_by(source),
    })?;
    let metadata = file
        .metadata()
        .map_err(|source| Error::operator(doing()).caused_by(source))?;
    if metadata.is_dir() {
        return Err(Error::misuse(doing()).caused_by("it is a directory").hint(
            "import its files one by one, or all in one, which cuts no sessions: prefill import … DIRECTORY/*",
        ));
    }
    Ok(Input {
        reader: Box::new(file),
        size_bytes: metadata.is_file().then_some(metadata.len()),
        name,
    })
}

/// Opens files, each of which may be named once: its lines would be counted twice.
///
/// # Errors
///
/// As [`open`], and [`Misuse`](crate::error::Class::Misuse) where one is named twice.
pub fn open_all(paths: &[PathBuf]) -> Result<Vec<Input>> {
    let mut seen = HashSet::new();
    let mut inputs = Vec::new();
    for path in paths {
        let input = open(path)?;
        if !seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            return Err(
                Error::misuse(format!("{} is named twice", input.name)).hint("name each file once")
            );
        }
        inputs.push(input);
    }
    Ok(inputs)
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

/// One line without its line break.
pub(super) enum Line<'a> {
    /// No line: those of this file follow, counted from 1. Only where there are several.
    OfFile(&'a str),
    Text(&'a [u8]),
    /// The last line of a file, which has no line break: perhaps only the beginning of one.
    Unended(&'a [u8]),
    /// Longer than the limit: its beginning.
    TooLong(&'a [u8]),
}

/// The lines of one input or of several files, one after the other; each is decompressed if need be.
pub(super) struct Lines<R: Read> {
    text: Text<R>,
    /// Its name, where there are several.
    file: Option<String>,
    is_new: bool,
    /// Those that come after it.
    rest: VecDeque<(String, R)>,
    /// How much of those before it was read.
    before_bytes: u64,
    limit_bytes: usize,
    line: Vec<u8>,
    number: u64,
    /// Of the lines of this file so far.
    hash: DefaultHasher,
    /// The hash of the lines of each file before it, how many they are, and its name.
    read: Vec<(u64, u64, String)>,
}

type Source<R> = BufReader<Counted<Chain<Cursor<Vec<u8>>, R>>>;

enum Text<R: Read> {
    Plain(Source<R>),
    Gzip(BufReader<MultiGzDecoder<Source<R>>>),
}

impl<R: Read> Lines<R> {
    /// Looks at the first bytes of `input`; a line longer than `limit_bytes` is skipped.
    pub fn new(input: R, limit_bytes: usize) -> Result<Self> {
        Self::open(None, input, VecDeque::new(), limit_bytes)
    }

    /// As [`Lines::new`], of files by their names, one at least.
    pub fn of_files(
        files: impl IntoIterator<Item = (String, R)>,
        limit_bytes: usize,
    ) -> Result<Self> {
        let mut files: VecDeque<(String, R)> = files.into_iter().collect();
        let Some((name, first)) = files.pop_front() else {
            return Err(Error::misuse("there is no file").hint("name one, or - for standard input"));
        };
        let name = (!files.is_empty()).then_some(name);
        Self::open(name, first, files, limit_bytes)
    }

    fn open(
        file: Option<String>,
        input: R,
        rest: VecDeque<(String, R)>,
        limit_bytes: usize,
    ) -> Result<Self> {
        Ok(Self {
            text: Text::of(input, file.as_deref())?,
            is_new: file.is_some(),
            file,
            rest,
            before_bytes: 0,
            limit_bytes,
            line: Vec::new(),
            number: 0,
            hash: DefaultHasher::new(),
            read: Vec::new(),
        })
    }

    /// The next line and its number, counted from 1.
    pub fn next(&mut self) -> Result<Option<(u64, Line<'_>)>> {
        // One byte more for the line break.
        let limit = self.limit_bytes as u64 + 1;
        while !self.is_new {
            self.line.clear();
            let text = self.text.as_buf_read();
            let read = text.take(limit).read_until(b'\n', &mut self.line);
            let read = read.map_err(|source| self.read_error(source))?;
            if read > 0 {
                break;
            }
            self.is_another()?;
            let Some((name, next)) = self.rest.pop_front() else {
                return Ok(None);
            };
            self.before_bytes = self.read_bytes();
            self.text = Text::of(next, Some(&name))?;
            (self.file, self.is_new, self.number) = (Some(name), true, 0);
        }
        if std::mem::take(&mut self.is_new) {
            return Ok(Some((
                0,
                Line::OfFile(self.file.as_deref().unwrap_or_default()),
            )));
        }
        let number = self.number + 1;
        self.number = number;
        self.hash.write(self.line.trim_ascii_end());
        self.hash.write_u8(b'\n');
        let is_ended = self.line.last() == Some(&b'\n');
        if is_ended {
            self.line.pop();
            if self.line.last() == Some(&b'\r') {
                self.line.pop();
            }
        } else if self.line.len() > self.limit_bytes {
            let skipped = self.text.as_buf_read().skip_until(b'\n');
            skipped.map_err(|source| read_error(source, number, self.file.as_deref()))?;
            return Ok(Some((number, Line::TooLong(&self.line))));
        }
        let line = &self.line[..];
        let line = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(line) if number == 1 => line,
            _ => line,
        };
        let line = if is_ended {
            Line::Text(line)
        } else {
            Line::Unended(line)
        };
        Ok(Some((number, line)))
    }

    /// Fails where a file before this one has the same lines, and any: a packed copy of it, for example, which a pattern
    /// names too. Equal requests are different ones, so these would count twice.
    fn is_another(&mut self) -> Result<()> {
        let hash = std::mem::take(&mut self.hash).finish();
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut before = self.read.iter();
        let same = before.find(|(of, lines, _)| (*of, *lines) == (hash, self.number));
        if let Some((_, 1.., other)) = same {
            return Err(Error::misuse(format!(
                "{file} has the same lines as {other}: they would be counted twice"
            ))
            .hint("name one of the two"));
        }
        self.read.push((hash, self.number, file.clone()));
        Ok(())
    }

    /// How much of the input was read, in its own bytes: compressed ones, if it is compressed.
    pub fn read_bytes(&self) -> u64 {
        let of_this = match &self.text {
            Text::Plain(source) => source.get_ref().read_bytes,
            Text::Gzip(text) => text.get_ref().get_ref().get_ref().read_bytes,
        };
        self.before_bytes + of_this
    }

    fn read_error(&self, source: io::Error) -> Error {
        read_error(source, self.number + 1, self.file.as_deref())
    }
}

impl<R: Read> Text<R> {
    fn of(mut input: R, file: Option<&str>) -> Result<Self> {
        let mut magic = Vec::new();
        (&mut input)
            .take(MAGIC_BYTES)
            .read_to_end(&mut magic)
            .map_err(|source| read_error(source, 0, file))?;
        for (first, packing, unpack) in OTHER_PACKINGS {
            if magic.starts_with(first) {
                let it = file.unwrap_or("it");
                return Err(Error::misuse(format!("{it} is packed as {packing}"))
                    .hint(format!("pipe it: {unpack} FILE | prefill import … -")));
            }
        }
        let is_gzip = magic.starts_with(&GZIP_MAGIC);
        let counted = Counted {
            inner: Cursor::new(magic).chain(input),
            read_bytes: 0,
        };
        let source = BufReader::with_capacity(BUFFER_BYTES, counted);
        Ok(if is_gzip {
            let decoder = MultiGzDecoder::new(source);
            Self::Gzip(BufReader::with_capacity(BUFFER_BYTES, decoder))
        } else {
            Self::Plain(source)
        })
    }

    fn as_buf_read(&mut self) -> &mut dyn BufRead {
        match self {
            Self::Plain(text) => text,
            Self::Gzip(text) => text,
        }
    }
}

fn read_error(source: io::Error, line: u64, file: Option<&str>) -> Error {
    let of_file = file.map(|file| format!(" of {file}")).unwrap_or_default();
    let doing = format!("failed to read line {line}{of_file}");
    match source.kind() {
        // What flate2 says of a damaged and of a cut off file.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::misuse(doing)
                .caused_by(source)
                .hint("the compressed file is damaged or cut off: check it with gzip -t")
        }
        _ => Error::operator(doing).caused_by(source),
    }
}

/// Counts what is read through it.
struct Counted<R> {
    inner: R,
    read_bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read_bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use crate::error::Class;

    use super::*;

    fn lines_of(input: &[u8], limit_bytes: usize) -> Vec<String> {
        let lines = Lines::new(input, limit_bytes).expect("readable");
        all_of(lines, input.len())
    }

    fn all_of(mut lines: Lines<&[u8]>, bytes: usize) -> Vec<String> {
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next().expect("readable") {
            all.push(match line {
                Line::OfFile(name) => format!("{number}@{name}"),
                Line::Text(text) => format!("{number}:{}", String::from_utf8_lossy(text)),
                Line::Unended(text) => format!("{number}.{}", String::from_utf8_lossy(text)),
                Line::TooLong(start) => format!("{number}>{}", String::from_utf8_lossy(start)),
            });
        }
        assert_eq!(lines.read_bytes(), bytes as u64);
        assert!(lines.next().expect("readable").is_none());
        all
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn lines_end_with_either_line_break_or_the_end_of_the_input() {
        assert_eq!(
            lines_of(b"a\r\n\nb\rc\nd", 10),
            ["1:a", "2:", "3:b\rc", "4.d"]
        );
        assert_eq!(
            lines_of(b"\xef\xbb\xbfa\n\xef\xbb\xbfb", 10),
            ["1:a", "2.\u{feff}b"]
        );
        assert_eq!(lines_of(b"", 10), [""; 0]);
        assert_eq!(lines_of(b"\n", 10), ["1:"]);
    }

    #[test]
    fn files_come_one_after_the_other_and_each_is_told_and_ends_its_last_line() {
        let packed = gzip(b"b\n\xffc");
        let inputs: [&[u8]; 4] = [b"\xef\xbb\xbfa", &packed, b"", b"\xef\xbb\xbfd\n"];
        let named = |inputs: &[&'static str]| inputs.iter().map(ToString::to_string).collect();
        let names: Vec<String> = named(&["1", "2", "3", "4"]);
        let files = names.into_iter().zip(inputs);
        let lines = Lines::of_files(files, 10).expect("readable");
        let bytes = inputs.iter().map(|input| input.len()).sum();
        let expected = [
            "0@1",
            "1.a",
            "0@2",
            "1:b",
            "2.\u{fffd}c",
            "0@3",
            "0@4",
            "1:d",
        ];
        assert_eq!(all_of(lines, bytes), expected);

        let one = [("1".to_owned(), &b"a\n"[..])];
        let lines = Lines::of_files(one, 10).expect("readable");
        assert_eq!(all_of(lines, 2), ["1:a"]);
        assert!(Lines::<&[u8]>::of_files([], 10).is_err());

        let damaged = [
            ("1".to_owned(), &b"a\n"[..]),
            ("2.gz".to_owned(), &packed[..12]),
        ];
        let mut lines = Lines::of_files(damaged, 10).expect("readable");
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a file that is cut off ended without an error"),
                Err(error) => break error.to_string(),
            }
        };
        assert_eq!(error, "failed to read line 1 of 2.gz");
    }

    #[test]
    fn a_file_with_the_lines_of_another_is_refused_whatever_it_is_called_and_packed_in() {
        let read = |inputs: &[&[u8]]| {
            let files = inputs.iter().zip(1..);
            let files = files.map(|(input, name)| (name.to_string(), *input));
            let mut lines = Lines::of_files(files, 10).expect("readable");
            while lines.next()?.is_some() {}
            Ok(())
        };
        let packed = gzip(b"a\nb");
        let refused: Result<()> = read(&[b"a\nb\n", b"", b"c\n", &packed]);
        let refused = refused.expect_err("the same lines");
        assert_eq!(refused.class(), Class::Misuse);
        assert_eq!(
            refused.to_string(),
            "4 has the same lines as 1: they would be counted twice"
        );
        for others in [
            [&b"a\nb\n"[..], b"a\nb\nc\n"],
            [b"a\nb\n", b"b\na\n"],
            [b"ab\n", b"a\nb\n"],
            [b"", b""],
        ] {
            assert!(read(&others).is_ok(), "{others:?}");
        }
    }

    #[test]
    fn a_line_over_the_limit_is_skipped_and_the_next_is_read() {
        assert_eq!(
            lines_of(b"1234\n12345\n1234567890\n1\n12345", 4),
            ["1:1234", "2>12345", "3>12345", "4:1", "5>12345"]
        );
    }

    #[test]
    fn gzip_is_known_by_its_first_bytes_and_may_have_several_members() {
        let mut members = gzip(b"a\nb");
        members.extend(gzip(b"c\nd\n"));
        assert_eq!(lines_of(&members, 10), ["1:a", "2:bc", "3:d"]);
        assert_eq!(lines_of(b"\x1f", 10), ["1.\x1f"]);
    }

    #[test]
    fn what_is_packed_otherwise_is_refused_with_what_unpacks_it() {
        let refused = |input: &[u8]| {
            let error = Lines::new(input, 10).err().expect("packed");
            assert_eq!(error.class(), Class::Misuse);
            format!("{error}: {}", error.next_step().expect("a hint"))
        };
        assert_eq!(
            refused(b"\xfd7zXZ\0\0\x04"),
            "it is packed as xz: pipe it: xz -dc FILE | prefill import … -"
        );
        assert_eq!(
            refused(b"\xff\xfe1\0.\0"),
            "it is packed as UTF-16: pipe it: iconv -f UTF-16 -t UTF-8 FILE | prefill import … -"
        );
        assert!(refused(b"\x28\xb5\x2f\xfd\x24").contains("zstd -dc"));
        assert!(refused(b"BZh91AY").contains("bzip2 -dc"));
        assert!(refused(b"PK\x03\x04\x14").contains("unzip -p"));
    }

    #[test]
    fn a_gzip_file_that_is_cut_off_is_an_error_and_not_a_short_file() {
        let whole = gzip(b"a\nb\n");
        let mut lines = Lines::new(&whole[..whole.len() - 6], 10).expect("readable");
        let error = loop {
            match lines.next() {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cut off file ended without an error"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.class(), Class::Misuse);
        assert!(
            error
                .next_step()
                .is_some_and(|hint| hint.contains("gzip -t"))
        );
    }

    #[test]
    fn what_cannot_be_opened_is_named_with_the_next_step() {
        let missing = open(Path::new("/no/such/file"))
            .err()
            .expect("no such file");
        assert_eq!(missing.class(), Class::Misuse);
        assert!(
            missing
                .chain()
                .starts_with("failed to open /no/such/file: ")
        );
        let directory = open(Path::new("/")).err().expect("a directory");
        assert_eq!(directory.chain(), "failed to open /: it is a directory");
    }
}
