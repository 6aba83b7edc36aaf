//! What every codec keeps, on good input and bad.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use bytes::Bytes;
use fastrand::Rng;
use millstream_core::Result;
use millstream_core::codec::{Codec, Columns, Decoded};
use millstream_core::record::{Block, Form, Record};

/// A codec with input to try it on.
pub struct Case<'a> {
    /// The codec.
    pub codec: &'a dyn Codec,
    /// Columns to decode.
    pub columns: Columns,
    /// Records, good and bad ones; one row at least has to decode.
    pub records: Vec<Record>,
    /// For garbage; printed when a law is broken.
    pub seed: u64,
}

impl std::fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Case({}, {} records)", self.codec.describe(), self.records.len())
    }
}

/// How many garbled blocks are tried.
const GARBAGE: usize = 120;

/// Checks all laws.
///
/// # Errors
/// As the codec gives them: none is due.
///
/// # Panics
/// When a law is broken, saying which and the seed.
pub fn all(case: &Case<'_>) -> Result<()> {
    let block = Block::pack(&case.records)?;
    let decoded = decode(case, &block)?;
    assert!(decoded.batch.num_rows() > 0, "the case decodes no row, so it shows nothing");
    every_row_is_accounted_for(case, &block, &decoded);
    the_same_block_gives_the_same_rows(case, &block, &decoded)?;
    how_records_are_packed_into_blocks_changes_nothing(case, &decoded)?;
    a_refused_row_is_refused_again_by_itself(case, &decoded)?;
    a_barred_row_is_refused_and_its_bytes_give_it_back(case, &block, &decoded)?;
    fewer_columns_have_the_same_values(case, &block, &decoded)?;
    inference_repeats(case, &block)?;
    garbage_is_refused_and_harms_nothing(case)
}

fn decode(case: &Case<'_>, block: &Block) -> Result<Decoded> {
    case.codec.decoder(&case.columns, None)?.decode(block)
}

fn same(a: &Decoded, b: &Decoded, law: &str) {
    assert_eq!(a.batch, b.batch, "{law}: rows");
    assert_eq!(a.starts, b.starts, "{law}: where records start");
    assert_eq!(a.ordinals, b.ordinals, "{law}: ordinals");
    assert_eq!(a.refused, b.refused, "{law}: refused rows");
    assert_eq!(a.refused_records, b.refused_records, "{law}: refused records");
}

/// The ordinal of each good row.
fn ordinals(decoded: &Decoded) -> Vec<u32> {
    match &decoded.ordinals {
        Some(ordinals) => ordinals.to_vec(),
        None => (0..).take(decoded.batch.num_rows()).collect(),
    }
}

fn every_row_is_accounted_for(case: &Case<'_>, block: &Block, decoded: &Decoded) {
    let law = "every row is either decoded or refused, once, in order";
    let good = ordinals(decoded);
    let refused: Vec<u32> = decoded.refused.iter().map(|r| r.ordinal).collect();
    assert_eq!(good.len(), decoded.batch.num_rows(), "{law}: one ordinal for each row");
    assert!(good.is_sorted_by(|a, b| a < b), "{law}: good rows rise");
    assert!(refused.is_sorted_by(|a, b| a < b), "{law}: refused rows rise");
    let mut all = [good, refused].concat();
    all.sort_unstable();
    assert!(all.iter().copied().eq((0..).take(all.len())), "{law}: {all:?}");
    assert_eq!(decoded.starts.len(), block.len(), "{law}: each record starts somewhere");
    assert!(decoded.starts.is_sorted(), "{law}: records rise");
    assert!(decoded.starts.iter().all(|s| (*s as usize) <= all.len()), "{law}: starts are rows");
    for refused in &decoded.refused_records {
        let record = refused.record as usize;
        let start = decoded.starts.get(record).copied();
        let next = decoded.starts.get(record + 1).copied();
        let end = next.or(u32::try_from(all.len()).ok());
        assert!(start.is_some() && start == end, "{law}: a refused record has no rows");
    }
    let schema = case.columns.schema();
    assert_eq!(decoded.batch.schema(), schema, "a batch has the columns that were asked for");
}

