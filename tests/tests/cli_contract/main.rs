//! The command line is a contract: scripts use it word for word.
//!
//! [`dev`]: a ledger to develop against; [`record`]: events go on record; [`trace`]: a patient sees them; [`prove`]:
//! anyone checks them; [`status`]: operators look, and everyone meets errors.

mod dev;
mod prove;
mod record;
mod status;
mod trace;

use std::process::ExitCode;

use sillage_tests::stories;
use sillage_tests::story::tell;
use sillage_tests::world::World;

fn main() -> ExitCode {
    tell(
        World::begin,
        stories![
            dev::the_files_are_where_the_contract_says,
            dev::every_node_is_a_process_of_its_own,
            dev::a_second_start_in_the_same_folder_is_refused,
            record::the_example_line_is_accepted_as_it_is_written,
            record::answers_come_in_the_order_of_the_lines,
            record::a_rerun_of_the_same_file_records_nothing_twice,
            record::standard_input_is_always_new,
            record::receipts_are_kept_and_signed_by_a_node,
            record::what_is_flagged_is_recorded_all_the_same,
            record::a_line_that_is_refused_is_named_and_nothing_is_recorded,
            trace::a_trace_is_newest_first_with_the_fields_of_the_record_line,
            trace::pages_stay_whole_while_entries_arrive,
            trace::filters_choose,
            trace::labels_are_those_of_then,
            trace::people_read_french_and_english,
            trace::every_line_can_be_verified,
            trace::a_patient_under_whom_nothing_is_on_record_is_named,
            trace::a_change_reads_nothing_for_a_remark,
            trace::usage_errors_speak_the_language_that_was_chosen,
            trace::the_language_is_said_anywhere,
            trace::questions_that_make_no_sense_are_refused,
            prove::a_checkpoint_is_a_note_signed_by_the_log,
            prove::an_entry_says_what_it_is,
            prove::a_proof_is_verified_offline_and_not_without_a_policy,
            prove::an_older_size_can_be_proven_too,
            prove::the_log_only_grew,
            prove::what_was_altered_is_not_verified,
            prove::bundles_of_one_minute_are_on_record_as_one_reading,
            prove::sizes_and_indices_not_reached_are_refused,
            status::operators_see_every_node,
            status::streams_and_schema_are_shown,
            status::what_cannot_be_understood_is_usage,
            status::a_ledger_out_of_reach_may_be_tried_again,
            dev::one_node_creates_stops_and_reopens,
        ],
    )
}
