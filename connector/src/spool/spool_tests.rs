use super::*;
use std::collections::BTreeSet;

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn bounds() -> Bounds {
    Bounds { bytes_max: 1 << 20, segment_bytes: 4 << 10 }
}

fn open(dir: &Path) -> Spool {
    Spool::open(dir, key(), bounds(), 0).expect("opened")
}

fn arrivals(spool: &Spool) -> Vec<(u64, Vec<u8>)> {
    let reader = spool.reader();
    let read = |number| (number, reader.read(SpoolNumber(number)).expect("readable"));
    (1..spool.next().0).map(read).filter_map(|(number, bytes)| Some((number, bytes?))).collect()
}

fn text(n: u64) -> Vec<u8> {
    format!("arrival {n} {}", "x".repeat(usize::try_from(n % 7).expect("small"))).into_bytes()
}

fn group(from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(text).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        std::fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
}

fn segments(dir: &Path) -> BTreeSet<String> {
    let names = std::fs::read_dir(dir).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.ends_with(".seg")).collect()
}

#[test]
fn arrivals_are_read_back_in_order_across_segments_and_starts() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut next = 1;
    for _ in 0..5 {
        let mut spool = open(dir.path());
        for count in [1, 30, 200] {
            spool.append(&group(next, count)).expect("durable");
            next += count;
        }
        assert_eq!(spool.next(), SpoolNumber(next));
    }
    let spool = open(dir.path());
    let expected: Vec<_> = (1..next).map(|n| (n, text(n))).collect();
    assert_eq!(arrivals(&spool), expected);
    assert_eq!(spool.reader().waiting().len() as u64, next - 1);
    assert!(segments(dir.path()).len() > 5);
}

#[test]
fn what_is_on_disk_shows_nothing_of_an_arrival() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).append(&[b"279035121518989".to_vec()]).expect("durable");
    for name in segments(dir.path()) {
        let bytes = std::fs::read(dir.path().join(name)).expect("there");
        assert!(!bytes.windows(9).any(|window| window == b"279035121"));
    }
}

#[test]
fn a_tail_torn_at_any_byte_loses_the_group_that_was_never_acknowledged_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path());
    spool.append(&group(1, 3)).expect("durable");
    spool.append(&group(4, 2)).expect("durable");
    let kept = std::fs::metadata(path_of(dir.path(), 1)).expect("there").len();
    spool.append(&group(6, 3)).expect("durable");
    drop(spool);
    let whole = std::fs::read(path_of(dir.path(), 1)).expect("there");
    for cut in usize::try_from(kept).expect("small")..whole.len() {
        for fill in [None, Some(0), Some(0xff)] {
            let torn = tempfile::tempdir().expect("a folder");
            let mut bytes = whole[..cut].to_vec();
            if let Some(fill) = fill {
                // The file has its new length, and the disk has none of the rest.
                bytes.resize(whole.len(), fill);
                if bytes == whole {
                    continue;
                }
            }
            std::fs::write(path_of(torn.path(), 1), &bytes).expect("written");
            let mut spool = open(torn.path());
            assert_eq!(arrivals(&spool), (1..6).map(|n| (n, text(n))).collect::<Vec<_>>(), "cut at {cut}, {fill:?}");
            spool.append(&group(6, 1)).expect("it goes on");
            drop(spool);
            assert_eq!(arrivals(&open(torn.path())).len(), 6, "cut at {cut}, {fill:?}");
        }
    }
}

#[test]
fn a_damaged_arrival_that_was_acknowledged_stops_the_start() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path());
    spool.append(&group(1, 3)).expect("durable");
    spool.append(&group(4, 2)).expect("durable");
    drop(spool);
    let path = path_of(dir.path(), 1);
    let whole = std::fs::read(&path).expect("there");
    let first_group = HEADER_BYTES + 8 + 2 + 3 * 4 + (1..4).map(|n| text(n).len() + 16).sum::<usize>();
    for at in 0..first_group {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        std::fs::write(&path, &bytes).expect("written");
        let refused = Spool::open(dir.path(), key(), bounds(), 0).map(|_| ()).expect_err("damaged");
        assert!(matches!(refused, SpoolError::Damaged { .. }), "byte {at}: {refused}");
        assert_eq!(std::fs::read(&path).expect("there"), bytes, "nothing was changed");
    }
    std::fs::write(&path, &whole).expect("restored");
    assert_eq!(arrivals(&open(dir.path())).len(), 5);
}

#[test]
fn another_key_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).append(&group(1, 1)).expect("durable");
    let refused = Spool::open(dir.path(), Key::from_bytes([8; 32]), bounds(), 0).map(|_| ()).expect_err("another key");
    assert!(refused.to_string().contains("another key"), "{refused}");
    assert_eq!(arrivals(&open(dir.path())).len(), 1);
}

#[test]
fn one_process_at_a_time() {
    let dir = tempfile::tempdir().expect("a folder");
    let first = open(dir.path());
    let refused = Spool::open(dir.path(), key(), bounds(), 0).map(|_| ()).expect_err("held");
    assert!(matches!(refused, SpoolError::Held(_)), "{refused}");
    drop(first);
    open(dir.path());
}

