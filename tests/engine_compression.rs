//! Every way to pack a request and an answer.

mod engine_support;

use std::io::{Read as _, Write as _};

use engine_support::World;

const ROWS: u64 = 300_000;
const SELECT: &str = "select number from numbers(300000) format RowBinary";

fn rows() -> Vec<u8> {
    (0..ROWS).flat_map(u64::to_le_bytes).collect()
}

fn pack(coding: &str, data: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).expect("a write");
            out.finish().expect("the end")
        }
        "deflate" => {
            let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(data).expect("a write");
            out.finish().expect("the end")
        }
        "br" => {
            let mut out = brotli::CompressorWriter::new(Vec::new(), 4096, 1, 20);
            out.write_all(data).expect("a write");
            out.into_inner()
        }
        "lz4" => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(data).expect("a write");
            out.finish().expect("the end")
        }
        "zstd" => zstd::encode_all(data, 1).expect("zstd"),
        "" => data.to_vec(),
        other => panic!("{other}?"),
    }
}

fn unpack(coding: &str, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match coding {
        "gzip" => flate2::read::MultiGzDecoder::new(data).read_to_end(&mut out),
        "deflate" => flate2::read::ZlibDecoder::new(data).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(data, 4096).read_to_end(&mut out),
        "lz4" => lz4_flex::frame::FrameDecoder::new(data).read_to_end(&mut out),
        "zstd" => zstd::Decoder::new(data)
            .expect("zstd")
            .read_to_end(&mut out),
        "" => {
            out = data.to_vec();
            Ok(0)
        }
        other => panic!("{other}?"),
    }
    .unwrap_or_else(|error| panic!("{coding}: {error}"));
    out
}

/// The bytes of the checksum of ClickHouse's blocks.
fn checksum(block: &[u8]) -> [u8; 16] {
    cityhash_rs::cityhash_102_128(block)
        .rotate_right(64)
        .to_le_bytes()
}

fn block(method: u8, data: &[u8]) -> Vec<u8> {
    let packed = match method {
        0x82 => lz4_flex::block::compress(data),
        0x90 => zstd::bulk::compress(data, 1).expect("zstd"),
        _ => data.to_vec(),
    };
    let mut block = vec![method];
    block.extend_from_slice(&(packed.len() as u32 + 9).to_le_bytes());
    block.extend_from_slice(&(data.len() as u32).to_le_bytes());
    block.extend_from_slice(&packed);
    let mut out = checksum(&block).to_vec();
    out.extend_from_slice(&block);
    out
}

fn unblock(mut data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while !data.is_empty() {
        assert_eq!(data[16], 0x82);
        let number =
            |at: usize| u32::from_le_bytes(data[at..at + 4].try_into().expect("four")) as usize;
        let (packed, plain) = (number(17), number(21));
        assert_eq!(data[..16], checksum(&data[16..16 + packed]));
        out.extend_from_slice(
            &lz4_flex::block::decompress(&data[25..16 + packed], plain).expect("lz4"),
        );
        data = &data[16 + packed..];
    }
    out
}

#[tokio::test]
async fn every_coding_of_an_answer_and_of_its_error_unpacks_to_the_same() {
    let world = World::new().await;
    for coding in ["", "gzip", "deflate", "br", "lz4", "zstd"] {
        for (sql, status) in [(SELECT, 200), ("select nothing", 404)] {
            let answer = world
                .post("/?enable_http_compression=1", sql)
                .header("Accept-Encoding", coding)
                .send()
                .await
                .expect("an answer");
            assert_eq!(answer.status(), status, "{coding}");
            let named = answer
                .headers()
                .get("content-encoding")
                .map(|v| v.to_str().expect("text"));
            assert_eq!(named.unwrap_or_default(), coding);
            let data = unpack(coding, &answer.bytes().await.expect("bytes"));
            if status == 200 {
                assert!(data == rows(), "{coding}");
            } else {
                assert!(data.starts_with(b"Code: 47. "), "{coding}");
            }
        }
    }
    // Without the setting nothing is packed.
    let plain = world
        .post("/", "select 1")
        .header("Accept-Encoding", "gzip")
        .send()
        .await;
    assert_eq!(
        plain
            .expect("an answer")
            .bytes()
            .await
            .expect("bytes")
            .as_ref(),
        b"1\n"
    );
}

