//! A plugin that gives a value for all rows of a group.
//!
//! It is called when the window closes, once. Until then the values of its group are kept, in the order of the rows, NULLs too
//! (several arguments stay side by side). The state is one list for each argument; states merge by appending, in the order in
//! which the engine merges partitions, so that results do not depend on workers.

use crate::abi::Code;
use crate::signature::Signature;
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::format_state_name;
use datafusion_expr::{Accumulator, AggregateUDFImpl, Signature as SqlSignature, Volatility};
use std::sync::Arc;

/// An aggregate function.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hosted {
    signature: SqlSignature,
    arguments: Vec<DataType>,
    result: DataType,
    code: Arc<Code>,
}

impl Hosted {
    pub(crate) fn new(signature: Signature, code: Arc<Code>) -> Self {
        Self {
            signature: SqlSignature::exact(signature.arguments.clone(), Volatility::Volatile),
            arguments: signature.arguments,
            result: signature.result,
            code,
        }
    }
}

impl AggregateUDFImpl for Hosted {
    fn name(&self) -> &str {
        self.code.name()
    }
    fn signature(&self) -> &SqlSignature {
        &self.signature
    }
    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.result.clone())
    }
    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        if args.is_distinct {
            return plan_err!(
                "{}: DISTINCT has no effect on Arroyo (group by the values below it)",
                self.name()
            );
        }
        Ok(Box::new(Values {
            columns: self.arguments.iter().map(|t| Column::new(t.clone())).collect(),
            result: self.result.clone(),
            code: self.code.clone(),
        }))
    }
    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let field = |(index, data_type): (usize, &DataType)| {
            let name = format_state_name(args.name, &format!("values {index}"));
            Arc::new(Field::new(name, list_of(data_type), true))
        };
        Ok(self.arguments.iter().enumerate().map(field).collect())
    }
}

fn list_of(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(item.clone(), true)))
}

/// The values of one group.
#[derive(Debug)]
struct Values {
    columns: Vec<Column>,
    result: DataType,
    code: Arc<Code>,
}

/// The values of one argument, in pieces: each is longer than the one after it, so that there are few and each value is copied
/// a few times only.
#[derive(Debug)]
struct Column {
    data_type: DataType,
    pieces: Vec<ArrayRef>,
}

impl Column {
    fn new(data_type: DataType) -> Self {
        Self {
            data_type,
            pieces: Vec::new(),
        }
    }

    fn push(&mut self, values: &ArrayRef) -> Result<()> {
        if values.is_empty() {
            return Ok(());
        }
        self.pieces.push(values.clone());
        while let [.., before, last] = self.pieces.as_slice()
            && before.len() <= last.len()
        {
            let joined = concat(&[before.as_ref(), last.as_ref()])?;
            self.pieces.truncate(self.pieces.len() - 2);
            self.pieces.push(joined);
        }
        Ok(())
    }

    fn whole(&self) -> Result<Option<ArrayRef>> {
        let pieces: Vec<&dyn Array> = self.pieces.iter().map(AsRef::as_ref).collect();
        Ok(match pieces.as_slice() {
            [] => None,
            many => Some(concat(many)?),
        })
    }

    /// As a list, for the state.
    fn list(&self) -> Result<ScalarValue> {
        let Some(values) = self.whole()? else {
            return ScalarValue::try_from(&list_of(&self.data_type));
        };
        let field = Arc::new(Field::new_list_field(self.data_type.clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(ScalarValue::List(Arc::new(ListArray::try_new(
            field, offsets, values, None,
        )?)))
    }
}

impl Accumulator for Values {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for (column, values) in self.columns.iter_mut().zip(values) {
            column.push(values)?;
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for (column, lists) in self.columns.iter_mut().zip(states) {
            for values in lists.as_list::<i32>().iter().flatten() {
                column.push(&values)?;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.columns.iter().map(Column::list).collect()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let columns = self
            .columns
            .iter()
            .map(Column::whole)
            .collect::<Result<Option<Vec<_>>>>()?;
        let Some(columns) = columns else {
            // As on Arroyo: a group of which no row counts is NULL, without a call.
            return ScalarValue::try_from(&self.result);
        };
        let result = self.code.call(&columns, &self.result)?;
        if result.len() != 1 {
            return exec_err!(
                "the function {} gave {} values for one group",
                self.code.name(),
                result.len()
            );
        }
        ScalarValue::try_from_array(&result, 0)
    }

    fn size(&self) -> usize {
        let pieces = self.columns.iter().flat_map(|column| &column.pieces);
        size_of_val(self) + pieces.map(|piece| piece.get_array_memory_size()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int64Array;

    #[test]
    fn values_keep_their_order_in_few_pieces() {
        let mut column = Column::new(DataType::Int64);
        let mut next = 0;
        for round in 0..1000_i64 {
            let count = round % 7;
            let values: ArrayRef = Arc::new(Int64Array::from_iter(
                (next..next + count).map(|v| (v % 5 > 0).then_some(v)),
            ));
            next += count;
            column.push(&values).unwrap();
            assert!(column.pieces.len() <= 13, "{}", column.pieces.len());
        }
        let expected = Int64Array::from_iter((0..next).map(|v| (v % 5 > 0).then_some(v)));
        assert_eq!(column.whole().unwrap().unwrap().as_ref(), &expected as &dyn Array);
    }
}
