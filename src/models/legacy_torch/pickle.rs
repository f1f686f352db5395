//! The restricted pickle machine: a stack, a memory, and the operations that a state dict needs.
//!
//! Operations and their codes are those of Python's `pickletools`, protocol 2.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use safetensors::Dtype;

use super::{Described, Refused, Result, Storage};

/// BOUND: a tensor of this kind of file has at most 5 dimensions (a 3-d convolution); 8 is room.
const DIMENSIONS_MAX: usize = 8;
/// BOUND: nesting of tuples, lists and dicts. A state dict needs 4: the dict, a tensor's arguments, its
/// storage, its shape. It keeps dropping a value from recursing deeply.
const DEPTH_MAX: u8 = 16;

/// The file and how far it has been read.
pub(super) struct Reader<'a> {
    pub file: &'a [u8],
    pub at: usize,
}

impl<'a> Reader<'a> {
    pub fn refuse(&self, reason: impl Into<String>) -> Refused {
        Refused {
            at: self.at,
            reason: reason.into(),
        }
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self
            .at
            .checked_add(count)
            .filter(|&end| end <= self.file.len());
        let end =
            end.ok_or_else(|| self.refuse(format!("the file ends within the next {count} bytes")))?;
        let bytes = &self.file[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[b]| b)
    }

    fn text(&mut self, bytes: usize) -> Result<&'a str> {
        let bytes = self.take(bytes)?;
        std::str::from_utf8(bytes).map_err(|_| self.refuse("text that is not UTF-8"))
    }

    /// Up to the end of the line, which is taken too.
    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.file[self.at..];
        let end = rest.iter().position(|&b| b == b'\n');
        let end = end.ok_or_else(|| self.refuse("a line without an end"))?;
        let line = self.text(end)?;
        self.at += 1;
        Ok(line)
    }
}

/// What may be called, and what a call makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callable {
    /// `collections.OrderedDict`
    OrderedDict,
    /// `torch._utils._rebuild_tensor_v2`
    RebuildTensor,
    /// `torch.FloatStorage` and its siblings: named, never called.
    StorageType(Dtype),
}

impl Callable {
    fn named(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch", "FloatStorage") => Self::StorageType(Dtype::F32),
            ("torch", "LongStorage") => Self::StorageType(Dtype::I64),
            _ => return None,
        })
    }
}

pub(super) type Entries = Rc<RefCell<Vec<(Value, Value)>>>;

/// A value on the machine's stack. Containers carry how deep they nest.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Mark,
    None,
    Bool(bool),
    Int(i64),
    /// An integer too long for `Int`, little-endian.
    Long(Vec<u8>),
    Text(Rc<str>),
    Tuple(u8, Rc<[Value]>),
    List(u8, Rc<RefCell<Vec<Value>>>),
    Dict(u8, Entries),
    Callable(Callable),
    Storage(Storage),
    Tensor(Rc<Described>),
}

impl Value {
    fn depth(&self) -> u8 {
        match self {
            Self::Tuple(depth, _) | Self::List(depth, _) | Self::Dict(depth, _) => *depth,
            _ => 0,
        }
    }
}

pub(super) struct Pickle<'r, 'a> {
    reader: &'r mut Reader<'a>,
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
}

impl<'r, 'a> Pickle<'r, 'a> {
    /// Runs one pickle to its end and gives the value that it leaves.
    pub fn run(reader: &'r mut Reader<'a>) -> Result<Value> {
        let mut machine = Self {
            reader,
            stack: Vec::new(),
            memo: HashMap::new(),
        };
        if machine.reader.byte()? != 0x80 || machine.reader.byte()? != 2 {
            return Err(machine.reader.refuse("not a pickle of protocol 2"));
        }
        // Each turn takes at least one byte, so the file's length bounds the loop.
        loop {
            let operation = machine.reader.byte()?;
            if operation == b'.' {
                let value = machine.pop()?;
                return match machine.stack.is_empty() {
                    true => Ok(value),
                    false => Err(machine.reader.refuse("values left over in a pickle")),
                };
            }
            machine.step(operation)?;
        }
    }

