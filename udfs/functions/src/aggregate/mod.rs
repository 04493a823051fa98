//! The common part of all aggregates over sketches.
//!
//! An aggregate is a [`Definition`] (name, argument types, literals) that makes a [`Summary`] (what one group keeps, how it
//! takes rows, merges and ends). Everything else is the same for all of them and stands here once: the DataFusion function
//! ([`SketchAggregate`]), the state of many groups ([`groups`]) and of one ([`single`]).
//!
//! The state of a group is one BYTEA value: the sketch's lossless bytes, or NULL while the group has seen nothing. Taking
//! the state, merging it into an empty accumulator and going on gives the same bytes as never having stopped.

mod columns;
mod freeze;
mod grouping;
mod groups;
mod rows;
mod single;

use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryViewBuilder, StringViewBuilder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, Signature, Volatility,
};
use hitters_sketch::Rows;

use crate::argument::{self, plan_error};
pub(crate) use columns::{Batch, Columns};
pub use freeze::{Frozen, freeze};
pub(crate) use grouping::Grouping;

/// What a group keeps; nothing before its first row. Shared with the copies that [`freeze`] makes: whoever changes a sketch
/// that a copy still holds works on a clone of its own.
pub(crate) type Cell<S> = Option<Arc<S>>;

/// What an aggregate puts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Output {
    /// An answer: JSON text.
    Answer,
    /// A sketch: bytes.
    Sketch,
}

/// One value of an [`Output`].
#[derive(Debug)]
pub(crate) enum Value {
    /// JSON text.
    Answer(String),
    /// Bytes.
    Sketch(Vec<u8>),
}

impl Output {
    /// Its SQL type: TEXT or BYTEA.
    pub fn data_type(self) -> DataType {
        match self {
            Output::Answer => DataType::Utf8View,
            Output::Sketch => DataType::BinaryView,
        }
    }

    /// A column of values.
    pub fn array(self, values: impl Iterator<Item = Result<Option<Value>>>) -> Result<ArrayRef> {
        match self {
            Output::Answer => {
                let mut builder = StringViewBuilder::with_capacity(values.size_hint().0);
                for value in values {
                    builder.append_option(value?.and_then(|value| match value {
                        Value::Answer(text) => Some(text),
                        Value::Sketch(_) => None,
                    }));
                }
                Ok(Arc::new(builder.finish()))
            }
            Output::Sketch => {
                let mut builder = BinaryViewBuilder::with_capacity(values.size_hint().0);
                for value in values {
                    builder.append_option(value?.and_then(|value| match value {
                        Value::Sketch(bytes) => Some(bytes),
                        Value::Answer(_) => None,
                    }));
                }
                Ok(Arc::new(builder.finish()))
            }
        }
    }

    /// One value.
    pub fn scalar(self, value: Option<Value>) -> ScalarValue {
        match (self, value) {
            (Output::Answer, Some(Value::Answer(text))) => ScalarValue::Utf8View(Some(text)),
            (Output::Sketch, Some(Value::Sketch(bytes))) => ScalarValue::BinaryView(Some(bytes)),
            (Output::Answer, _) => ScalarValue::Utf8View(None),
            (Output::Sketch, _) => ScalarValue::BinaryView(None),
        }
    }
}

