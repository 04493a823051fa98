//! Keys of bytes, whether they are text or not. They stand as Arrow's views: up to twelve bytes beside their length, longer ones
//! in blocks, with their first four bytes beside the length.

use super::NULL;
use super::shared::{Shared, joined};
use super::values::{Values, shrunk};
use crate::Error;
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, ByteView, MAX_INLINE_VIEW_LEN, NullBufferBuilder, StringViewArray,
};
use arrow::buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Bytes of a block, unless one key is longer. Blocks that are full are copied by reference.
const BLOCK: usize = 1 << 20;

/// A column of keys.
pub struct Text {
    data_type: DataType,
    /// By group; that of no bytes where it is NULL.
    views: Vec<u128>,
    shared: Shared,
    /// Blocks that are full.
    full: Vec<Buffer>,
    /// The block behind them.
    block: Vec<u8>,
    nulls: NullBufferBuilder,
    batch: ScalarBuffer<u128>,
    batch_blocks: Arc<[Buffer]>,
    batch_nulls: Option<NullBuffer>,
    /// Whether a group or a row of the batch is NULL.
    any_null: bool,
}

/// Whether all bytes stand in the view.
fn is_short(view: u128) -> bool {
    view as u32 <= MAX_INLINE_VIEW_LEN
}

impl Text {
    /// No groups.
    pub fn new(data_type: &DataType) -> Self {
        Self {
            data_type: data_type.clone(),
            views: Vec::new(),
            shared: Shared::default(),
            full: Vec::new(),
            block: Vec::new(),
            nulls: NullBufferBuilder::new(0),
            batch: ScalarBuffer::default(),
            batch_blocks: Arc::default(),
            batch_nulls: None,
            any_null: false,
        }
    }

    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// Takes a batch of this type.
    pub fn load(&mut self, keys: &ArrayRef) -> Result<(), Error> {
        if keys.data_type() != &self.data_type {
            return Err(Error::State(format!(
                "keys of {} for {}",
                keys.data_type(),
                self.data_type
            )));
        }
        let views = match keys.data_type() {
            DataType::BinaryView => keys.as_binary_view().clone(),
            DataType::Utf8View => keys.as_string_view().clone().to_binary_view(),
            // Without a copy of the bytes.
            DataType::Utf8 | DataType::LargeUtf8 => {
                let views = cast(keys, &DataType::Utf8View)?;
                views.as_string_view().clone().to_binary_view()
            }
            _ => cast(keys, &DataType::BinaryView)?.as_binary_view().clone(),
        };
        let (views, blocks, nulls) = views.into_parts();
        (self.batch, self.batch_blocks) = (views, blocks);
        self.batch_nulls = nulls.filter(|nulls| nulls.null_count() > 0);
        self.any_null = self.batch_nulls.is_some() || self.nulls.as_slice().is_some();
        Ok(())
    }

    /// Lets go of the batch, whose new groups are there to stay.
    pub fn unload(&mut self) {
        self.shared.follow(&self.views);
        (self.batch, self.batch_blocks, self.batch_nulls) = (ScalarBuffer::default(), Arc::default(), None);
    }

    pub fn hash(&self, seed: &RandomState, hashes: &mut [u64]) {
        let mix = |hash: &mut u64, view: u128| {
            let mut hasher = seed.build_hasher();
            hasher.write_u64(*hash);
            match is_short(view) {
                true => hasher.write_u128(view),
                false => hasher.write(bytes(&self.batch_blocks, view)),
            }
            *hash = hasher.finish();
        };
        match &self.batch_nulls {
            None => hashes.iter_mut().zip(self.batch.iter()).for_each(|(h, v)| mix(h, *v)),
            Some(nulls) => {
                for ((hash, view), valid) in hashes.iter_mut().zip(self.batch.iter()).zip(nulls) {
                    *hash ^= if valid { 0 } else { NULL };
                    mix(hash, if valid { *view } else { 0 });
                }
            }
        }
    }

    pub fn append(&mut self, rows: &[u32]) {
        self.views.reserve(rows.len());
        for row in rows.iter().map(|row| *row as usize) {
            let null = self.is_null(row);
            self.nulls.append(!null);
            let view = if null { 0 } else { self.kept(self.batch[row]) };
            self.views.push(view);
        }
    }

    /// The view of what a view of the batch shows, in the blocks.
    #[inline]
    fn kept(&mut self, view: u128) -> u128 {
        if is_short(view) {
            return view;
        }
        let bytes = bytes(&self.batch_blocks, view);
        if !self.block.is_empty() && self.block.len() + bytes.len() > BLOCK {
            self.full.push(Buffer::from_vec(shrunk(&mut self.block)));
        }
        let place = ByteView {
            buffer_index: self.full.len() as u32,
            offset: self.block.len() as u32,
            ..ByteView::from(view)
        };
        self.block.extend_from_slice(bytes);
        place.as_u128()
    }

    /// The bytes of what is forgotten stay.
    pub fn truncate(&mut self, groups: usize) {
        self.views.truncate(groups);
        self.nulls.truncate(groups);
    }

