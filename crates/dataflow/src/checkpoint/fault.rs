//! Points of a checkpoint at which tests interrupt a run.

/// A moment in the life of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// A worker has frozen its state; the barrier is not through yet.
    Barrier,
    /// Some objects of the checkpoint are stored, others are not.
    Upload,
    /// All objects are stored, the manifest is not.
    Manifest,
    /// The manifest is stored, sinks have not committed.
    Commit,
    /// All sinks have committed.
    Committed,
}

impl Point {
    /// All points, in the order in which a checkpoint passes them.
    pub const ALL: [Self; 5] = [
        Self::Barrier,
        Self::Upload,
        Self::Manifest,
        Self::Commit,
        Self::Committed,
    ];

    /// Its name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Barrier => "barrier",
            Self::Upload => "upload",
            Self::Manifest => "manifest",
            Self::Commit => "commit",
            Self::Committed => "committed",
        }
    }
}

/// Hears when a checkpoint passes a point. May never return.
pub trait Faults: Send + Sync {
    /// The point is reached.
    fn reach(&self, point: Point);
}

/// Nothing happens.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFaults;

impl Faults for NoFaults {
    fn reach(&self, _point: Point) {}
}