/// What one call of an aggregate does with a group: made once from the call's literals, shared by all groups.
pub(crate) trait Summary: Debug + Send + Sync + 'static {
    /// What a group keeps.
    type Sketch: Clone + Debug + Send + Sync + 'static;

    /// The name of the SQL function, for errors.
    fn function(&self) -> &'static str;

    /// What comes out.
    fn output(&self) -> Output;

    /// The columns of a batch, out of the call's arguments.
    fn columns(&self, arguments: &[ArrayRef]) -> Result<Columns>;

    /// Adds rows, none of which holds a NULL, in their order.
    fn update(&self, cell: &mut Cell<Self::Sketch>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()>;

    /// Takes note of rows that do not count because of a NULL.
    fn skip(&self, cell: &mut Cell<Self::Sketch>, rows: u64) -> Result<()>;

    /// The lossless bytes of a sketch.
    fn save(&self, sketch: &Self::Sketch) -> Vec<u8>;

    /// The sketch of such bytes, which another process wrote.
    fn load(&self, bytes: &[u8]) -> Result<Self::Sketch>;

    /// Adds another sketch.
    fn merge(&self, into: &mut Self::Sketch, other: &Self::Sketch) -> Result<()>;

    /// The result of a group; `None` reads as NULL.
    fn finish(&self, cell: &Cell<Self::Sketch>) -> Result<Option<Value>>;

    /// All bytes that a sketch takes, its own struct included. In constant time: it is asked after every batch.
    fn size(&self, sketch: &Self::Sketch) -> usize;

    /// Merges the bytes of a sketch into a cell: the first ones become the cell.
    fn merge_bytes(&self, cell: &mut Cell<Self::Sketch>, bytes: &[u8]) -> Result<()> {
        let other = self.load(bytes)?;
        match cell {
            None => *cell = Some(Arc::new(other)),
            Some(sketch) => self.merge(Arc::make_mut(sketch), &other)?,
        }
        Ok(())
    }

    /// Merges rows that are sketches, in their order.
    fn merge_rows(&self, cell: &mut Cell<Self::Sketch>, batch: &Batch<'_>, rows: Rows<'_>) -> Result<()> {
        let mut merge = |row: usize| self.merge_bytes(cell, batch.items.bytes(row).unwrap_or_default());
        match rows {
            Rows::All(mut rows) => rows.try_for_each(merge),
            Rows::Indices(rows) => rows.iter().try_for_each(|row| merge(*row as usize)),
        }
    }
}

/// An aggregate of SQL: how it is called.
pub(crate) trait Definition: Debug + Copy + Eq + Hash + Send + Sync + 'static {
    /// What a group keeps.
    type Summary: Summary;

    /// Its name.
    fn name(&self) -> &'static str;

    /// The types that the arguments are cast to.
    fn coerce(&self, types: &[DataType]) -> Result<Vec<DataType>>;

    /// What comes out.
    fn output(&self) -> Output;

    /// Whether NULL can come out.
    fn nullable(&self) -> bool;

    /// Checks the literals of a call. `types` are those of [`Definition::coerce`]; `literals` has `None` for an argument
    /// that is no literal.
    fn summary(&self, types: &[DataType], literals: &[Option<ScalarValue>]) -> Result<Self::Summary>;

    /// Its page in the manual.
    fn documentation(&self) -> Documentation;
}

/// The DataFusion function of a [`Definition`].
#[derive(Debug, PartialEq, Eq, Hash)]
struct SketchAggregate<D> {
    definition: D,
    signature: Signature,
    documentation: Documentation,
}

/// The DataFusion function of a definition.
pub(crate) fn aggregate<D: Definition>(definition: D) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(SketchAggregate {
        definition,
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: definition.documentation(),
    }))
}

impl<D: Definition> SketchAggregate<D> {
    fn summary(&self, call: &AccumulatorArgs<'_>) -> Result<D::Summary> {
        if call.is_distinct {
            let hint = "every item would count once; drop DISTINCT";
            return Err(plan_error(
                self.definition.name(),
                format!("DISTINCT has no meaning here ({hint})"),
            ));
        }
        let types: Vec<DataType> = call.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let types = self.definition.coerce(&types)?;
        let literals: Vec<Option<ScalarValue>> = call.exprs.iter().map(argument::literal).collect();
        self.definition.summary(&types, &literals)
    }
}

impl<D: Definition> AggregateUDFImpl for SketchAggregate<D> {
    fn name(&self) -> &str {
        self.definition.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.definition.coerce(types)
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.definition.coerce(types)?;
        Ok(self.definition.output().data_type())
    }

    fn is_nullable(&self) -> bool {
        self.definition.nullable()
    }

    fn state_fields(&self, call: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(
            format_state_name(call.name, "sketch"),
            DataType::BinaryView,
            true,
        ))])
    }

    fn accumulator(&self, call: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(single::Single::new(self.summary(&call)?)))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(&self, call: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(freeze::SketchGroups(Box::new(groups::Groups::new(
            self.summary(&call)?,
        )))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        // Rows count in the order in which they come; the bounds hold in any, so no plan needs a sort for them.
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
