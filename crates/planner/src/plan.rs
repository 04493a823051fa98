//! The dataflow plan: what the planner gives to an engine.
//!
//! A plan is a DAG of nodes in topological order. Below the first window, rows are independent of each other and run
//! parallel by input partition; from the first window on, rows belong to a window and come when it closes. Event time is
//! not a column of the schemas: the engine carries it beside the rows from the source to the first window.

use crate::error::Span;
use crate::table::Table;
use crate::window::Window;
use arrow::datatypes::SchemaRef;
use datafusion_common::JoinType;
use datafusion_physical_expr::aggregate::AggregateFunctionExpr;
use datafusion_physical_expr::{PhysicalExpr, PhysicalSortExpr};
use std::sync::Arc;

/// Position of a node in [`Plan::nodes`].
pub type NodeId = usize;

/// A planned SQL file. A node's inputs stand before it.
#[derive(Debug, Default)]
pub struct Plan {
    /// All nodes, inputs first. A source table that several statements read stands once.
    pub nodes: Vec<Node>,
    /// What the user should know although it runs.
    pub warnings: Vec<Warning>,
    /// All declared tables with a connector, used or not, in the order of their declaration.
    pub tables: Vec<Arc<Table>>,
}

/// Something legal but worth a word.
#[derive(Clone, Debug)]
pub struct Warning {
    /// One sentence.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// What to do, where the sentence does not say it.
    pub hint: Option<String>,
}

/// One operator.
#[derive(Debug)]
pub struct Node {
    /// What it does.
    pub kind: NodeKind,
    /// Nodes whose output it takes.
    pub inputs: Vec<NodeId>,
    /// Rows that it puts out.
    pub schema: SchemaRef,
    /// Where in the text it comes from, as far as known.
    pub span: Option<Span>,
}

/// A named expression over the schema of the (single) input.
#[derive(Clone, Debug)]
pub struct NamedExpr {
    /// What to compute.
    pub expr: Arc<dyn PhysicalExpr>,
    /// Name of the column that comes out.
    pub name: String,
}

/// An aggregate call: its `FILTER (WHERE ...)` beside it, since `AggregateFunctionExpr` does not hold it.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The function with its arguments over the schema of the input.
    pub function: Arc<AggregateFunctionExpr>,
    /// Rows that count.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
    /// True if the result does not depend on the order of the rows, bit for bit (count, integer sum, min, max, bit and bool
    /// functions): then one state a worker is enough, otherwise the engine keeps one a partition and merges in order.
    pub commutative: bool,
}

/// The operators.
#[derive(Debug)]
pub enum NodeKind {
    /// Reads a table.
    Source(SourceNode),
    /// Computes new columns.
    Project(Vec<NamedExpr>),
    /// Keeps the rows for which the predicate is true.
    Filter(Arc<dyn PhysicalExpr>),
    /// One row for each element of the list in this column of the input; the column becomes the element. NULL and empty
    /// lists give no row. Other columns are repeated.
    Unnest {
        /// Position of the list column.
        column: usize,
    },
    /// `UNION ALL` of inputs of the same types.
    Union,
    /// Groups rows by window and keys. Output: one column for each group expression in its order, then the aggregates.
    Window(WindowNode),
    /// Groups rows that have a window already by that window and keys. Output as for [`NodeKind::Window`], but the window
    /// column is one of the keys.
    Regroup {
        /// Group expressions, the window column among them.
        keys: Vec<NamedExpr>,
        /// Aggregates over the rows of a window.
        aggregates: Vec<Aggregate>,
    },
    /// `row_number()` over rows that have a window: appends the number as a `UInt64` column. Ties break by the whole row.
    RowNumber {
        /// `PARTITION BY` (the window column among them).
        partition_by: Vec<Arc<dyn PhysicalExpr>>,
        /// `ORDER BY`.
        order_by: Vec<PhysicalSortExpr>,
        /// Only numbers up to this are wanted, from `WHERE rn <= n`: then at most so many rows a partition are kept.
        limit: Option<usize>,
    },
    /// Joins two windowed inputs, window by window. Output: columns of the left, then of the right input.
    Join {
        /// Inner, left, right, full (others are refused by the planner).
        join_type: JoinType,
        /// Equal keys: expressions over the left and over the right schema. May be empty (then all pairs of a window).
        on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)>,
        /// A further condition over the columns of left and right side by side.
        filter: Option<Arc<dyn PhysicalExpr>>,
    },
    /// Writes rows to a table, or prints them (a bare `SELECT`). Column order and types are those of the table.
    Sink(Option<Arc<Table>>),
}

/// Reading one table.
#[derive(Debug)]
pub struct SourceNode {
    /// The table.
    pub table: Arc<Table>,
    /// Which of the table's stored columns are needed (positions in [`Table::stored_schema`], ascending). Decoders touch
    /// only these.
    pub stored: Vec<usize>,
    /// Generated columns that are needed, over the schema of the needed stored columns.
    pub generated: Vec<NamedExpr>,
    /// Event time, over stored and generated columns side by side: `Timestamp(Nanosecond, None)`. `None`: the time of the
    /// record (Kafka's timestamp; arrival for others).
    pub event_time: Option<Arc<dyn PhysicalExpr>>,
    /// Watermark, over the same columns, same type; the event time column itself for `WATERMARK FOR col` without an
    /// expression. `None`: no `WATERMARK FOR` (as with `event_time_field`), event time minus one second.
    pub watermark: Option<Arc<dyn PhysicalExpr>>,
    /// Output columns: positions in stored and generated columns side by side.
    pub output: Vec<usize>,
}

/// The first aggregation over event time.
#[derive(Debug)]
pub struct WindowNode {
    /// The window.
    pub window: Window,
    /// Position of the window column among the group expressions; its type is a struct of `start` and `end`.
    pub position: usize,
    /// The other group expressions in their order.
    pub keys: Vec<NamedExpr>,
    /// Aggregates.
    pub aggregates: Vec<Aggregate>,
}
