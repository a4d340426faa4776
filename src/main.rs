//! The `prefill` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    prefill::cli::main()
}