fn the_same_block_gives_the_same_rows(
    case: &Case<'_>,
    block: &Block,
    decoded: &Decoded,
) -> Result<()> {
    let law = "the result depends on the block alone";
    let mut decoder = case.codec.decoder(&case.columns, None)?;
    for _ in 0..3 {
        same(&decoder.decode(block)?, decoded, law);
    }
    let mut random = Rng::with_seed(case.seed);
    decoder.decode(&garbled(case, &mut random)?)?;
    same(&decoder.decode(block)?, decoded, law);
    Ok(())
}

fn how_records_are_packed_into_blocks_changes_nothing(
    case: &Case<'_>,
    decoded: &Decoded,
) -> Result<()> {
    let law = "how records are packed into blocks changes nothing";
    let mut decoder = case.codec.decoder(&case.columns, None)?;
    let mut random = Rng::with_seed(case.seed);
    let (mut rows, mut refused, mut records, mut found) = (0, 0, 0, 0);
    let mut rest = &case.records[..];
    while !rest.is_empty() {
        let (some, more) = rest.split_at(random.usize(1..=rest.len().min(3)));
        rest = more;
        let part = decoder.decode(&Block::pack(some)?)?;
        let n = part.batch.num_rows();
        assert_eq!(part.batch, decoded.batch.slice(rows, n), "{law}: rows");
        for (a, b) in ordinals(&part).iter().zip(ordinals(decoded).iter().skip(rows)) {
            assert_eq!(a + found, *b, "{law}: ordinals");
        }
        for (a, b) in part.refused.iter().zip(decoded.refused.iter().skip(refused)) {
            assert_eq!(
                (a.ordinal + found, &a.bytes, &a.reason),
                (b.ordinal, &b.bytes, &b.reason),
                "{law}: refused rows"
            );
        }
        rows += n;
        refused += part.refused.len();
        records += part.refused_records.len();
        found += u32::try_from(n + part.refused.len()).unwrap_or(u32::MAX);
    }
    let all = (decoded.batch.num_rows(), decoded.refused.len(), decoded.refused_records.len());
    assert_eq!((rows, refused, records), all, "{law}: counts");
    Ok(())
}

fn a_refused_row_is_refused_again_by_itself(case: &Case<'_>, decoded: &Decoded) -> Result<()> {
    let law = "a refused row, fed back by itself, is refused for the same reason";
    let records: Vec<Record> =
        decoded.refused.iter().map(|r| Record::new(r.bytes.clone())).collect();
    let again = decode(case, &Block::pack_as(Form::Rows, &records)?)?;
    assert_eq!(again.batch.num_rows(), 0, "{law}");
    assert!(again.refused_records.is_empty(), "{law}: {:?}", again.refused_records);
    let told = |d: &Decoded| -> Vec<(Bytes, String)> {
        d.refused.iter().map(|r| (r.bytes.clone(), r.reason.clone())).collect()
    };
    assert_eq!(told(&again), told(decoded), "{law}");
    Ok(())
}

fn a_barred_row_is_refused_and_its_bytes_give_it_back(
    case: &Case<'_>,
    block: &Block,
    decoded: &Decoded,
) -> Result<()> {
    let law = "a barred row is refused whole, and its neighbours are not";
    let mut decoder = case.codec.decoder(&case.columns, None)?;
    let all = ordinals(decoded);
    // Some forty of them, the first and the last among them.
    let step = all.len() / 40 + 1;
    let last = all.len() - 1;
    let some = all.into_iter().enumerate().filter(|(row, _)| row % step == 0 || *row == last);
    for (row, ordinal) in some {
        let barred = BTreeMap::from([(ordinal, "barred".to_owned())]);
        let without = decoder.decode_barring(block, &barred)?;
        let refused = without.refused.iter().find(|r| r.ordinal == ordinal);
        let refused = refused.unwrap_or_else(|| panic!("{law}: row {ordinal} is not refused"));
        assert_eq!(refused.reason, "barred", "{law}");
        assert_eq!(without.refused.len(), decoded.refused.len() + 1, "{law}");
        assert_eq!(without.starts, decoded.starts, "{law}");
        let before = without.batch.slice(0, row);
        assert_eq!(before, decoded.batch.slice(0, row), "{law}: rows before it");
        let rest = decoded.batch.num_rows() - row - 1;
        assert_eq!(without.batch.slice(row, rest), decoded.batch.slice(row + 1, rest), "{law}");
        let alone = Block::pack_as(Form::Rows, &[Record::new(refused.bytes.clone())])?;
        let again = decode(case, &alone)?;
        assert_eq!(again.batch, decoded.batch.slice(row, 1), "{law}: its bytes give it back");
    }
    Ok(())
}

