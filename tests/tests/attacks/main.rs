//! An operator, or whoever holds its keys and disks, tries to lie. Each story is one lie, told with real nodes, real
//! keys and real files; it ends with who finds it, and how. `docs/threat-model.md` lists them.
//!
//! [`keys`]: lies that need only keys; [`names`]: those that need only another spelling of one's own name; [`disks`]: lies that need the disks of one or of all nodes. The latter end and
//! restart nodes and leave the log in a state that no honest group would reach, so each has a log of its own.

mod disks;
mod keys;
mod names;

use std::process::ExitCode;

use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            keys::a_log_key_alone_convinces_nobody,
            keys::another_logs_checkpoint_is_not_ours,
            keys::an_old_checkpoint_is_not_a_fresh_one,
            keys::a_receipt_without_its_entries_is_evidence,
            keys::a_proof_that_is_cut_or_longer_proves_nothing,
            names::another_spelling_of_a_name_opens_nothing,
            names::another_spelling_of_a_name_hides_no_access,
            disks::one_node_back_on_an_old_disk_stops_and_the_log_goes_on,
            disks::what_is_altered_swapped_or_dropped_on_disk_is_found_by_replaying,
            disks::two_histories_are_found_by_comparing_and_by_remembering,
        ],
    )
}
