//! What is true of folders: what is left behind, and who cleans up.

use super::*;

use std::time::{Duration, Instant};

#[tokio::test]
async fn a_folder_does_what_every_store_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    suite::check(&blobs).await;
    for left in ["incoming", "parts", "growing"] {
        assert_eq!(
            left_in(&folder.path().join(left)),
            Vec::<String>::new(),
            "{left}"
        );
    }
}

#[tokio::test]
async fn what_is_not_finished_never_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    let mut writer = blobs.create().await.expect("a writer");
    writer
        .write(bytes(3 * CHUNK, 1).into())
        .await
        .expect("taken");
    assert_eq!(left_in(&folder.path().join("incoming")).len(), 1);
    drop(writer);
    // A thread removes the file, and says so to nobody.
    let began = Instant::now();
    while !left_in(&folder.path().join("incoming")).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "still there");
        tokio::task::yield_now().await;
    }
    assert_eq!(names(&blobs, None).await, []);
}

#[tokio::test]
async fn the_next_start_cleans_up_but_never_while_somebody_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    let incoming = folder.path().join("incoming");
    let first = Blobs::local(folder.path(), given()).expect("opens");
    let (id, _) = put(&first, b"finished").await;
    std::fs::write(incoming.join("left"), "x").expect("written");
    let second = Blobs::local(folder.path(), given()).expect("opens");
    assert_eq!(left_in(&incoming), ["left"]);
    drop((first, second));
    // Threads that still end hold the folder for a moment.
    let began = Instant::now();
    while !left_in(&incoming).is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "still there");
        let third = Blobs::local(folder.path(), given()).expect("opens");
        assert_eq!(get(&third, id, None).await, b"finished");
    }
}

#[tokio::test]
async fn many_small_uploads_at_once_are_all_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    let mut uploads = Vec::new();
    for number in 0..200_u8 {
        let blobs = blobs.clone();
        uploads.push(async move { put(&blobs, &bytes(4096, number)).await.0 });
    }
    let ids = futures_util::future::join_all(uploads).await;
    for (number, id) in (0..).zip(ids) {
        assert!(get(&blobs, id, None).await == bytes(4096, number));
    }
}

#[tokio::test]
async fn a_copy_is_a_link_and_files_are_for_nobody_else() {
    use std::os::unix::fs::MetadataExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    let (id, _) = put(&blobs, b"some").await;
    let copy = blobs.copy(id).await.expect("copied");
    let look = |id| std::fs::metadata(blobs.local_path(id).expect("a file")).expect("there");
    assert_eq!(look(id).ino(), look(copy).ino());
    assert_eq!(look(id).mode() & 0o777, 0o600);
}

#[tokio::test]
async fn an_upload_byte_by_byte_keeps_a_short_list() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    let id = blobs.begin_append().await.expect("begun");
    // As many records as there may be, without the requests that make them.
    let content = bytes(4096, 9);
    let records: Vec<u8> = content
        .iter()
        .flat_map(|byte| {
            let byte = [*byte];
            [&1_u64.to_be_bytes()[..], &md5(&byte), &sha256(&byte)].concat()
        })
        .collect();
    let growing = folder.path().join("growing");
    std::fs::write(growing.join(id.to_string()), &content).expect("written");
    std::fs::write(growing.join(format!("{id}.sums")), records).expect("written");
    write(blobs.append(id, 4096).await.expect("a writer"), b"more").await;
    let whole = blobs.seal(id, 4100).await.expect("sealed");
    assert_eq!(whole.parts, Some(2));
    agree(&whole, &[&content[..], b"more"].concat());
}

fn left_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

/// A disk of two megabytes; none where that is not allowed.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut mount = std::process::Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
            .arg(folder.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0.path())
            .output();
    }
}

#[tokio::test]
async fn a_full_disk_says_so_and_keeps_nothing_of_what_did_not_fit() {
    let Some(disk) = SmallDisk::new() else {
        return;
    };
    let folder = disk.0.path();
    let blobs = Blobs::local(folder, given()).expect("opens");
    let (kept, written) = put(&blobs, &bytes(500_000, 1)).await;
    let too_much = try_write(blobs.create().await, 3 << 20).await;
    assert!(matches!(too_much, Err(BlobError::Full)), "{too_much:?}");
    let upload = blobs.begin_multipart().await.expect("begun");
    let too_much = try_write(blobs.write_part(upload, 1).await, 3 << 20).await;
    assert!(matches!(too_much, Err(BlobError::Full)), "{too_much:?}");
    blobs.discard(upload).await.expect("discarded");
    // A thread gives the room back, and says so to nobody.
    let began = Instant::now();
    let growing = blobs.begin_append().await.expect("begun");
    while let Err(error) = try_write(blobs.append(growing, 0).await, 1000).await {
        assert!(matches!(error, BlobError::Full), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "still full");
    }
    let too_much = try_write(blobs.append(growing, 1000).await, 3 << 20).await;
    assert!(matches!(too_much, Err(BlobError::Full)), "{too_much:?}");
    // What was acknowledged is there, and the rest gives its room back.
    let whole = blobs.seal(growing, 1000).await.expect("sealed");
    assert_eq!(whole.size, 1000);
    blobs.verify(kept, &written.sums).await.expect("untouched");
    while let Err(error) = try_write(blobs.create().await, 1_000_000).await {
        assert!(matches!(error, BlobError::Full), "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(60), "still full");
    }
    assert_eq!(names(&blobs, None).await.len(), 3);
}

async fn try_write(writer: Result<Writer, BlobError>, size: usize) -> Result<(), BlobError> {
    let mut writer = writer?;
    for piece in bytes(size, 3).chunks(100_000) {
        writer.write(Bytes::copy_from_slice(piece)).await?;
    }
    writer.finish().await.map(drop)
}

#[tokio::test]
async fn a_long_upload_is_synced_while_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let blobs = Blobs::local(folder.path(), given()).expect("opens");
    let (id, written) = put(&blobs, &bytes(70 << 20, 4)).await;
    assert_eq!(written.size, 70 << 20);
    blobs.verify(id, &written.sums).await.expect("the same");
}
