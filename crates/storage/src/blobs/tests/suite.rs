//! What every store does.

use super::*;

/// All of it, against one store.
pub(super) async fn check(blobs: &Blobs) {
    sizes_and_ranges(blobs).await;
    removal_and_copies(blobs).await;
    parts(blobs).await;
    parts_that_are_wrong(blobs).await;
    growing(blobs).await;
    growing_after_a_crash(blobs).await;
    order(blobs).await;
    sums(blobs).await;
}

async fn sums(blobs: &Blobs) {
    let content = bytes(CHUNK + 1, 11);
    let (id, written) = put(blobs, &content).await;
    blobs.verify(id, &written.sums).await.expect("the same");
    for other in [&bytes(CHUNK + 1, 12)[..], &content[..CHUNK], b""] {
        let (_, other) = put(blobs, other).await;
        let found = blobs.verify(id, &other.sums).await;
        assert!(matches!(found, Err(BlobError::Corrupt)), "{found:?}");
    }
}

async fn sizes_and_ranges(blobs: &Blobs) {
    for size in [0, 1, 4096, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7] {
        let content = bytes(size, 1);
        let (id, written) = put(blobs, &content).await;
        agree(&written, &content);
        assert_eq!((written.md5, written.parts), (md5(&content), None));
        assert_eq!(written.sha256(), Some(sha256(&content)));
        assert!(get(blobs, id, None).await == content, "{size}");
        assert_eq!(blobs.size(id).await.ok(), Some(size as u64));
        let end = size as u64;
        let middle = end / 2..(end / 2 + CHUNK as u64 + 3);
        for range in [0..end, 0..1, middle, end..end + 5, 0..u64::MAX] {
            let from = usize::try_from(range.start).expect("small").min(size);
            let to = usize::try_from(range.end).map_or(size, |end| end.min(size));
            let part = get(blobs, id, Some(range.clone())).await;
            assert!(part == content[from..to.max(from)], "{size} {range:?}");
        }
    }
}

async fn removal_and_copies(blobs: &Blobs) {
    let content = bytes(70_000, 2);
    let (id, _) = put(blobs, &content).await;
    let copy = blobs.copy(id).await.expect("copied");
    assert_ne!(id, copy);
    let never = BlobId::new(&Clock::system(), &Rng::system());
    blobs.remove(&[id, never]).await.expect("removed");
    blobs.remove(&[id]).await.expect("absent is fine");
    let gone = blobs.read(id, None).await;
    assert!(matches!(gone, Err(BlobError::NotFound)));
    let gone = blobs.copy(id).await;
    assert!(matches!(gone, Err(BlobError::NotFound)), "{gone:?}");
    assert!(matches!(blobs.size(id).await, Err(BlobError::NotFound)));
    assert!(get(blobs, copy, None).await == content);
    let again = write(blobs.create_as(id).await.expect("a writer"), &content).await;
    assert_eq!(again.0, id);
    assert!(get(blobs, id, None).await == content);
}

async fn parts(blobs: &Blobs) {
    let id = blobs.begin_multipart().await.expect("begun");
    assert!(blobs.unfinished().await.expect("a list").contains(&id));
    let (first, second, third) = (bytes(5 << 20, 3), bytes(5 << 20, 4), bytes(99, 5));
    let mut written = Vec::new();
    for (number, content) in [
        (7, &third),
        (2, &second),
        (1, &first),
        (2, &third),
        (2, &second),
    ] {
        let writer = blobs.write_part(id, number).await.expect("a writer");
        let (of, part) = write(writer, content).await;
        assert_eq!((of, part.md5), (id, md5(content)));
        written.push((number, part));
    }
    // The second number came three times; the last is the one that counts.
    let parts = [2, 4, 0].map(|index: usize| written[index].clone());
    let whole = blobs.complete_multipart(id, &parts).await.expect("whole");
    let content = [first, second, third].concat();
    agree(&whole, &content);
    let of_parts: Vec<u8> = parts.iter().flat_map(|(_, part)| part.md5).collect();
    assert_eq!((whole.md5, whole.parts), (md5(&of_parts), Some(3)));
    assert!(get(blobs, id, None).await == content);
    let again = blobs.complete_multipart(id, &parts).await.expect("again");
    assert_eq!(again, whole);
    assert!(!blobs.unfinished().await.expect("a list").contains(&id));
}

