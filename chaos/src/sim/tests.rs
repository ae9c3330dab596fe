//! The simulator judged: clean seeds are clean and replay exactly, planted bugs are found.

use super::*;

fn short() -> Options {
    Options { faults_ms: 5_000, ..Options::default() }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..5 {
        let first = run(seed, &short()).unwrap();
        let second = run(seed, &short()).unwrap();
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn seeds_are_clean_and_see_every_kind_of_trouble() {
    let mut sum = Report::default();
    for seed in 0..100 {
        let report = run(seed, &short()).unwrap_or_else(|failure| panic!("{failure}"));
        assert!(report.acknowledged > 0, "seed {seed}");
        sum.crashes += report.crashes;
        sum.kills += report.kills;
        sum.member_changes += report.member_changes;
        sum.replaced += report.replaced;
        sum.cosigned += report.cosigned;
        sum.limped += report.limped;
        sum.retired += report.retired;
        sum.suffered += report.suffered;
        sum.refused += report.refused;
        sum.torn_writes += report.torn_writes;
        sum.installs += report.installs;
        sum.reads += report.reads;
        sum.stamps_cut += report.stamps_cut;
        sum.leaders += report.leaders;
    }
    assert!(sum.crashes > 40, "{sum:?}");
    assert!(sum.kills > 20, "{sum:?}");
    assert!(sum.member_changes > 10, "{sum:?}");
    assert!(sum.replaced > 2, "{sum:?}");
    assert!(sum.cosigned > 1_000, "{sum:?}");
    assert!(sum.limped > 1, "{sum:?}");
    assert!(sum.retired > 2, "{sum:?}");
    assert!(sum.suffered > 10, "{sum:?}");
    assert!(sum.refused > 3, "{sum:?}");
    assert!(sum.torn_writes > 5, "{sum:?}");
    assert!(sum.installs > 5, "{sum:?}");
    assert!(sum.reads > 100, "{sum:?}");
    assert!(sum.stamps_cut > 10, "{sum:?}");
    assert!(sum.leaders > 80, "{sum:?}");
}

fn with_ledger() -> Options {
    Options { faults_ms: 3_000, ledger: true, ..Options::default() }
}

#[test]
fn the_real_ledger_is_clean_and_the_same_again() {
    let mut sum = Report::default();
    for seed in 0..40 {
        // About every second run has a node that needs a snapshot.
        if seed >= 8 && sum.installs > 0 {
            break;
        }
        let report = run(seed, &with_ledger()).unwrap_or_else(|failure| panic!("{failure}"));
        if seed < 2 {
            assert_eq!(report, run(seed, &with_ledger()).unwrap(), "seed {seed}");
        }
        assert!(report.acknowledged > 0, "seed {seed}");
        sum.crashes += report.crashes;
        sum.installs += report.installs;
        sum.cosigned += report.cosigned;
        sum.acknowledged += report.acknowledged;
    }
    assert!(sum.crashes > 8 && sum.installs > 0 && sum.cosigned > 50 && sum.acknowledged > 400, "{sum:?}");
}

#[test]
fn tables_that_are_flushed_apart_are_found() {
    found_with(Plant::FlushedApart, 20, with_ledger());
}

#[test]
fn a_real_batch_recorded_twice_is_found() {
    let failure = found_with(Plant::NoDedupe, 20, with_ledger());
    assert!(failure.what.contains("acknowledged at") || failure.what.contains("twice"), "{}", failure.what);
}

#[test]
fn a_node_that_cosigns_what_it_has_not_applied_is_found() {
    let failure = found(Plant::CosignBeforeApply, 300);
    assert!(failure.what.contains("cosigned another root"), "{}", failure.what);
}

/// Runs seeds until the planted bug shows.
fn found(plant: Plant, seeds: u64) -> Box<Failure> {
    found_with(plant, seeds, Options::default())
}

fn found_with(plant: Plant, seeds: u64, options: Options) -> Box<Failure> {
    let options = Options { plant: Some(plant), ..options };
    (0..seeds)
        .find_map(|seed| run(seed, &options).err())
        .unwrap_or_else(|| panic!("{plant:?} was not found in {seeds} seeds"))
}

#[test]
fn a_promise_before_the_disk_is_found() {
    let failure = found(Plant::AckBeforeSync, 60);
    assert!(!failure.events.is_empty());
    assert!(failure.to_string().contains("seed"));
}

#[test]
fn a_forgotten_vote_is_found() {
    found(Plant::VoteForgotten, 200);
}

#[test]
fn a_start_that_trusts_an_unsynced_tail_is_found() {
    found(Plant::UnsyncedTailTrusted, 400);
}

#[test]
fn a_queue_without_a_bound_is_found() {
    let failure = found(Plant::UnappliedUnbounded, 10);
    assert!(failure.what.contains("wait to be applied"), "{}", failure.what);
}

#[test]
fn members_that_a_start_forgets_are_found() {
    let failure = found(Plant::MembersForgotten, 60);
    assert!(failure.what.contains("has the members"), "{}", failure.what);
}

#[test]
fn a_record_kept_twice_is_found() {
    let failure = found(Plant::NoDedupe, 20);
    assert!(failure.what.contains("acknowledged at") || failure.what.contains("twice"), "{}", failure.what);
}

#[test]
fn a_stale_read_is_found() {
    let failure = found(Plant::StaleRead, 20);
    assert!(failure.what.contains("a read on node"), "{}", failure.what);
}

#[test]
fn followers_that_refuse_what_is_stamped_ahead_are_found() {
    let failure = found(Plant::ClockWedge, 50);
    assert!(failure.what.contains("no progress"), "{}", failure.what);
}

#[test]
fn a_ledger_that_believes_its_leader_is_found() {
    let failure = found(Plant::StampBelieved, 20);
    assert!(failure.what.contains("ledger time"), "{}", failure.what);
}

#[test]
fn disks_that_nobody_tells_apart_are_found() {
    found(Plant::NoIdentity, 300);
}

#[test]
fn states_that_nobody_compares_are_found() {
    let failure = found(Plant::DivergenceUnseen, 50);
    // Or the node whose state differs leads, and answers nobody as the others would.
    let what = ["takes part all the same", "no progress"];
    assert!(what.iter().any(|what| failure.what.contains(what)), "{}", failure.what);
}
