//! One suite for every kind of store, and what is true of folders alone.

#![expect(clippy::indexing_slicing, reason = "tests")]

mod bucket;
mod local;
mod suite;

use super::*;

use futures_util::TryStreamExt as _;

fn given() -> Given {
    Given {
        clock: Clock::system(),
        rng: Rng::system(),
        tasks: Tasks::new(),
    }
}

/// Bytes that repeat nowhere nearby.
fn bytes(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u64::from(seed) + 1;
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(size).collect()
}

async fn put(blobs: &Blobs, bytes: &[u8]) -> (BlobId, Written) {
    let writer = blobs.create().await.expect("a writer");
    write(writer, bytes).await
}

async fn write(mut writer: Writer, bytes: &[u8]) -> (BlobId, Written) {
    for piece in bytes.chunks(10_000) {
        let piece = Bytes::copy_from_slice(piece);
        writer.write(piece).await.expect("taken");
    }
    writer.finish().await.expect("durable")
}

async fn get(blobs: &Blobs, id: BlobId, range: Option<Range<u64>>) -> Vec<u8> {
    let stream = blobs.read(id, range).await.expect("there");
    let chunks: Vec<Bytes> = stream.try_collect().await.expect("read");
    chunks.concat()
}

async fn names(blobs: &Blobs, after: Option<BlobId>) -> Vec<(BlobId, u64)> {
    blobs.list(after).try_collect().await.expect("listed")
}

fn md5(bytes: &[u8]) -> [u8; 16] {
    use md5::Digest as _;
    md5::Md5::digest(bytes).into()
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("32 bytes")
}

/// What is written is what the sums say, piece by piece.
fn agree(written: &Written, bytes: &[u8]) {
    assert_eq!(written.size, bytes.len() as u64);
    let mut rest = bytes;
    for piece in written.sums.pieces() {
        let (these, others) = rest.split_at(usize::try_from(piece.size).expect("small"));
        assert_eq!(piece.sha256, sha256(these));
        rest = others;
    }
    assert!(rest.is_empty());
}
