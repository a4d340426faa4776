//! The body of a request, as the thread that runs its statement reads it: from a channel, unpacked.

use std::io::{self, BufRead as _, BufReader, Read};

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use bytes::Bytes;
use flate2::bufread::ZlibDecoder;
use lz4_flex::frame::FrameDecoder;
use tokio::sync::mpsc;

use super::blocks::Blocks;
use super::request::Coding;

/// A piece of a body on its way to the thread that runs the statement.
pub enum Piece {
    Data(Bytes),
    /// The body ended as it should. Without it, the client went away.
    End,
}

/// The body of a request as that thread reads it.
pub struct BodyReader {
    pieces: mpsc::Receiver<Piece>,
    current: Bytes,
    ended: bool,
}

impl BodyReader {
    pub fn new(pieces: mpsc::Receiver<Piece>) -> Self {
        Self {
            pieces,
            current: Bytes::new(),
            ended: false,
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Piece::Data(data)) => self.current = data,
                Some(Piece::End) => self.ended = true,
                None => {
                    let message = "the client went away before the end of its data";
                    // Not UnexpectedEof, which a decoder may take for an end.
                    return Err(io::Error::new(io::ErrorKind::ConnectionAborted, message));
                }
            }
        }
        let count = out.len().min(self.current.len());
        out[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}

/// LZ4 frames, one after the other. Where the input ends between two blocks, [`FrameDecoder`] takes
/// that for the end of its frame, and rows that a client never finished sending would be stored as if
/// they were all.
struct Lz4Frames<R: Read>(Option<FrameDecoder<Counted<R>>>);

impl<R: Read> Lz4Frames<R> {
    fn new(inner: R) -> Self {
        Self(Some(Self::frame(inner)))
    }

    fn frame(inner: R) -> FrameDecoder<Counted<R>> {
        FrameDecoder::new(Counted {
            inner,
            bytes: 0,
            over: false,
        })
    }
}

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(frame) = &mut self.0 {
            let count = frame.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let Counted { bytes, over, .. } = *frame.get_ref();
            if over && bytes > 0 {
                let message = "the LZ4 frame has no end";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
            }
            let inner = self.0.take().map(|ended| ended.into_inner().inner);
            self.0 = inner.filter(|_| !over).map(Self::frame);
        }
        Ok(0)
    }
}

/// Zlib streams, one after the other. `flate2` has a reader of several for gzip alone, and this one ends with the first.
struct ZlibStreams<R: Read>(Option<ZlibDecoder<BufReader<R>>>);

impl<R: Read> ZlibStreams<R> {
    fn new(inner: R) -> Self {
        Self(Some(ZlibDecoder::new(BufReader::new(inner))))
    }
}

impl<R: Read> Read for ZlibStreams<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(stream) = &mut self.0 {
            let count = stream.read(out)?;
            if count > 0 || out.is_empty() {
                return Ok(count);
            }
            let is_over = stream.get_mut().fill_buf()?.is_empty();
            let inner = self.0.take().map(ZlibDecoder::into_inner);
            self.0 = inner.filter(|_| !is_over).map(ZlibDecoder::new);
        }
        Ok(0)
    }
}

type BrotliStream = BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>;

/// Brotli streams, one after the other, as clickhouse-connect sends one for each of its blocks. `brotli` has a reader
/// of one, which looks at nothing that comes after it.
struct BrotliStreams<R> {
    input: BufReader<R>,
    /// The one that is under way.
    stream: Option<Box<BrotliStream>>,
}

impl<R: Read> BrotliStreams<R> {
    fn new(inner: R) -> Self {
        Self {
            input: BufReader::new(inner),
            stream: Some(Self::stream()),
        }
    }

    fn stream() -> Box<BrotliStream> {
        let memory = StandardAlloc::default;
        Box::new(BrotliState::new(memory(), memory(), memory()))
    }
}

impl<R: Read> Read for BrotliStreams<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.input.fill_buf()?;
            let is_over = input.is_empty();
            if self.stream.is_none() && is_over {
                return Ok(0);
            }
            let stream = self.stream.get_or_insert_with(Self::stream);
            let (mut left, mut taken) = (input.len(), 0);
            let (mut room, mut given, mut in_all) = (out.len(), 0, 0);
            let result = BrotliDecompressStream(
                &mut left,
                &mut taken,
                input,
                &mut room,
                &mut given,
                out,
                &mut in_all,
                stream,
            );
            self.input.consume(taken);
            match result {
                BrotliResult::ResultSuccess => self.stream = None,
                BrotliResult::ResultFailure => {
                    let message = "what should be a Brotli stream is none";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                BrotliResult::NeedsMoreInput if is_over && given == 0 => {
                    let message = "the Brotli stream has no end";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
                }
                BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
            }
            if given > 0 || out.is_empty() {
                return Ok(given);
            }
        }
    }
}

/// An input that knows how much of it was read, and whether it is over.
struct Counted<R> {
    inner: R,
    bytes: usize,
    over: bool,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(out)?;
        self.bytes += count;
        self.over |= count == 0 && !out.is_empty();
        Ok(count)
    }
}