fn fewer_columns_have_the_same_values(
    case: &Case<'_>,
    block: &Block,
    decoded: &Decoded,
) -> Result<()> {
    let law = "a row has the same values whichever columns are asked for";
    let names: Vec<&String> = case.columns.0.iter().map(|c| &c.name).collect();
    let mut random = Rng::with_seed(case.seed);
    for round in 0..8 {
        let used: BTreeSet<String> = match round {
            0 => BTreeSet::new(),
            _ => names.iter().filter(|_| random.bool()).map(|n| (*n).clone()).collect(),
        };
        let some = case.codec.decoder(&case.columns, Some(&used))?.decode(block)?;
        assert_eq!(some.starts.len(), decoded.starts.len(), "{law}");
        let schema = some.batch.schema();
        let built: BTreeSet<&String> = schema.fields().iter().map(|f| f.name()).collect();
        assert!(built.iter().copied().eq(used.iter()), "{law}: only those are built");
        let places = ordinals(&some);
        for (row, ordinal) in ordinals(decoded).iter().enumerate() {
            let place = places.binary_search(ordinal);
            let Ok(place) = place else {
                panic!("{law}: row {ordinal} decodes whole, but not with only {used:?}");
            };
            assert_eq!(
                one_row(&some.batch, place, &used),
                one_row(&decoded.batch, row, &used),
                "{law}: row {ordinal} with {used:?}"
            );
        }
    }
    Ok(())
}

/// One row of some columns, to compare.
fn one_row(batch: &RecordBatch, row: usize, used: &BTreeSet<String>) -> Vec<arrow_array::ArrayRef> {
    used.iter().filter_map(|n| batch.column_by_name(n)).map(|c| c.slice(row, 1)).collect()
}

fn inference_repeats(case: &Case<'_>, block: &Block) -> Result<()> {
    let law = "the same blocks give the same columns, and the codec can read them";
    let blocks = std::slice::from_ref(block);
    let columns = case.codec.infer(blocks)?;
    assert_eq!(columns, case.codec.infer(blocks)?, "{law}");
    if let Some(columns) = columns {
        let decoded = case.codec.decoder(&columns, None)?.decode(block)?;
        assert!(decoded.batch.num_rows() > 0, "{law}: {columns:?}");
    }
    assert_eq!(case.codec.infer(&[])?, None, "nothing tells nothing");
    Ok(())
}

/// The case's records with bytes changed, lost and added.
fn garbled(case: &Case<'_>, random: &mut Rng) -> Result<Block> {
    let mut records = Vec::new();
    for record in &case.records {
        let mut bytes = record.value.to_vec();
        for _ in 0..random.usize(0..4) {
            if bytes.is_empty() {
                break;
            }
            let at = random.usize(0..bytes.len());
            match random.u8(0..4) {
                0 => bytes.truncate(at),
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, random.u8(..)),
                _ => bytes.rotate_left(at),
            }
        }
        records.push(Record::new(bytes));
    }
    records.push(Record::new((0..random.usize(0..200)).map(|_| random.u8(..)).collect::<Vec<_>>()));
    Block::pack(&records)
}

fn garbage_is_refused_and_harms_nothing(case: &Case<'_>) -> Result<()> {
    let mut decoder = case.codec.decoder(&case.columns, None)?;
    for round in 0..GARBAGE {
        let seed = case.seed.wrapping_add(round as u64);
        let block = garbled(case, &mut Rng::with_seed(seed))?;
        let law = format!("garbage harms nothing (seed {seed})");
        let decoded = decoder.decode(&block)?;
        every_row_is_accounted_for(case, &block, &decoded);
        same(&decode(case, &block)?, &decoded, &law);
        a_refused_row_is_refused_again_by_itself(case, &decoded)?;
        case.codec.infer(std::slice::from_ref(&block))?;
    }
    Ok(())
}