    pub fn same(&self, groups: &[usize]) -> bool {
        let mut rows = groups.iter().enumerate();
        match self.any_null {
            true => rows.all(|(row, group)| self.equal(*group, row)),
            false => rows.all(|(row, group)| self.is(*group, self.batch[row])),
        }
    }

    pub fn equal(&self, group: usize, row: usize) -> bool {
        let (of_group, of_row) = (!self.nulls.is_valid(group), self.is_null(row));
        of_group == of_row && (of_row || self.is(group, self.batch[row]))
    }

    /// Whether a group has the key that a view of the batch shows.
    #[inline]
    fn is(&self, group: usize, of_row: u128) -> bool {
        let of_group = self.views[group];
        match is_short(of_row) {
            true => of_group == of_row,
            // The lower half has length and first bytes.
            false => of_group as u64 == of_row as u64 && self.long(of_group) == bytes(&self.batch_blocks, of_row),
        }
    }

    pub fn take(&mut self) -> Values {
        Values::Text(self.take_texts())
    }

    pub fn copy(&mut self) -> Values {
        Values::Text(self.copy_texts())
    }

    pub fn take_texts(&mut self) -> Texts {
        let (mut blocks, block) = (std::mem::take(&mut self.full), shrunk(&mut self.block));
        blocks.extend((!block.is_empty()).then(|| Buffer::from_vec(block)));
        let (views, nulls) = (shrunk(&mut self.views), self.nulls.finish());
        self.shared = Shared::default();
        self.texts(vec![Buffer::from_vec(views)], blocks, nulls)
    }

    pub fn copy_texts(&mut self) -> Texts {
        let mut blocks = self.full.clone();
        blocks.extend((!self.block.is_empty()).then(|| Buffer::from_vec(self.block.clone())));
        let views = self.shared.copy(&self.views);
        self.texts(views, blocks, self.nulls.finish_cloned())
    }

    pub fn size(&self) -> usize {
        let full: usize = self
            .full
            .iter()
            .map(|block| block.capacity() + size_of::<Buffer>())
            .sum();
        self.views.capacity() * size_of::<u128>()
            + self.shared.size()
            + full
            + self.block.capacity()
            + self.nulls.allocated_size()
    }

    fn texts(&self, views: Vec<Buffer>, blocks: Vec<Buffer>, nulls: Option<NullBuffer>) -> Texts {
        Texts {
            data_type: self.data_type.clone(),
            views,
            blocks,
            nulls,
        }
    }

    #[inline]
    fn is_null(&self, row: usize) -> bool {
        self.batch_nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// The long key of a group.
    fn long(&self, view: u128) -> &[u8] {
        let view = ByteView::from(view);
        let block = self.full.get(view.buffer_index as usize);
        &block.map_or(self.block.as_slice(), Buffer::as_slice)[view.offset as usize..][..view.length as usize]
    }
}

/// The long text that a view shows.
fn bytes(blocks: &[Buffer], view: u128) -> &[u8] {
    let view = ByteView::from(view);
    &blocks[view.buffer_index as usize][view.offset as usize..][..view.length as usize]
}

/// A column of keys that has left its table. Nothing else makes one.
pub struct Texts {
    data_type: DataType,
    views: Vec<Buffer>,
    blocks: Vec<Buffer>,
    nulls: Option<NullBuffer>,
}

impl Texts {
    /// As a column of its type.
    pub fn array(self) -> Result<ArrayRef, Error> {
        let views = ScalarBuffer::<u128>::from(joined(self.views));
        let narrow = matches!(self.data_type, DataType::Utf8 | DataType::Binary);
        let bytes = || views.iter().map(|view| u64::from(*view as u32)).sum::<u64>();
        if narrow && bytes() > i32::MAX as u64 {
            return Err(Error::State(format!("more than 2 GiB of keys of {}", self.data_type)));
        }
        let text = matches!(
            self.data_type,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        );
        let views = array(text, views, self.blocks, self.nulls);
        Ok(match views.data_type() == &self.data_type {
            true => views,
            false => cast(&views, &self.data_type)?,
        })
    }
}

/// Looking at every key again took a tenth of the time in which they were found.
#[allow(unsafe_code)]
fn array(text: bool, views: ScalarBuffer<u128>, blocks: Vec<Buffer>, nulls: Option<NullBuffer>) -> ArrayRef {
    // SAFETY: it is that of `Texts`, which come from `Text` alone, and these keep what is asked for here. Every view is 0, or that
    // of a value of a batch of the same type (`load` sees to that), which are valid. A short one stands as it was. A long one kept
    // its length and first bytes, and points to a copy of its bytes in the block that was the last (`kept`): blocks only grow, at
    // their ends, and the last one becomes the next of those that are full, so that its number stays. There is a bit for each
    // view if there are any, since both are appended and truncated together.
    unsafe {
        match text {
            true => Arc::new(StringViewArray::new_unchecked(views, blocks, nulls)),
            false => Arc::new(BinaryViewArray::new_unchecked(views, blocks, nulls)),
        }
    }
}
