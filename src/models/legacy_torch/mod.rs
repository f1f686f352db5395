//! Reads a PyTorch state dict in the format before version 1.6 and writes it as safetensors.
//!
//! Such a file is five pickles (a magic number, the protocol, facts about the writing machine, the state
//! dict, the list of storages) followed by the storages' raw bytes. A pickle is a program; this reader
//! knows only the operations and the four callables that a state dict needs, calls nothing, and refuses all
//! else.
//!
//! Thread: start-up. Allocates: a copy of each tensor.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use pickle::{Pickle, Reader, Value};

// The restricted pickle machine.
mod pickle;

/// First pickle of every such file.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Second pickle.
const PROTOCOL: i64 = 1001;

/// One named tensor: contiguous, little-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub data: Vec<u8>,
}

/// Why a file is not taken: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Offset in bytes.
    pub at: usize,
    pub reason: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.at, self.reason)
    }
}

impl std::error::Error for Refused {}

type Result<T> = std::result::Result<T, Refused>;

/// The state dict in `file` as the bytes of a safetensors file. The same input gives the same bytes.
pub fn to_safetensors(file: &[u8]) -> Result<Vec<u8>> {
    let tensors = read(file)?;
    let views = tensors
        .iter()
        .map(|t| Ok((&t.name, TensorView::new(t.dtype, t.shape.clone(), &t.data)?)))
        .collect::<std::result::Result<Vec<_>, safetensors::SafeTensorError>>();
    views
        .and_then(|views| safetensors::serialize(views, None))
        .map_err(|e| Refused {
            at: file.len(),
            reason: format!("the tensors do not fit safetensors: {e}"),
        })
}

/// The tensors of a state dict, in its order.
pub fn read(file: &[u8]) -> Result<Vec<Tensor>> {
    let mut reader = Reader { file, at: 0 };
    match Pickle::run(&mut reader)? {
        Value::Long(bytes) if bytes == MAGIC => {}
        _ => return Err(reader.refuse("not a PyTorch file in the format before 1.6")),
    }
    match Pickle::run(&mut reader)? {
        Value::Int(PROTOCOL) => {}
        other => return Err(reader.refuse(format!("protocol {other:?} instead of {PROTOCOL}"))),
    }
    check_little_endian(&Pickle::run(&mut reader)?, &reader)?;
    let state = Pickle::run(&mut reader)?;
    let order = Pickle::run(&mut reader)?;
    let wanted = tensors_of(&state, &reader)?;
    let storages = read_storages(&order, &wanted, &mut reader)?;
    if reader.at != file.len() {
        return Err(reader.refuse("bytes left over after the last storage"));
    }
    wanted
        .into_iter()
        .map(|t| gather(t, &storages, &reader))
        .collect()
}

fn check_little_endian(facts: &Value, reader: &Reader) -> Result<()> {
    if let Value::Dict(_, entries) = facts {
        for (key, value) in entries.borrow().iter() {
            if let (Value::Text(key), Value::Bool(false)) = (key, value)
                && &**key == "little_endian"
            {
                return Err(reader.refuse("written on a big-endian machine"));
            }
        }
        return Ok(());
    }
    Err(reader.refuse("no facts about the writing machine"))
}

// ---------------------------------------------------------------------------------------------
// From values to tensors

/// Where a tensor's values lie in its storage.
#[derive(Clone, Debug)]
struct Described {
    name: String,
    storage: Storage,
    offset: usize,
    shape: Vec<usize>,
    strides: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Storage {
    key: Rc<str>,
    dtype: Dtype,
    len: usize,
}

fn bytes_of(dtype: Dtype) -> usize {
    dtype.bitsize() / 8
}

fn tensors_of(state: &Value, reader: &Reader) -> Result<Vec<Described>> {
    let Value::Dict(_, entries) = state else {
        return Err(reader.refuse("the state is not a dict of tensors"));
    };
    entries
        .borrow()
        .iter()
        .map(|(name, value)| match (name, value) {
            (Value::Text(name), Value::Tensor(tensor)) => Ok(Described {
                name: name.to_string(),
                ..(**tensor).clone()
            }),
            (name, _) => Err(reader.refuse(format!("{name:?} does not name a tensor"))),
        })
        .collect()
}

/// Reads the raw storages that follow the pickles: for each key of `order` its length and its bytes.
fn read_storages<'a>(
    order: &Value,
    wanted: &[Described],
    reader: &mut Reader<'a>,
) -> Result<HashMap<Rc<str>, &'a [u8]>> {
    let Value::List(_, keys) = order else {
        return Err(reader.refuse("no list of storages"));
    };
    let known: HashMap<_, _> = wanted
        .iter()
        .map(|t| (Rc::clone(&t.storage.key), &t.storage))
        .collect();
    let mut storages = HashMap::new();
    for key in keys.borrow().iter() {
        let Value::Text(key) = key else {
            return Err(reader.refuse("a storage's key is not text"));
        };
        let Some(storage) = known.get(key) else {
            return Err(reader.refuse(format!("storage {key} belongs to no tensor")));
        };
        let len = reader.array::<8>().map(i64::from_le_bytes)?;
        if usize::try_from(len) != Ok(storage.len) {
            return Err(reader.refuse(format!(
                "storage {key} has {len} values, not {}",
                storage.len
            )));
        }
        let bytes = storage.len.checked_mul(bytes_of(storage.dtype));
        let bytes = bytes.ok_or_else(|| reader.refuse("a storage larger than memory"))?;
        storages.insert(Rc::clone(key), reader.take(bytes)?);
    }
    Ok(storages)
}

/// Copies a tensor's values, which may be strided, into one contiguous row-major block.
fn gather(
    tensor: Described,
    storages: &HashMap<Rc<str>, &[u8]>,
    reader: &Reader,
) -> Result<Tensor> {
    let Described {
        name,
        storage,
        offset,
        shape,
        strides,
    } = tensor;
    let outside = || reader.refuse(format!("{name} reaches outside its storage"));
    let source = storages
        .get(&storage.key)
        .ok_or_else(|| reader.refuse(format!("{name} has no storage")))?;
    let size = bytes_of(storage.dtype);
    let count = shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d));
    // No value of a tensor is repeated in this format, so it has at most as many as its storage.
    let count = count.filter(|&n| n <= storage.len).ok_or_else(outside)?;
    let mut data = Vec::with_capacity(count * size);
    let mut index = vec![0_usize; shape.len()];
    for _ in 0..count {
        let place = index
            .iter()
            .zip(&strides)
            .try_fold(offset, |at, (&i, &s)| at.checked_add(i.checked_mul(s)?));
        let start = place
            .and_then(|at| at.checked_mul(size))
            .ok_or_else(outside)?;
        data.extend_from_slice(source.get(start..start + size).ok_or_else(outside)?);
        // Counts up like an odometer: the last dimension runs fastest.
        for (i, &len) in index.iter_mut().zip(&shape).rev() {
            *i += 1;
            if *i < len {
                break;
            }
            *i = 0;
        }
    }
    Ok(Tensor {
        name,
        dtype: storage.dtype,
        shape,
        data,
    })
}
