//! How a command can end other than well, and the exit code of each way.

use hitters_pipeline::Fault;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The SQL or the pipeline file is wrong.
    Faults(Vec<Fault>),
    /// It failed while it ran.
    Run(String),
    /// The same, with places in the SQL that it is about.
    Job(Vec<Fault>),
    /// The command line asks for something that is not there.
    Usage(String),
    /// It failed, and the user knows already why: only the exit code is left to give.
    Told(u8),
    /// A signal stopped it, after everything that was read had been flushed.
    Stopped,
    /// Whoever reads our output has gone away: nothing is wrong, and nobody is there to be told.
    OutputClosed,
}

impl Failure {
    /// The exit code, as `hitters --help` lists them.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::OutputClosed => 0,
            Failure::Run(_) | Failure::Job(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Faults(_) => 3,
            Failure::Stopped => 130,
            Failure::Told(code) => *code,
        }
    }
}

impl From<std::io::Error> for Failure {
    /// Errors of standard output.
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
            _ => Failure::Run(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Faults(vec![fault])
    }
}