    fn step(&mut self, operation: u8) -> Result<()> {
        let value = match operation {
            b'(' => Value::Mark,
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'K' => Value::Int(self.reader.byte()?.into()),
            b'M' => Value::Int(self.reader.array::<2>().map(u16::from_le_bytes)?.into()),
            b'J' => Value::Int(self.reader.array::<4>().map(i32::from_le_bytes)?.into()),
            0x8a => self.long()?,
            b'X' => {
                let bytes = self.reader.array::<4>().map(u32::from_le_bytes)?;
                Value::Text(self.reader.text(bytes as usize)?.into())
            }
            b')' => Value::Tuple(0, Rc::new([])),
            0x85..=0x87 => self.short_tuple(usize::from(operation - 0x84))?,
            b't' => {
                let items = self.since_mark()?;
                self.tuple(items)?
            }
            b'}' => Value::Dict(0, Entries::default()),
            b']' => Value::List(0, Rc::default()),
            b'c' => self.callable()?,
            b'Q' => self.storage()?,
            b'R' => self.call()?,
            b'h' => self.recall_byte()?,
            b'j' => {
                let key = self.reader.array::<4>().map(u32::from_le_bytes)?;
                self.recall(key)?
            }
            b'q' => {
                let key = self.reader.byte()?.into();
                return self.remember(key);
            }
            b'r' => {
                let key = self.reader.array::<4>().map(u32::from_le_bytes)?;
                return self.remember(key);
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                return self.put_into_dict(vec![key, value]);
            }
            b'u' => {
                let items = self.since_mark()?;
                return self.put_into_dict(items);
            }
            b'e' => return self.put_into_list(),
            // BUILD sets attributes (a state dict's version numbers). They are not tensors: left out.
            b'b' => return self.pop().map(|_| ()),
            other => {
                return Err(self
                    .reader
                    .refuse(format!("pickle operation {other:#04x} is refused")));
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Result<Value> {
        match self.stack.pop() {
            Some(Value::Mark) | None => Err(self.reader.refuse("a pickle with too few values")),
            Some(value) => Ok(value),
        }
    }

    fn since_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.stack.iter().rposition(|v| matches!(v, Value::Mark));
        let mark = mark.ok_or_else(|| self.reader.refuse("a pickle without its mark"))?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    /// One more than the deepest of `items`, if that is still allowed.
    fn depth_over<'v>(&self, items: impl Iterator<Item = &'v Value>) -> Result<u8> {
        let depth = 1 + items.map(Value::depth).max().unwrap_or(0);
        match depth <= DEPTH_MAX {
            true => Ok(depth),
            false => Err(self.reader.refuse("nested too deeply")),
        }
    }

    fn tuple(&self, items: Vec<Value>) -> Result<Value> {
        Ok(Value::Tuple(self.depth_over(items.iter())?, items.into()))
    }

    fn short_tuple(&mut self, count: usize) -> Result<Value> {
        let start = self.stack.len().checked_sub(count);
        let start = start.ok_or_else(|| self.reader.refuse("a pickle with too few values"))?;
        let items = self.stack.split_off(start);
        if items.iter().any(|v| matches!(v, Value::Mark)) {
            return Err(self.reader.refuse("a mark inside a tuple"));
        }
        self.tuple(items)
    }

    fn long(&mut self) -> Result<Value> {
        let bytes = self.reader.byte()?.into();
        Ok(Value::Long(self.reader.take(bytes)?.to_vec()))
    }

    fn recall_byte(&mut self) -> Result<Value> {
        let key = self.reader.byte()?.into();
        self.recall(key)
    }

    fn recall(&mut self, key: u32) -> Result<Value> {
        let value = match self.memo.get(&key) {
            // A list or dict in two places could grow after its depth was checked, or hold itself.
            Some(Value::List(..) | Value::Dict(..)) => {
                return Err(self.reader.refuse("a list or dict in two places"));
            }
            value => value.cloned(),
        };
        value.ok_or_else(|| {
            self.reader
                .refuse(format!("nothing is remembered as {key}"))
        })
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let value = self.pop()?;
        self.memo.insert(key, value.clone());
        self.stack.push(value);
        Ok(())
    }

    fn callable(&mut self) -> Result<Value> {
        let module = self.reader.line()?;
        let name = self.reader.line()?;
        let found = Callable::named(module, name);
        let found =
            found.ok_or_else(|| self.reader.refuse(format!("{module}.{name} is refused")))?;
        Ok(Value::Callable(found))
    }

    /// The only outside object a state dict refers to: `("storage", type, key, device, length, None)`.
    fn storage(&mut self) -> Result<Value> {
        if let Value::Tuple(_, parts) = self.pop()?
            && let [
                Value::Text(tag),
                Value::Callable(Callable::StorageType(dtype)),
                Value::Text(key),
                Value::Text(_device),
                Value::Int(len),
                Value::None,
            ] = &*parts
            && &**tag == "storage"
            && let Ok(len) = usize::try_from(*len)
        {
            return Ok(Value::Storage(Storage {
                key: Rc::clone(key),
                dtype: *dtype,
                len,
            }));
        }
        Err(self
            .reader
            .refuse("an outside object that is not a whole storage"))
    }

    fn call(&mut self) -> Result<Value> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        match (callable, arguments) {
            (Value::Callable(Callable::OrderedDict), Value::Tuple(_, items))
                if items.is_empty() =>
            {
                Ok(Value::Dict(0, Entries::default()))
            }
            (Value::Callable(Callable::RebuildTensor), Value::Tuple(_, items)) => {
                self.rebuild_tensor(&items)
            }
            (callable, _) => Err(self
                .reader
                .refuse(format!("a call of {callable:?} is refused"))),
        }
    }

    /// `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks)`.
    fn rebuild_tensor(&self, arguments: &[Value]) -> Result<Value> {
        let whole = |values: &[Value]| {
            values
                .iter()
                .map(|v| match v {
                    Value::Int(n) => usize::try_from(*n).ok(),
                    _ => None,
                })
                .collect::<Option<Vec<_>>>()
        };
        if let [
            Value::Storage(storage),
            Value::Int(offset),
            Value::Tuple(_, shape),
            Value::Tuple(_, strides),
            Value::Bool(_),
            Value::Dict(..),
        ] = arguments
            && shape.len() == strides.len()
            && shape.len() <= DIMENSIONS_MAX
            && let (Ok(offset), Some(shape), Some(strides)) =
                (usize::try_from(*offset), whole(shape), whole(strides))
        {
            return Ok(Value::Tensor(Rc::new(Described {
                name: String::new(),
                storage: storage.clone(),
                offset,
                shape,
                strides,
            })));
        }
        Err(self
            .reader
            .refuse("a tensor with other arguments than a plain one has"))
    }

    /// Puts key, value, key, value ... into the dict on top of the stack.
    fn put_into_dict(&mut self, items: Vec<Value>) -> Result<()> {
        let depth = self.depth_over(items.iter())?;
        let Some(Value::Dict(own, entries)) = self.stack.last_mut() else {
            return Err(self.reader.refuse("no dict to put into"));
        };
        *own = (*own).max(depth);
        let mut items = items.into_iter();
        while let Some(key) = items.next() {
            let value = items
                .next()
                .ok_or_else(|| self.reader.refuse("a key without a value"))?;
            entries.borrow_mut().push((key, value));
        }
        Ok(())
    }

    /// Appends what follows the mark to the list below it.
    fn put_into_list(&mut self) -> Result<()> {
        let items = self.since_mark()?;
        let depth = self.depth_over(items.iter())?;
        let Some(Value::List(own, list)) = self.stack.last_mut() else {
            return Err(self.reader.refuse("no list to append to"));
        };
        *own = (*own).max(depth);
        list.borrow_mut().extend(items);
        Ok(())
    }
}
