//! ClickHouse's own compressed blocks, as `compress=1` and `decompress=1` mean them.
//!
//! A block is a 16-byte checksum (CityHash128 of version 1.0.2 over the rest), a method byte, two
//! little-endian u32 (the size with these 9 bytes, and the size of the data) and the data.

use std::io::{self, Read};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
/// ClickHouse writes blocks of at most 1 MiB of data and reads up to 1 GiB (`DBMS_MAX_COMPRESSED_SIZE`);
/// a block is held in memory whole, so this reads what a client sensibly writes.
const MAX_BLOCK: usize = 256 << 20;

/// One block of `data`, compressed with LZ4.
pub fn compress(data: &[u8]) -> Vec<u8> {
    let packed = lz4_flex::block::compress(data);
    let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut block = Vec::with_capacity(CHECKSUM + HEADER + packed.len());
    block.extend_from_slice(&[0; CHECKSUM]);
    block.push(LZ4);
    block.extend_from_slice(&size(HEADER + packed.len()));
    block.extend_from_slice(&size(data.len()));
    block.extend_from_slice(&packed);
    let sum = checksum(&block[CHECKSUM..]);
    block[..CHECKSUM].copy_from_slice(&sum);
    block
}

/// The bytes of the checksum as ClickHouse lays them out.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = cityhash_rs::cityhash_102_128(bytes);
    let mut out = [0; CHECKSUM];
    let (high, low) = ((hash >> 64) as u64, hash as u64);
    out[..8].copy_from_slice(&high.to_le_bytes());
    out[8..].copy_from_slice(&low.to_le_bytes());
    out
}

/// Reads what lies in compressed blocks.
pub struct Blocks<R> {
    inner: R,
    data: Vec<u8>,
    at: usize,
}

impl<R: Read> Blocks<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            data: Vec::new(),
            at: 0,
        }
    }

    /// Reads the next block; false at the end.
    fn fill(&mut self) -> io::Result<bool> {
        let mut head = [0; CHECKSUM + HEADER];
        let first = loop {
            match self.inner.read(&mut head) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if first == 0 {
            return Ok(false);
        }
        self.inner.read_exact(&mut head[first..])?;
        let number = |at: usize| {
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let (packed, plain) = (number(CHECKSUM + 1), number(CHECKSUM + 5));
        if !(HEADER..=MAX_BLOCK).contains(&packed) || plain > MAX_BLOCK {
            return Err(invalid(format!(
                "a compressed block says it has {packed} bytes for {plain}, more than {MAX_BLOCK}"
            )));
        }
        let mut block = vec![0; packed];
        block[..HEADER].copy_from_slice(&head[CHECKSUM..]);
        self.inner.read_exact(&mut block[HEADER..])?;
        if checksum(&block) != head[..CHECKSUM] {
            return Err(invalid(
                "the checksum of a compressed block doesn't match: corrupted data",
            ));
        }
        let body = &block[HEADER..];
        self.data = match block[0] {
            LZ4 => lz4_flex::block::decompress(body, plain).map_err(invalid)?,
            ZSTD => zstd::bulk::decompress(body, plain).map_err(invalid)?,
            NONE => body.to_vec(),
            method => return Err(invalid(format!("unknown compression method {method:#04x}"))),
        };
        if self.data.len() != plain {
            return Err(invalid(format!(
                "a compressed block has {} bytes instead of {plain}",
                self.data.len()
            )));
        }
        self.at = 0;
        Ok(true)
    }
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.data.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let count = out.len().min(self.data.len() - self.at);
        out[..count].copy_from_slice(&self.data[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// `hello` in a block that a ClickHouse wrote would have the checksum that the official client
    /// computes (`tests/engine_compression.rs` compares with its layout); here: both ways.
    #[test]
    fn what_is_compressed_is_read_back_and_a_changed_byte_is_noticed() {
        let data: Vec<u8> = (0..100_000u32)
            .flat_map(|n| (n % 999).to_le_bytes())
            .collect();
        let mut stream = compress(&data);
        stream.extend_from_slice(&compress(b"tail"));
        let mut read = Vec::new();
        Blocks::new(stream.as_slice())
            .read_to_end(&mut read)
            .expect("readable");
        assert!(read.starts_with(&data) && read.ends_with(b"tail"));
        assert_eq!(read.len(), data.len() + 4);
        for at in [0, 16, 17, 30, stream.len() - 1] {
            let mut broken = stream.clone();
            broken[at] ^= 0x40;
            let error = Blocks::new(broken.as_slice()).read_to_end(&mut Vec::new());
            assert!(error.is_err(), "byte {at}");
        }
        let cut = &stream[..stream.len() - 1];
        assert!(Blocks::new(cut).read_to_end(&mut Vec::new()).is_err());
    }

    proptest! {
        #[test]
        fn any_data_are_read_back_whole_and_never_in_part(
            data in proptest::collection::vec(any::<u8>(), 0..600),
            cut in any::<prop::sample::Index>(),
        ) {
            let stream = compress(&data);
            let mut read = Vec::new();
            Blocks::new(stream.as_slice()).read_to_end(&mut read).expect("readable");
            prop_assert_eq!(read, data);
            let cut = 1 + cut.index(stream.len() - 1);
            let part = Blocks::new(&stream[..cut]).read_to_end(&mut Vec::new());
            prop_assert!(cut == stream.len() || part.is_err());
        }

        /// With the right checksum, so that what follows it is looked at.
        #[test]
        fn no_block_makes_it_panic(
            method in prop_oneof![Just(LZ4), Just(ZSTD), Just(NONE), any::<u8>()],
            packed in proptest::option::of(prop_oneof![0_u32..20, Just(u32::MAX), Just(MAX_BLOCK as u32 + 1)]),
            plain in prop_oneof![0_u32..2000, 0_u32..2000, Just(MAX_BLOCK as u32), Just(MAX_BLOCK as u32 + 1), Just(u32::MAX)],
            body in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let size = packed.unwrap_or((HEADER + body.len()) as u32);
            let mut rest = vec![method];
            rest.extend(size.to_le_bytes());
            rest.extend(plain.to_le_bytes());
            rest.extend(&body);
            let stream = [&checksum(&rest)[..], &rest].concat();
            let mut read = Vec::new();
            if Blocks::new(&stream[..]).read_to_end(&mut read).is_ok() {
                prop_assert_eq!(read.len(), plain as usize);
            }
        }
    }
}