#[tokio::test]
async fn every_coding_of_a_body_stores_the_same_rows() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a UInt64) engine = MergeTree order by a",
        )
        .await;
    for coding in ["", "gzip", "deflate", "br", "lz4", "zstd"] {
        let request = world.post(
            "/?query=insert%20into%20t%20format%20RowBinary",
            pack(coding, &rows()),
        );
        let answer = request
            .header("Content-Encoding", coding)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 200, "{coding}: {:?}", answer.text().await);
        let sums = world.text("/", "select count(), sum(a) from t").await;
        assert_eq!(sums, "300000\t44999850000\n", "{coding}");
        world.text("/", "truncate table t").await;
        // As several streams, one after the other: clickhouse-connect makes one of each of its blocks.
        let halves = rows();
        let (first, second) = halves.split_at(halves.len() / 2);
        for end in [pack(coding, second), b"garbage!!".to_vec()] {
            let pieces = [pack(coding, first), end];
            let stream = futures_util::stream::iter(pieces.clone().map(Ok::<_, std::io::Error>));
            let request = world.post(
                "/?query=insert%20into%20t%20format%20RowBinary",
                reqwest::Body::wrap_stream(stream),
            );
            let answer = request.header("Content-Encoding", coding).send().await;
            let status = answer.expect("an answer").status();
            let sums = world.text("/", "select count(), sum(a) from t").await;
            let is_whole = pieces[1].len() > 9;
            assert_eq!(status == 200, is_whole, "{coding}");
            let right = ["0\t0\n", "300000\t44999850000\n"][usize::from(is_whole)];
            assert_eq!(sums, right, "{coding}");
            world.text("/", "truncate table t").await;
        }
        // The statement in the body too.
        let request = world.post("/", pack(coding, b"select 'packed'"));
        let answer = request
            .header("Content-Encoding", coding)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.text().await.expect("a text"), "packed\n", "{coding}");
    }
    let request = world.post("/", "select 1").header("Content-Encoding", "xz");
    let (code, _, text) = engine_support::refused(request).await;
    assert_eq!(code, 89, "{text}");
}

#[tokio::test]
async fn clickhouses_own_blocks_go_both_ways_and_a_broken_one_is_refused() {
    let world = World::new().await;
    world
        .text(
            "/",
            "create table t (a UInt64) engine = MergeTree order by a",
        )
        .await;
    let answer = world
        .post("/?compress=1", SELECT)
        .send()
        .await
        .expect("an answer");
    assert!(unblock(&answer.bytes().await.expect("bytes")) == rows());
    let answer = world
        .post("/?compress=1", "select nothing")
        .send()
        .await
        .expect("an answer");
    assert!(unblock(&answer.bytes().await.expect("bytes")).starts_with(b"Code: 47. "));
    let insert = "/?decompress=1&query=insert%20into%20t%20format%20RowBinary";
    for method in [0x82, 0x90, 0x02] {
        let body: Vec<u8> = rows()
            .chunks(1_000_003)
            .flat_map(|part| block(method, part))
            .collect();
        let answer = world.post(insert, body).send().await.expect("an answer");
        assert_eq!(answer.status(), 200, "{:?}", answer.text().await);
        let sums = world.text("/", "select count(), sum(a) from t").await;
        assert_eq!(sums, "300000\t44999850000\n", "{method:#x}");
        world.text("/", "truncate table t").await;
    }
    let mut broken = block(0x82, &rows());
    broken[100] ^= 1;
    let cut = block(0x82, &rows())[..1000].to_vec();
    for body in [broken, cut] {
        let answer = world.post(insert, body).send().await.expect("an answer");
        assert_eq!(answer.status(), 500, "{:?}", answer.text().await);
    }
    assert_eq!(world.text("/", "select count() from t").await, "0\n");
}