#[test]
fn a_full_spool_refuses_keeps_what_it_has_and_goes_on_when_there_is_room() {
    let dir = tempfile::tempdir().expect("a folder");
    let small = Bounds { bytes_max: 8 << 10, segment_bytes: 1 << 10 };
    let mut spool = Spool::open(dir.path(), key(), small, 0).expect("opened");
    let mut taken = 0;
    loop {
        match spool.append(&group(taken + 1, 1)) {
            Ok(()) => taken += 1,
            Err(SpoolError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(taken > 20);
    assert_eq!(arrivals(&spool).len() as u64, taken, "no arrival was overwritten");
    assert!(matches!(spool.append(&group(taken + 1, 1)), Err(SpoolError::Full)), "still");
    assert!(spool.reader().bytes() <= small.bytes_max);
    let reader = spool.reader();
    (1..=taken).for_each(|number| reader.release(SpoolNumber(number)));
    assert_eq!(reader.waiting_count(), 0);
    spool.delete_released().expect("deleted");
    spool.append(&group(taken + 1, 1)).expect("there is room again");
    assert_eq!(spool.next(), SpoolNumber(taken + 2));
}

#[test]
fn a_full_disk_refuses_and_leaves_no_half_group() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path());
    spool.append(&group(1, 2)).expect("durable");
    // A device that is always full stands in for the segment's file.
    let full = File::options().read(true).write(true).open("/dev/full").expect("Linux has one");
    let before = {
        let mut shelves = spool.shelves.write();
        let segment = shelves.0.get_mut(&1).expect("the current one");
        std::mem::replace(&mut segment.file, Arc::new(full))
    };
    let refused = spool.append(&group(3, 1)).expect_err("full");
    // It can't be shortened either: the spool takes nothing more until the next start.
    assert!(matches!(refused, SpoolError::Full | SpoolError::Broken), "{refused}");
    drop((spool, before));
    let mut spool = open(dir.path());
    assert_eq!(arrivals(&spool).len(), 2);
    spool.append(&group(3, 1)).expect("the disk has room again");
}

#[test]
fn segments_go_once_all_of_them_is_released_and_numbers_never_come_twice() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut spool = open(dir.path());
    for n in 0..20 {
        spool.append(&group(n * 50 + 1, 50)).expect("durable");
    }
    let reader = spool.reader();
    (1..=1_000).filter(|number| *number != 400).for_each(|number| reader.release(SpoolNumber(number)));
    assert!(spool.has_released());
    spool.delete_released().expect("deleted");
    assert!(segments(dir.path()).len() <= 3, "{:?}", segments(dir.path()));
    assert_eq!(reader.waiting(), [SpoolNumber(400)]);
    assert_eq!(reader.read(SpoolNumber(400)).expect("readable"), Some(text(400)));
    assert_eq!(reader.read(SpoolNumber(1)).expect("readable"), None);
    reader.release(SpoolNumber(400));
    drop(spool);
    // Nothing says after a start what was released: the index does.
    let mut spool = open(dir.path());
    for number in spool.reader().waiting() {
        spool.reader().release(number);
    }
    spool.delete_released().expect("deleted");
    drop(spool);
    assert_eq!(open(dir.path()).next(), SpoolNumber(1_001));
    assert_eq!(segments(dir.path()).len(), 1);
    // Without a segment, the index knows the number.
    std::fs::remove_file(path_of(dir.path(), 1_001)).expect("removed");
    assert_eq!(Spool::open(dir.path(), key(), bounds(), 1_000).expect("opened").next(), SpoolNumber(1_001));
}

#[test]
fn a_crash_between_any_two_steps_of_a_new_segment_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).append(&group(1, 4)).expect("durable");
    // The part was written, and not renamed; it was renamed, and nothing came after; its header was never written.
    for (name, bytes) in [
        ("00000000000000000005.part", vec![1, 2, 3]),
        ("00000000000000000005.seg", Header::new(5).expect("a header").encode()),
    ] {
        let copied = tempfile::tempdir().expect("a folder");
        copy(dir.path(), copied.path());
        std::fs::write(copied.path().join(name), bytes).expect("written");
        let mut spool = open(copied.path());
        assert_eq!(arrivals(&spool).len(), 4, "{name}");
        spool.append(&group(5, 1)).expect("it goes on");
        drop(spool);
        assert_eq!(arrivals(&open(copied.path())).len(), 5, "{name}");
    }
}

#[test]
fn a_copied_folder_goes_on_and_two_copies_never_seal_two_things_under_one_key() {
    let dir = tempfile::tempdir().expect("a folder");
    open(dir.path()).append(&group(1, 4)).expect("durable");
    let other = tempfile::tempdir().expect("a folder");
    copy(dir.path(), other.path());
    let sealed = |dir: &Path| {
        open(dir).append(&[b"the same text".to_vec()]).expect("durable");
        std::fs::read(path_of(dir, 5)).expect("a segment of its own")[HEADER_BYTES..].to_vec()
    };
    assert_ne!(sealed(dir.path()), sealed(other.path()));
    assert_eq!(arrivals(&open(other.path())).len(), 5);
}