async fn parts_that_are_wrong(blobs: &Blobs) {
    let id = blobs.begin_multipart().await.expect("begun");
    let writer = blobs.write_part(id, 1).await.expect("a writer");
    let (_, part) = write(writer, b"some").await;
    let (_, other) = put(blobs, b"other").await;
    for wrong in [
        vec![],
        vec![(1, other.clone())],
        vec![(1, part.clone()), (2, other)],
    ] {
        let refused = blobs.complete_multipart(id, &wrong).await;
        assert!(matches!(refused, Err(BlobError::Part(_))), "{refused:?}");
    }
    // A dropped part is none; a refused end is no end.
    let mut dropped = blobs.write_part(id, 3).await.expect("a writer");
    dropped
        .write(Bytes::from_static(b"x"))
        .await
        .expect("taken");
    drop(dropped);
    let whole = blobs
        .complete_multipart(id, &[(1, part)])
        .await
        .expect("whole");
    assert_eq!(
        (get(blobs, id, None).await, whole.parts),
        (b"some".to_vec(), Some(1))
    );
    let id = blobs.begin_multipart().await.expect("begun");
    write(blobs.write_part(id, 1).await.expect("a writer"), b"some").await;
    blobs.abort_multipart(id).await.expect("aborted");
    blobs.abort_multipart(id).await.expect("absent is fine");
    assert!(!blobs.unfinished().await.expect("a list").contains(&id));
    assert!(matches!(
        blobs.read(id, None).await,
        Err(BlobError::NotFound)
    ));
}

async fn growing(blobs: &Blobs) {
    let id = blobs.begin_append().await.expect("begun");
    assert!(blobs.unfinished().await.expect("a list").contains(&id));
    let content = bytes(3 * CHUNK, 6);
    let mut at = 0;
    for size in [1, 0, CHUNK, 1000, 2 * CHUNK - 1001] {
        let writer = blobs.append(id, at as u64).await.expect("a writer");
        let (of, piece) = write(writer, &content[at..at + size]).await;
        assert_eq!((of, piece.size), (id, size as u64));
        at += size;
    }
    let far = blobs.append(id, at as u64 + 1).await;
    assert!(matches!(far, Err(BlobError::Offset { .. })), "{far:?}");
    let short = blobs.seal(id, at as u64 + 1).await;
    assert!(matches!(short, Err(BlobError::Offset { .. })), "{short:?}");
    let whole = blobs.seal(id, at as u64).await.expect("sealed");
    agree(&whole, &content);
    assert!(whole.parts.is_some());
    assert!(get(blobs, id, None).await == content);
    let again = blobs.seal(id, at as u64).await.expect("again");
    agree(&again, &content);
    assert!(!blobs.unfinished().await.expect("a list").contains(&id));
    let empty = blobs.begin_append().await.expect("begun");
    let whole = blobs.seal(empty, 0).await.expect("sealed");
    assert_eq!(whole.md5, md5(b""));
    let gone = blobs.begin_append().await.expect("begun");
    blobs.discard(gone).await.expect("gone");
    assert!(matches!(
        blobs.append(gone, 0).await,
        Err(BlobError::NotFound)
    ));
}

async fn growing_after_a_crash(blobs: &Blobs) {
    let content = bytes(2 * CHUNK, 7);
    let id = blobs.begin_append().await.expect("begun");
    write(
        blobs.append(id, 0).await.expect("a writer"),
        &content[..1000],
    )
    .await;
    // These were durable, but the row that says so never came.
    write(blobs.append(id, 1000).await.expect("a writer"), &[7; 5000]).await;
    // And these are lost on the way.
    let mut lost = blobs.append(id, 1000).await.expect("a writer");
    lost.write(bytes(CHUNK + 1, 8).into()).await.expect("taken");
    drop(lost);
    // The row knows of less than the first request brought.
    let writer = blobs.append(id, 400).await.expect("a writer");
    write(writer, &content[400..]).await;
    let whole = blobs.seal(id, content.len() as u64).await.expect("sealed");
    agree(&whole, &content);
    assert!(get(blobs, id, None).await == content);
}

async fn order(blobs: &Blobs) {
    let before = names(blobs, None).await;
    assert!(before.is_sorted(), "names come in order");
    let last = before.last().expect("some").0;
    let mut made = Vec::new();
    for size in 1..20_u64 {
        let content = vec![0; usize::try_from(size).expect("small")];
        made.push((put(blobs, &content).await.0, size));
    }
    made.sort_unstable();
    let after = names(blobs, Some(last)).await;
    // Names of one millisecond have no order among them.
    let expected: Vec<_> = made.into_iter().filter(|(id, _)| *id > last).collect();
    assert_eq!(after, expected);
    assert!(after.len() > 15);
}
