//! Lives of uploads: whatever is asked in whatever order, no byte is counted
//! that was not sent at its place.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const MOST: u64 = 100;

fn upload(length: Option<u64>) -> Upload {
    Upload {
        id: "id".to_owned(),
        blob: String::new(),
        bucket: String::new(),
        name: String::new(),
        offset: 0,
        length,
        most: MOST,
        kind: Kind::Whole,
        concat: None,
        metadata: Metadata::default(),
        upsert: false,
        owner: None,
        expires_at: Timestamp::UNIX_EPOCH,
        finished: false,
    }
}

fn piece(offset: u64, length: Option<u64>, bytes: Option<u64>) -> Piece {
    Piece {
        offset,
        length,
        bytes,
    }
}

#[test]
fn a_piece_goes_where_the_last_one_ended() {
    let at = Upload {
        offset: 4,
        ..upload(Some(10))
    };
    let room = at.room(&piece(4, None, Some(6))).unwrap();
    assert_eq!((room.offset, room.bytes, room.length), (4, 6, None));
    assert_eq!(at.room(&piece(3, None, None)), Err(TusError::Offset));
    assert_eq!(at.room(&piece(5, None, None)), Err(TusError::Offset));
    assert_eq!(at.room(&piece(4, None, Some(7))), Err(TusError::Overrun));
    let changed = at.room(&piece(4, Some(11), None)).unwrap_err();
    assert_eq!(changed.status(), 400);
    assert!(at.room(&piece(4, Some(10), None)).is_ok());
}

#[test]
fn a_late_length_is_held_against_limits_and_bytes() {
    let at = Upload {
        offset: 4,
        ..upload(None)
    };
    let open = at.room(&piece(4, None, None)).unwrap();
    assert_eq!((open.bytes, open.limited_by), (MOST - 4, Limit::Bucket));
    let over = at.room(&piece(4, None, Some(MOST - 3)));
    assert_eq!(over, Err(TusError::TooLarge));
    let late = at.room(&piece(4, Some(9), None)).unwrap();
    assert_eq!((late.bytes, late.length), (5, Some(9)));
    assert_eq!(at.room(&piece(4, Some(3), None)).unwrap_err().status(), 400);
    assert_eq!(at.room(&piece(4, Some(101), None)), Err(TusError::TooLarge));
}

#[test]
fn parts_are_joined_when_all_of_them_are_there() {
    let part = |offset, kind, finished| Upload {
        offset,
        kind,
        finished,
        ..upload(Some(offset))
    };
    let good = [part(60, Kind::Partial, true), part(40, Kind::Partial, true)];
    assert_eq!(joined(&good), Ok(100));
    for bad in [part(1, Kind::Partial, false), part(1, Kind::Whole, true)] {
        assert_eq!(joined(&[bad]).unwrap_err().status(), 400);
    }
    let huge = [
        part(u64::MAX, Kind::Partial, true),
        part(1, Kind::Partial, true),
    ];
    assert_eq!(joined(&huge), Err(TusError::TooLarge));
}

#[test]
fn what_is_over_does_not_come_back() {
    let late = Timestamp::from_second(1).unwrap();
    let mut gone = upload(Some(1));
    assert_eq!(gone.check_alive(late), Err(TusError::Gone));
    assert_eq!(gone.check_alive(Timestamp::MIN), Ok(()));
    gone.finished = true;
    assert_eq!(gone.check_alive(late), Ok(()));
    assert_eq!(gone.check_ends(), Err(TusError::Finished));
    gone.kind = Kind::Partial;
    assert_eq!(gone.check_ends(), Ok(()));
    gone.kind = Kind::Final;
    assert_eq!(
        gone.room(&piece(0, None, None)),
        Err(TusError::Concatenated)
    );
}

/// What a client does next, right or wrong.
#[derive(Clone, Debug)]
enum Act {
    /// Sends this many bytes at a distance from where the upload is, saying a
    /// length or not; arrives only in part.
    Send {
        away: i64,
        bytes: u64,
        arrives: u64,
        length: Option<u64>,
        announced: bool,
    },
    /// The server dies with bytes on the disk that no row counts.
    Crash { uncounted: u64 },
}

fn act() -> impl Strategy<Value = Act> {
    let send = (
        prop_oneof![4 => Just(0_i64), 1 => -5..5_i64],
        0..60_u64,
        0..60_u64,
        proptest::option::of(0..140_u64),
        any::<bool>(),
    );
    prop_oneof![
        5 => send.prop_map(|(away, bytes, arrives, length, announced)| Act::Send {
            away, bytes, arrives: arrives.min(bytes), length, announced,
        }),
        1 => (1..20_u64).prop_map(|uncounted| Act::Crash { uncounted }),
    ]
}

proptest! {
    #[test]
    fn the_offset_is_never_more_than_the_bytes(
        length in proptest::option::of(0..=MOST),
        acts in proptest::collection::vec(act(), 1..40),
    ) {
        let mut upload = upload(length);
        // The bytes on the disk; each is the number of its place.
        let mut disk: Vec<u64> = Vec::new();
        for act in acts {
            let (before, known) = (upload.offset, upload.length);
            match act {
                Act::Crash { uncounted } => {
                    let end = upload.offset + uncounted;
                    disk.extend(upload.offset..end);
                }
                Act::Send { away, bytes, arrives, length, announced } => {
                    let offset = upload.offset.saturating_add_signed(away);
                    let announced = announced.then_some(bytes);
                    let Ok(room) = upload.room(&piece(offset, length, announced)) else {
                        prop_assert_eq!((upload.offset, upload.length), (before, known));
                        continue;
                    };
                    prop_assert_eq!(room.offset, before);
                    // What lies past the offset is cut off first.
                    disk.truncate(usize::try_from(room.offset).unwrap());
                    let taken = arrives.min(room.bytes);
                    disk.extend(offset..offset + taken);
                    upload.length = upload.length.or(room.length);
                    upload.offset += taken;
                }
            }
            let counted = usize::try_from(upload.offset).unwrap();
            prop_assert!(counted <= disk.len());
            prop_assert!(upload.offset >= before);
            prop_assert!(upload.offset <= upload.length.unwrap_or(MOST));
            prop_assert!(known.is_none() || upload.length == known);
            prop_assert!(disk.iter().take(counted).copied().eq(0..upload.offset));
        }
    }
}
