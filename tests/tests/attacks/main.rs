//! An operator, or whoever holds its keys and disks, tries to lie. Each story is one lie, told with real nodes, real
//! keys and real files; it ends with who finds it, and how. `docs/threat-model.md` lists them.
//!
//! [`stolen`]: a service's stolen key, of each role; [`wills`]: somebody else's will, with the key of a service; [`asking`]: the same of who asks for a decision; [`names`]: those that need only another spelling of one's own name; [`readers`]: what a party that may read, or call at all, could do to others; [`keys`]: lies that need only keys of the log and its nodes; [`disks`]: lies that need the disks of one or of all nodes. The latter end and
//! restart nodes and leave the log in a state that no honest group would reach, so each has a log of its own.

mod asking;
mod disks;
mod keys;
mod names;
mod readers;
mod stolen;
mod stolen_records;
mod wills;

use std::process::ExitCode;

use sillage_chaos::process::Options;
use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

fn main() -> ExitCode {
    tell(
        || World::with(Options { authorities: 2, ..Options::default() }),
        stories![
            stolen::a_stolen_key_does_what_its_role_is_for_and_no_more,
            keys::a_log_key_alone_convinces_nobody,
            keys::another_logs_checkpoint_is_not_ours,
            keys::an_old_checkpoint_is_not_a_fresh_one,
            keys::a_receipt_without_its_entries_is_evidence,
            keys::a_proof_that_is_cut_or_longer_proves_nothing,
            wills::a_service_that_claims_a_login_decides_nothing,
            wills::a_login_that_is_not_the_patients_for_this_proves_nothing,
            wills::an_issuer_that_was_withdrawn_proves_nothing,
            asking::nobody_asks_as_the_patient_without_their_login,
            asking::nobody_asks_as_the_trusted_person_without_their_login,
            asking::nobody_asks_as_a_member_of_the_care_team_on_their_own_partys_word,
            names::another_spelling_of_a_name_opens_nothing,
            names::another_spelling_of_a_name_hides_no_access,
            readers::reading_at_every_node_gives_no_more_than_one_quota,
            readers::reading_one_patient_again_and_again_adds_one_line_a_minute,
            readers::a_batch_through_another_partys_certificate_is_refused,
            readers::a_certificate_beside_a_revoked_key_reads_nothing,
            readers::a_revoked_author_gets_the_receipt_of_what_is_on_record_and_nothing_more,
            readers::a_revoked_author_that_sends_on_takes_nobodys_room,
            readers::calls_of_one_caller_hold_up_nobody_else,
            readers::the_command_line_says_that_it_is_a_quota,
            readers::no_process_that_holds_keys_leaves_an_image_of_its_memory,
            disks::one_node_back_on_an_old_disk_stops_and_the_log_goes_on,
            disks::what_is_altered_swapped_or_dropped_on_disk_is_found_by_replaying,
            disks::two_histories_are_found_by_comparing_and_by_remembering,
        ],
    )
}