/// Unpacks a body.
pub fn unpack(reader: BodyReader, coding: Coding, native: bool) -> io::Result<Box<dyn Read>> {
    let plain: Box<dyn Read> = match coding {
        Coding::Plain => Box::new(reader),
        Coding::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Coding::Deflate => Box::new(ZlibStreams::new(reader)),
        Coding::Brotli => Box::new(BrotliStreams::new(reader)),
        Coding::Lz4 => Box::new(Lz4Frames::new(reader)),
        Coding::Zstd => Box::new(zstd::Decoder::new(reader)?),
    };
    Ok(if native {
        Box::new(Blocks::new(plain))
    } else {
        plain
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(data: &[u8], coding: Coding) -> Vec<u8> {
        use std::io::Write as _;
        const NEVER: &str = "a Vec takes every write";
        let level = flate2::Compression::fast();
        match coding {
            Coding::Plain => data.to_vec(),
            Coding::Gzip => {
                let mut to = flate2::write::GzEncoder::new(Vec::new(), level);
                to.write_all(data).expect(NEVER);
                to.finish().expect(NEVER)
            }
            Coding::Deflate => {
                let mut to = flate2::write::ZlibEncoder::new(Vec::new(), level);
                to.write_all(data).expect(NEVER);
                to.finish().expect(NEVER)
            }
            Coding::Brotli => {
                let mut to = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 22);
                to.write_all(data).expect(NEVER);
                to.into_inner()
            }
            Coding::Lz4 => {
                let mut to = lz4_flex::frame::FrameEncoder::new(Vec::new());
                to.write_all(data).expect(NEVER);
                to.finish().expect(NEVER)
            }
            Coding::Zstd => zstd::encode_all(data, 1).expect(NEVER),
        }
    }

    /// What a body is unpacked to, as far as a mebibyte, when it comes in pieces.
    fn unpacked(body: &[u8], coding: Coding, native: bool) -> io::Result<Vec<u8>> {
        let pieces: Vec<&[u8]> = body.chunks(100).collect();
        unpacked_of(&pieces, coding, native)
    }

    fn unpacked_of(body: &[&[u8]], coding: Coding, native: bool) -> io::Result<Vec<u8>> {
        let (pieces, reader) = mpsc::channel(body.len() + 1);
        for piece in body {
            let piece = Piece::Data(Bytes::copy_from_slice(piece));
            assert!(
                pieces.try_send(piece).is_ok(),
                "there is room for all pieces"
            );
        }
        assert!(pieces.try_send(Piece::End).is_ok(), "and for the end");
        let mut data = Vec::new();
        unpack(BodyReader::new(reader), coding, native)?
            .take(1 << 20)
            .read_to_end(&mut data)?;
        Ok(data)
    }

    #[test]
    fn a_client_that_goes_away_between_two_blocks_has_not_sent_all() {
        let body = packed(b"the only block", Coding::Lz4);
        let (pieces, reader) = mpsc::channel(1);
        let without_end = Bytes::copy_from_slice(&body[..body.len() - 4]);
        assert!(pieces.try_send(Piece::Data(without_end)).is_ok());
        drop(pieces);
        let mut data = Vec::new();
        let read = unpack(BodyReader::new(reader), Coding::Lz4, false)
            .and_then(|mut body| body.read_to_end(&mut data));
        let error = read.expect_err("an end is missing");
        assert!(error.to_string().contains("went away"), "{error}");
    }

    const PACKED: [Coding; 5] = [
        Coding::Gzip,
        Coding::Deflate,
        Coding::Brotli,
        Coding::Lz4,
        Coding::Zstd,
    ];

    proptest! {
        #[test]
        fn a_body_is_unpacked_to_what_was_packed_and_a_part_of_it_is_never_taken_for_the_whole(
            data in prop_oneof![
                9 => proptest::collection::vec(any::<u8>(), 1..400),
                // More than one block of LZ4.
                1 => any::<u64>().prop_map(|seed| (0..100_000_u64).map(|n| (n.wrapping_mul(seed) >> 20) as u8).collect()),
            ],
            coding in prop::sample::select(PACKED.to_vec()),
            cut in any::<prop::sample::Index>(),
        ) {
            let body = packed(&data, coding);
            prop_assert_eq!(&unpacked(&body, coding, false).expect("readable"), &data);
            let cut = 1 + cut.index(body.len() - 1);
            prop_assert!(cut == body.len() || unpacked(&body[..cut], coding, false).is_err(), "{:?} of {}", cut, body.len());
            // Several frames or streams are one body, wherever the pieces end, and what follows them is looked at.
            let twice = unpacked(&body.repeat(2), coding, false).expect("readable");
            prop_assert_eq!(twice, data.repeat(2));
            for (second, is_whole) in [(&body[..], true), (&body[..cut], cut == body.len()), (b"garbage!!", false)] {
                let pieces = [&body[..], second];
                let read = unpacked_of(&pieces, coding, false);
                prop_assert_eq!(read.is_ok_and(|read| read == data.repeat(2)), is_whole);
            }
            let body = packed(&super::super::blocks::compress(&data), coding);
            prop_assert_eq!(&unpacked(&body, coding, true).expect("readable"), &data);
        }

        #[test]
        fn no_body_makes_unpacking_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            coding in prop::sample::select([&PACKED[..], &[Coding::Plain]].concat()),
            native: bool,
            at in any::<prop::sample::Index>(),
        ) {
            let _ = unpacked(&bytes, coding, native);
            // Damage that gets past the first bytes.
            let mut body = packed(&bytes, coding);
            if !body.is_empty() {
                let at = at.index(body.len());
                body[at] ^= 1 + (at as u8 & 0x7e);
                let _ = unpacked(&body, coding, native);
            }
        }
    }
}
